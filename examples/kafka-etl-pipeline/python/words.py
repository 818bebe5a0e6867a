"""What people write, cleaned: one answer for each record, in their order."""

import unicodedata


def clean(records):
    return [_clean(record["value"]) for record in records]


def _clean(value):
    text = unicodedata.normalize("NFKC", value["text"]).strip()
    if not text:
        return None  # goes no further
    if "\x00" in text:
        raise ValueError("the text has zero bytes")
    return {**value, "text": text, "words": len(text.split())}
