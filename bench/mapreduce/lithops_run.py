"""The same as Lithops does it on this computer: lithops_run.py <job> <file>. Says how many keys."""
import json
import resource
import sys
import time

import lithops

job, path = sys.argv[1:3]


def mapper(obj):
    sums = {}
    for line in obj.data_stream.read().splitlines():
        if job == "words":
            for word in line.split():
                sums[word] = sums.get(word, 0) + 1
        else:
            record = json.loads(line)
            sums[record["user"]] = sums.get(record["user"], 0) + record["amount"]
    return sums


def reducer(results):
    sums = {}
    for result in results:
        for key, value in result.items():
            sums[key] = sums.get(key, 0) + value
    return len(sums)


def cpu():
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


began = time.perf_counter()
config = {"lithops": {"backend": "localhost", "storage": "localhost"}, "localhost": {"worker_processes": 2, "runtime": sys.executable}}
with lithops.FunctionExecutor(config=config, log_level="ERROR") as executor:
    futures = executor.map_reduce(mapper, path, reducer, obj_chunk_size=64 * 2**20)
    keys = executor.get_result(futures)
wall = time.perf_counter() - began
print("\n" + json.dumps({"keys": keys, "cpu": cpu(), "wall": wall}))
