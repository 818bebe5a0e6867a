"""The job's transform as an operator: a value for each record."""


def records(batch):
    return [priced(record["value"]) for record in batch]


def priced(order):
    order["total"] = round(order["price"] * order["count"] * 100) / 100
    order["state"] = "priced"
    return order
