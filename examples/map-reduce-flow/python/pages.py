"""How often each page was asked for, from access logs in the common format of web servers."""

import re

LINE = re.compile(r'^\S+ \S+ \S+ \[[^\]]*\] "[A-Z]+ (\S+)[^"]*" \d{3} ')


def mapper(lines):
    return [[_page(line), 1] for line in lines]


def _page(line):
    found = LINE.match(line)
    if found is None:
        raise ValueError(f"no line of an access log: {line[:80]}")
    return found[1].split("?")[0]


def total(groups):
    return [sum(values) for _, values in groups]
