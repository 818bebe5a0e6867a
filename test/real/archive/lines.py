"""What goes into a trial of the log archive, and what came of it: librdkafka and Python's gzip count, nothing of our own.

    lines.py fill <broker> <topic> <first> <end> <applications>
    lines.py check <broker> <topic> <folder with the objects, by their keys> <what was found of some applications>

Each writes one line of JSON.
"""

import base64
import gzip
import json
import pathlib
import sys

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition


def line_of(number, applications):
    # A few applications have most lines.
    app = int(applications * ((number * 7919 % 100003) / 100003) ** 4)
    line = {"app": "app-%d" % app, "n": number, "text": "a line of a log, number %d" % number}
    # What looks like another line, or like the start of a file, is none.
    line["more"] = ["", "{\"n\": 1}\n", "\x1f\x8b\x08", "\u732b\u2028"][number % 4]
    return json.dumps(line, ensure_ascii=number % 2 == 0).encode()


# What names no application, of all kinds, some of it from other times. Milliseconds since 1970.
ODD = [
    (b"", 1_700_000_000_000),
    (None, 1),
    (bytes(range(256)) * 3900, 4_102_444_800_000),
    (b"\xff\xfe\xc3\x28 no UTF-8", 32_503_680_000_000),
    (b"[" * 100_000 + b"]" * 100_000, 1_700_000_000_000),
    (b"\n", 1_700_000_000_000),
    (b'{"app":"","n":"none"}', 1_700_000_000_000),
]


def fill(broker, topic, first, end, applications):
    producer = Producer({
        "bootstrap.servers": broker,
        "enable.idempotence": True,
        "linger.ms": 20,
        "partitioner": "murmur2_random",
    })
    failed = []
    if first == "0":
        for value, timestamp in ODD:
            producer.produce(topic, value, timestamp=timestamp, on_delivery=lambda error, _: error and failed.append(str(error)))
    for number in range(int(first), int(end)):
        while True:
            try:
                producer.produce(
                    topic,
                    line_of(number, int(applications)),
                    b"host-%d" % (number % 997),
                    on_delivery=lambda error, _: error and failed.append(str(error)),
                )
                break
            except BufferError:
                producer.poll(0.1)
        if number % 1000 == 0:
            producer.poll(0)
    producer.flush()
    return {"failed": failed[:3]}


def number_of(value):
    """None: it is one of the odd ones."""
    try:
        number = json.loads(value or b"")["n"]
        return number if isinstance(number, int) else None
    except (ValueError, TypeError, RecursionError):
        return None


def sent(broker, topic):
    """Application, partition, offset and value of each number; and those of the odd ones, by their places."""
    consumer = Consumer({
        "bootstrap.servers": broker,
        "group.id": "checker",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
    })
    open_ones = set(consumer.list_topics(topic, timeout=30).topics[topic].partitions)
    consumer.assign([TopicPartition(topic, partition, 0) for partition in open_ones])
    places, odd = {}, {}
    while open_ones:
        for message in consumer.consume(5000, 1.0):
            if message.error() is None:
                value, place = message.value() or b"", (message.partition(), message.offset())
                number = number_of(value)
                if number is None:
                    odd[place] = ("unknown", *place, value)
                else:
                    places[number] = (json.loads(value)["app"], *place, value)
            elif message.error().code() == KafkaError._PARTITION_EOF:
                open_ones.discard(message.partition())
            else:
                raise SystemExit(str(message.error()))
    consumer.close()
    return places, odd


def search(places, found):
    """What a search that was made while files grew has of the applications it was made for: missing lines, and others."""
    lines = [json.loads(line) for line in open(found, encoding="utf-8")]
    had = [(line["application"], line["partition"], line["offset"], bytes_of(line["value"])) for line in lines]
    apps = {app for app, *_ in had}
    wanted = {place for place in places if place[0] in apps}
    return {"notFound": len(wanted - set(had)), "foundTwice": len(had) - len(wanted & set(had))}


def bytes_of(value):
    return value.encode() if isinstance(value, str) else base64.b64decode(value["base64"])


def check(broker, topic, folder, search_results):
    places, odd = sent(broker, topic)
    found, last = {}, {}
    damaged = misplaced = disorder = changed = 0
    files = sorted(path for path in pathlib.Path(folder).rglob("*.log.gz"))
    # What has line feeds inside cannot be told apart here: `millrace logs find` is asked for it.
    unknown = [path for path in files if path.relative_to(folder).parts[0] == "app=unknown"]
    odd_bytes = sum(len(gzip.decompress(path.read_bytes())) for path in unknown)
    for path in [path for path in files if path not in unknown]:
        with gzip.open(path) as lines:
            for text in lines:
                try:
                    number = json.loads(text)["n"]
                    app, partition, offset, value = places[number]
                except (ValueError, KeyError):
                    damaged += 1
                    continue
                found[number] = found.get(number, 0) + 1
                changed += text != value + b"\n"
                misplaced += path.relative_to(folder).parts[0] != "app=" + app
                disorder += offset <= last.get((app, partition), -1)
                last[app, partition] = offset
    return {
        "lines": len(places) + len(odd),
        "applications": len({app for app, *_ in places.values()}),
        "files": len(files),
        "missing": sum(number not in found for number in places),
        "oddBytes": odd_bytes - sum(len(value) + 1 for *_, value in odd.values()),
        "twice": sum(count > 1 for count in found.values()),
        **{"damaged": damaged, "changed": changed, "misplaced": misplaced, "disorder": disorder},
        **search([*places.values(), *odd.values()], search_results),
    }


if __name__ == "__main__":
    command, *args = sys.argv[1:]
    print(json.dumps({"fill": fill, "check": check}[command](*args)))
