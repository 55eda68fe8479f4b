"""Kafka as a program uses it that has aiokafka and nothing else."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import Any

__all__ = ["Plain", "PlainRecord"]

# It has no types.
_aiokafka: Any = import_module("aiokafka")
_admin: Any = import_module("aiokafka.admin")
_assignors: Mapping[str, Any] = {
    "range": import_module("aiokafka.coordinator.assignors.range").RangePartitionAssignor,
    "roundrobin": import_module("aiokafka.coordinator.assignors.roundrobin").RoundRobinPartitionAssignor,
}

_NOTHING: Mapping[str, str] = MappingProxyType({})
#: Seconds for what is waited for.
_PATIENCE = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainRecord:
    """A record as aiokafka reads it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]

    def said(self, name: str) -> str:
        """Return the one header of a name, which is text."""
        (value,) = [value for each, value in self.headers if each == name]
        return (value or b"").decode()


class Plain:
    """Each call has a client of its own."""

    def __init__(self, url: str) -> None:
        self.servers = url.removeprefix("kafka://")

    async def create_topic(self, name: str, partitions: int = 1, configs: Mapping[str, str] = _NOTHING) -> None:
        """Return when each of its partitions has a leader."""
        async with self._admin() as admin:
            await admin.create_topics([_admin.NewTopic(name, partitions, 1, topic_configs=dict(configs))])
            await _size(admin, name)

    async def delete_topics(self, *, but: tuple[str, ...]) -> None:
        """Delete all whose names do not begin with one of these."""
        async with self._admin() as admin:
            topics = [name for name in await admin.list_topics() if not name.startswith(but)]
            if topics:
                await admin.delete_topics(topics)

    async def send(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes | None]] = (),
        timestamp: int | None = None,
        partition: int | None = None,
        compression: str | None = None,
        times: int = 1,
    ) -> PlainRecord:
        """Return when the broker has confirmed it, as often as it is sent; and the last one."""
        async with self._producing(compression) as producer:
            sent = [
                await producer.send(
                    topic, value, key=key, headers=list(headers), timestamp_ms=timestamp, partition=partition
                )
                for _ in range(times)
            ]
            place = (await asyncio.gather(*sent))[-1]
        return PlainRecord(
            topic=topic,
            partition=place.partition,
            offset=place.offset,
            timestamp=place.timestamp,
            key=key,
            value=value,
            headers=headers,
        )

    @asynccontextmanager
    async def sending(self) -> AsyncGenerator[Callable[[str, bytes, int], Awaitable[object]]]:
        """Yield what writes values to partitions with one client, and returns when the broker has confirmed each."""
        async with self._producing(None) as producer:

            async def write(topic: str, value: bytes, partition: int) -> object:
                return await producer.send_and_wait(topic, value, partition=partition)

            yield write

    async def read(self, topic: str, count: int = 1) -> Sequence[PlainRecord]:
        """Return the first records of a topic, which has so many committed ones in the end.

        :raises TimeoutError: when it has not
        """
        found: list[PlainRecord] = []
        async with self._consumer(None, isolation_level="read_committed") as consumer:
            await self._assign_all(consumer, topic)
            await consumer.seek_to_beginning()
            async with asyncio.timeout(_PATIENCE):
                while len(found) < count:
                    found.append(_read(await consumer.getone()))
        return found

    # -- groups

    async def commit(self, group: str, topic: str, offsets: Mapping[int, int], metadata: str = "") -> None:
        """Commit as somebody who is alone in his group, and leaves it at once."""
        async with self._consumer(group) as consumer:
            await self._assign_all(consumer, topic)
            places = {_aiokafka.TopicPartition(topic, number): (at, metadata) for number, at in offsets.items()}
            await consumer.commit(places)

    async def committed(self, group: str, topic: str) -> Mapping[int, tuple[int, str]]:
        """Return where a group is, and what is written beside it."""
        async with self._admin() as admin:
            found = await admin.list_consumer_group_offsets(group)
        return {each.partition: (at.offset, at.metadata) for each, at in found.items() if each.topic == topic}

    async def handle(self, group: str, topic: str, count: int, assignor: str = "roundrobin") -> Sequence[PlainRecord]:
        """Join a group, handle so many records, commit that, and leave."""
        async with self._joining(group, topic, assignor) as consumer, asyncio.timeout(_PATIENCE):
            found = [_read(await consumer.getone()) for _ in range(count)]
            await consumer.commit()
        return found

    @asynccontextmanager
    async def member(self, group: str, topic: str, assignor: str = "roundrobin") -> AsyncGenerator[None]:
        """Have a place in a group, and handle nothing."""
        async with self._joining(group, topic, assignor) as consumer:
            async with asyncio.timeout(_PATIENCE):
                while not consumer.assignment():  # noqa: ASYNC110 -- aiokafka tells nobody when it has joined
                    await asyncio.sleep(0.05)
            yield

    @asynccontextmanager
    async def _joining(self, group: str, topic: str, assignor: str) -> AsyncGenerator[Any]:
        how = {"auto_offset_reset": "earliest", "partition_assignment_strategy": [_assignors[assignor]]}
        async with self._consumer(group, **how) as consumer:
            consumer.subscribe([topic])
            yield consumer

    async def _assign_all(self, consumer: Any, topic: str) -> None:
        async with self._admin() as admin:
            size = await _size(admin, topic)
        consumer.assign([_aiokafka.TopicPartition(topic, number) for number in range(size)])

    @asynccontextmanager
    async def _admin(self) -> AsyncGenerator[Any]:
        admin = _admin.AIOKafkaAdminClient(bootstrap_servers=self.servers)
        await admin.start()
        try:
            yield admin
        finally:
            await admin.close()

    @asynccontextmanager
    async def _consumer(self, group: str | None, **options: object) -> AsyncGenerator[Any]:
        consumer = _aiokafka.AIOKafkaConsumer(
            bootstrap_servers=self.servers, group_id=group, enable_auto_commit=False, **options
        )
        await consumer.start()
        try:
            yield consumer
        finally:
            await consumer.stop()

    @asynccontextmanager
    async def _producing(self, compression: str | None) -> AsyncGenerator[Any]:
        producer = _aiokafka.AIOKafkaProducer(
            bootstrap_servers=self.servers, compression_type=compression, linger_ms=20 if compression else 0
        )
        await producer.start()
        try:
            yield producer
        finally:
            await producer.stop()


async def _size(admin: Any, name: str) -> int:
    """Return how many partitions a topic has, when each has a leader."""
    async with asyncio.timeout(_PATIENCE):
        while True:
            (topic,) = await admin.describe_topics([name])
            leaders = [each["leader"] for each in topic["partitions"]]
            if leaders and min(leaders) >= 0:
                return len(leaders)
            # Nobody tells when it is so.
            await asyncio.sleep(0.05)


def _read(record: Any) -> PlainRecord:
    return PlainRecord(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp=record.timestamp,
        key=record.key,
        value=record.value,
        headers=record.headers,
    )
