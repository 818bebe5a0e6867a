import os


def mapper(records):
    pairs = []
    for line in records:
        print("a line of", len(line))  # what is printed is no answer
        if line == "raise":
            raise ValueError("no such line")
        if line == "die":
            os._exit(3)
        pairs += [[word, 1] for word in line.split()]
    return pairs


def total(groups):
    return [sum(values) for _, values in groups]
