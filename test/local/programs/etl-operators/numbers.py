import os


def double(records):
    print("what is printed is no answer")
    return [_double(record["value"]) for record in records]


def _double(value):
    if value["n"] == 3:
        raise ValueError("no threes")
    if value["n"] == 5:
        os._exit(1)
    if value["n"] == 6:
        return None
    return [{"n": value["n"] * 2}, {"n": value["n"] * 2 + 1}]
