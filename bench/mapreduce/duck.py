"""The same as DuckDB does it, on as many processors as there are: duck.py <job> <file>."""
import json
import sys
import time

import duckdb

job, path = sys.argv[1:3]
cpu, wall = time.process_time(), time.perf_counter()
if job == "words":
    records = f"read_csv('{path}', header=false, delim='\\0', quote='', escape='', columns={{'line': 'VARCHAR'}})"
    query = f"SELECT word, count(*) FROM (SELECT unnest(string_split(line, ' ')) AS word FROM {records}) GROUP BY word"
else:
    records = f"read_json('{path}', format='newline_delimited', columns={{'user': 'VARCHAR', 'amount': 'BIGINT'}})"
    query = f'SELECT "user", sum(amount) FROM {records} GROUP BY "user"'
keys = len(duckdb.sql(query).fetchall())
cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
print(json.dumps({"keys": keys, "cpu": cpu, "wall": wall}))
