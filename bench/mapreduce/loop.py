"""The same as a plain loop of Python, which is what mappers of Lithops are: loop.py <job> <file>."""
import json
import sys
import time

job, path = sys.argv[1:3]
cpu, wall = time.process_time(), time.perf_counter()
sums = {}
with open(path, "rb") as lines:
    for line in lines:
        if job == "words":
            for word in line.split():
                sums[word] = sums.get(word, 0) + 1
        else:
            record = json.loads(line)
            sums[record["user"]] = sums.get(record["user"], 0) + record["amount"]
cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
print(json.dumps({"keys": len(sums), "cpu": cpu, "wall": wall}))
