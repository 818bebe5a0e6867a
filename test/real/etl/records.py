"""What goes into a trial of the ETL pipeline, and what came of it: librdkafka counts, and nothing of our own.

    records.py fill <broker> <topic> <first> <end>
    records.py rewind <broker> <topic> <group> <records of each partition>
    records.py check <broker> <source> <sink> <dead letters>

Each writes one line of JSON.
"""

import json
import sys
import time

from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

TEXT = "x" * 100


def value_of(index):
    # Of twenty, one is sent a second time: a record of its own, with a number that was there before.
    number = index - 7 if index % 20 == 13 else index
    # Of a hundred, one is poison: in turn no JSON, and JSON that the operator refuses.
    if number % 200 == 99:
        return b"\xff poison %d" % number
    return json.dumps({"n": number, "text": TEXT}).encode()


def is_poison(value):
    try:
        return json.loads(value)["n"] % 100 == 99
    except ValueError:
        return True


def fill(broker, topic, first, end):
    producer = Producer({
        "bootstrap.servers": broker,
        "enable.idempotence": True,
        "linger.ms": 20,
        "partitioner": "murmur2_random",
    })
    failed = []
    for index in range(int(first), int(end)):
        while True:
            try:
                producer.produce(
                    topic,
                    value_of(index),
                    b"customer-%d" % (index % 997),
                    on_delivery=lambda error, _: error and failed.append(str(error)),
                )
                break
            except BufferError:
                producer.poll(0.1)
        if index % 1000 == 0:
            producer.poll(0)
    producer.flush()
    return {"failed": failed[:3]}


def partitions_of(client, topic):
    return sorted(client.list_topics(topic, timeout=30).topics[topic].partitions)


def rewind(broker, topic, group, records):
    """A group whose members were killed takes no place from others until it has given them up."""
    admin = AdminClient({"bootstrap.servers": broker})
    partitions = partitions_of(admin, topic)

    def places():
        asked = [ConsumerGroupTopicPartitions(group, [TopicPartition(topic, partition) for partition in partitions])]
        found = admin.list_consumer_group_offsets(asked)[group].result().topic_partitions
        return {place.partition: place.offset for place in found if place.offset > 0}

    before = places()
    wanted = {partition: max(0, offset - int(records)) for partition, offset in before.items()}
    back = [TopicPartition(topic, partition, offset) for partition, offset in wanted.items()]
    until = time.monotonic() + 90
    while True:
        try:
            for done in admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, back)]).values():
                done.result()
        except KafkaException as error:
            if time.monotonic() > until:
                raise SystemExit(str(error))
        if places() == {partition: offset for partition, offset in wanted.items() if offset > 0}:
            return {"rewound": sum(before.values()) - sum(wanted.values())}
        if time.monotonic() > until:
            raise SystemExit("the group's places could not be set back")
        time.sleep(0.5)


def read(broker, topic):
    consumer = Consumer({
        "bootstrap.servers": broker,
        "group.id": "checker",
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
    })
    open_ones = set(partitions_of(consumer, topic))
    consumer.assign([TopicPartition(topic, partition, 0) for partition in open_ones])
    while open_ones:
        for message in consumer.consume(5000, 1.0):
            if message.error() is None:
                yield message
            elif message.error().code() == KafkaError._PARTITION_EOF:
                open_ones.discard(message.partition())
            else:
                raise SystemExit(str(message.error()))
    consumer.close()


def check(broker, source, sink, dead):
    poison = {}
    for message in read(broker, source):
        poison[message.partition(), message.offset()] = is_poison(message.value())
    sunk, buried = {}, {}
    last, disorder = {}, 0
    for message in read(broker, sink):
        partition, offset = (int(part) for part in json.loads(message.value())["at"].split("-"))
        sunk[partition, offset] = sunk.get((partition, offset), 0) + 1
        way = (partition, message.partition())
        disorder += offset <= last.get(way, -1)
        last[way] = offset
    for message in read(broker, dead):
        headers = dict(message.headers())
        place = (int(headers["millrace-partition"]), int(headers["millrace-offset"]))
        buried[place] = buried.get(place, 0) + 1
    good = [place for place, is_bad in poison.items() if not is_bad]
    bad = [place for place, is_bad in poison.items() if is_bad]
    return {
        "records": len(poison),
        "poison": len(bad),
        "sink": sum(sunk.values()),
        "dead": sum(buried.values()),
        "missing": sum(place not in sunk for place in good),
        "twice": sum(count > 1 for count in sunk.values()),
        "wrong": sum(poison.get(place, True) for place in sunk),
        "deadMissing": sum(place not in buried for place in bad),
        "deadTwice": sum(count > 1 for count in buried.values()),
        "deadWrong": sum(not poison.get(place, False) for place in buried),
        "disorder": disorder,
    }


if __name__ == "__main__":
    command, *args = sys.argv[1:]
    print(json.dumps({"fill": fill, "rewind": rewind, "check": check}[command](*args)))
