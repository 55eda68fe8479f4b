"""Partitions that change hands while something of them is still on its way."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import cast

import pytest

from msgkit.dead_letters import dead_copy
from msgkit.envelope import new_id
from msgkit.policy import GiveUp
from msgkit.spi import Dead, QueueSpec, RawDelivery, Replayable, Subscription
from msgkit.testing.brokers import Kafka
from msgkit_kafka import KafkaTopic
from msgkit_kafka.consumer import KafkaConsumer
from msgkit_kafka.part import Part
from msgkit_kafka.wire.subscriptions import Partition
from tests.bench import Bench, Taker
from tests.waiting import until

pytestmark = [pytest.mark.broker, pytest.mark.xdist_group("kafka-interop")]

#: Enough of them to have some in each partition.
KEYS = [f"key {number}" for number in range(30)]


async def test_whoever_closes_has_what_it_settled_moved_before_another_gets_the_partition(interop: Kafka) -> None:
    """The core waits for no answers any more when it closes; what it asked for is done all the same."""
    queue, graves = QueueSpec(name=f"leaving.{new_id()}"), QueueSpec(name=f"graves.{new_id()}")
    async with Bench.open(interop.url) as bench, asyncio.timeout(60):
        await bench.declare(queue, graves)
        for word in ("first", "second"):
            for key in KEYS:
                await bench.send(word, queue.name, key=key)
        leaving = await bench.consume(queue)
        raws = await leaving.take_all(2 * len(KEYS))
        consumer = cast("KafkaConsumer", leaving.consumer)
        async with consumer.alone():
            settle(consumer, raws, b"first", graves)
            coming = asyncio.create_task(bench.consume(queue))

            async def is_asked_for_partitions() -> bool:
                return any(not cast("Part", raw.scope).is_at_work for raw in raws)

            await until(is_asked_for_partitions)
            # These wait for the others, which may not be committed yet.
            settle(consumer, raws, b"second", graves)
        await consumer.close()
        came = await coming
        buried = await (await bench.consume(graves)).take_all(2 * len(KEYS))
        assert sorted(raw.envelope.body for raw in buried) == [b"first"] * len(KEYS) + [b"second"] * len(KEYS)
        for key in KEYS:
            await bench.send("last", queue.name, key=key)
        assert {raw.envelope.body for raw in await came.take_all(len(KEYS))} == {b"last"}


async def test_consumers_of_one_queue_in_one_program_share_it_at_once(interop: Kafka) -> None:
    """Each waits for the other to join again, which must not have to wait behind it."""
    queue = QueueSpec(name=f"shared.{new_id()}")
    async with Bench.open(interop.url) as bench, asyncio.timeout(15):
        await bench.declare(queue)
        takers = [await bench.consume(queue) for _ in range(3)]

        async def are_all_served() -> bool:
            await send_all(bench, queue)
            return all(taker.has_some for taker in takers)

        await until(are_all_served)
        for taker in takers:
            await taker.consumer.close()


class Busy(Taker):
    """Has something to finish of each partition, until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Queue[Part]()
        self.is_free = asyncio.Event()

    async def revoke(self, scope: object, _deadline: float, /) -> None:
        self.asked.put_nowait(cast("Part", scope))
        await self.is_free.wait()


async def test_a_partition_that_goes_to_another_while_the_queue_is_sought_is_read_by_him_alone(interop: Kafka) -> None:
    """What is finished for either is the same, and both are waiting for it."""
    queue = QueueSpec(name=f"sought.{new_id()}", options=(KafkaTopic(partitions=2),))
    async with Bench.open(interop.url) as bench, asyncio.timeout(60):
        await bench.declare(queue)
        await send_all(bench, queue)
        busy = Busy()
        busy.consumer = await bench.binding.subscribe(Subscription(queue=queue, max_in_flight=1000), busy)
        busy.consumer.credit(1000)
        many = Counter(partition_of(raw) for raw in await busy.take_all(len(KEYS)))
        assert isinstance(bench.binding, Replayable)
        seeking = asyncio.create_task(bench.binding.seek(queue, "earliest"))
        assert {(await busy.asked.get()).partition for _ in many} == set(many)
        coming = asyncio.create_task(bench.consume(queue, 1000))
        given = (await busy.asked.get()).partition
        busy.is_free.set()
        heir = await coming
        await seeking
        await send_all(bench, queue)
        inherited = await heir.take_all(2 * many[given])
        kept = await busy.take_all(2 * (len(KEYS) - many[given]))
        assert not busy.has_some
        assert not heir.has_some
        for taker in (busy, heir):
            await taker.consumer.close()
    assert {partition_of(raw) for raw in inherited} == {given}
    assert {partition_of(raw) for raw in kept} == many.keys() - {given}


async def send_all(bench: Bench, queue: QueueSpec) -> None:
    for key in KEYS:
        await bench.send("x", queue.name, key=key)


def partition_of(raw: RawDelivery) -> Partition:
    return cast("Part", raw.scope).partition


def settle(consumer: KafkaConsumer, raws: Sequence[RawDelivery], body: bytes, graves: QueueSpec) -> None:
    """Send them to the dead letters."""
    for raw in raws:
        if raw.envelope.body == body:
            copy = dead_copy(raw.envelope, queue="", to=graves.name, why=GiveUp("bad"), attempts=1, now=0.0)
            consumer.settle(raw, Dead(copy))
