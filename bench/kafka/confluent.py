"""librdkafka by Python, with care: whole batches, a flush and a commit after each: at least once.

As the other contenders: `confluent.py <job as JSON>`, which prints what it took.
"""

import json
import sys
import time

from confluent_kafka import Consumer, Producer

BATCH = 5_000


def transform(value):
    order = json.loads(value)
    order["total"] = round(order["price"] * order["count"] * 100) / 100
    order["state"] = "priced"
    return json.dumps(order, separators=(",", ":"))


def failed(error, _message):
    raise SystemExit(str(error))


def copy(job):
    consumer = Consumer({
        "bootstrap.servers": job["broker"],
        "group.id": job["group"],
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "isolation.level": "read_committed",
        "fetch.wait.max.ms": 200,
    })
    producer = Producer({
        "bootstrap.servers": job["broker"],
        "enable.idempotence": True,
        "linger.ms": 5,
        "batch.num.messages": BATCH,
        "delivery.report.only.error": True,
        "on_delivery": failed,
    })
    consumer.subscribe([job["from"]])
    left = job["count"]
    while left > 0:
        messages = consumer.consume(min(BATCH, left), 0.2)
        for message in messages:
            if message.error():
                raise SystemExit(str(message.error()))
            producer.produce(job["to"], transform(message.value()), message.key())
        producer.flush()
        if messages:
            consumer.commit(asynchronous=False)
        left -= len(messages)


job = json.loads(sys.argv[1])
began, before = time.perf_counter(), time.process_time()
copy(job)
print(json.dumps({"wall": time.perf_counter() - began, "cpu": time.process_time() - before}))
