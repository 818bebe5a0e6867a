def rows(payload):
    if not payload:
        raise ValueError("there are no rows")
    return [row.strip() for row in payload]
