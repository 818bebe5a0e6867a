"""The same as PySpark does it on two processors, its start included: spark_run.py <job> <file>. Says how many keys."""
import json
import resource
import sys
import time

began = time.perf_counter()
from pyspark.sql import SparkSession, functions as f  # noqa: E402

job, path = sys.argv[1:3]
session = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
session.sparkContext.setLogLevel("ERROR")
if job == "words":
    words = session.read.text(path).select(f.explode(f.split("value", " ")).alias("word"))
    found = words.groupBy("word").count()
else:
    records = session.read.schema("user STRING, amount BIGINT").json(path)
    found = records.groupBy("user").agg(f.sum("amount"))
keys = len(found.collect())
wall = time.perf_counter() - began
session.stop()
session.sparkContext._gateway.shutdown()
session.sparkContext._gateway.proc.stdin.close()
session.sparkContext._gateway.proc.wait()
used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
cpu = sum(one.ru_utime + one.ru_stime for one in used)
print(json.dumps({"keys": keys, "cpu": cpu, "wall": wall}))
