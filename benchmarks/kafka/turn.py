"""A turn of one of those compared: `python -m benchmarks.kafka.turn benchmarks.clients.on_msgkit:msgkit 10000 8`."""

import os
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from importlib import import_module
from secrets import token_hex
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition

from benchmarks.clients.turn import take
from benchmarks.kafka.servers import servers

__all__ = ["URL", "main"]

# What its futures bring has no types.
_admin: Any = import_module("confluent_kafka.admin")

#: Says where Kafka is.
URL = "MSGKIT_BENCH_KAFKA_URL"

#: Seconds for a first answer, and for each that follows.
_REACH, _PATIENCE = 5.0, 30.0
#: As msgkit makes its topics.
_CONFIG = {"max.message.bytes": str((1024 + 64) * 1024)}


def main(side: str, messages: int, partitions: int) -> None:
    url, who = os.environ[URL], side.partition(":")[2]
    # Kafka deletes a topic some time after it has said so: none has the name of one before.
    name = f"benchmark.{who}.{token_hex(4)}"
    try:
        hosts = servers(url)
    except ValueError as error:
        sys.exit(f"{URL}: {error}")
    take(side, _topic(name, partitions, hosts), messages, url)


@asynccontextmanager
async def _topic(name: str, partitions: int, hosts: str) -> AsyncGenerator[str]:
    """Make a topic, see that the group of its name has committed all in it in the end, and take both away."""
    try:
        _make(name, partitions, hosts)
    except KafkaException as error:
        sys.exit(f"Kafka cannot be reached: {error.args[0].str()}")
    try:
        yield name
        left = _left_in(name, partitions, hosts)
    finally:
        _take_away(name, hosts)
    if left:
        msg = f"{left} messages were handled and not committed"
        raise RuntimeError(msg)


def _make(name: str, partitions: int, hosts: str) -> None:
    admin = _client(hosts)
    admin.list_topics(timeout=_REACH)
    _done(admin.create_topics([_admin.NewTopic(name, partitions, config=_CONFIG)]))


def _left_in(name: str, partitions: int, hosts: str) -> int:
    consumer = Consumer({"bootstrap.servers": hosts, "group.id": name})
    asked = [TopicPartition(name, number) for number in range(partitions)]
    committed = {each.partition: max(0, each.offset) for each in consumer.committed(asked, timeout=_PATIENCE)}
    left = 0
    for each in asked:
        ends = consumer.get_watermark_offsets(each, timeout=_PATIENCE)
        assert ends is not None  # noqa: S101 -- it is where a time-out is said to be an error
        left += ends[1] - committed[each.partition]
    consumer.close()
    return left


def _take_away(name: str, hosts: str) -> None:
    """Delete a topic and its dead letters, and their groups."""
    admin = _client(hosts)
    names = [name, f"{name}.dlq"]
    there = admin.list_topics(timeout=_PATIENCE).topics
    _done(admin.delete_topics([each for each in names if each in there]))
    groups = admin.list_consumer_groups().result(_PATIENCE).valid
    ours = [each.group_id for each in groups if each.group_id in names]
    if ours:
        _done(admin.delete_consumer_groups(ours))


def _client(hosts: str) -> Any:
    # It writes past Python's logging what an error will say anyhow.
    return _admin.AdminClient({"bootstrap.servers": hosts, "log_level": 0})


def _done(asked: Mapping[str, Any]) -> None:
    for each in asked.values():
        each.result(_PATIENCE)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
