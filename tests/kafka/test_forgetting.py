"""Brokers forget how far a group has come when nobody was in it for a while; what waits is not to be lost by that."""

import asyncio
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from typing import Any

import pytest

from msgkit import Application, MessageTemplate, Queue, Reject, Settings, listener
from msgkit.settlement import ACCEPT
from msgkit.testing.brokers import Kafka
from msgkit_kafka.groups import Groups
from msgkit_kafka.wire.cluster import Cluster
from msgkit_kafka.wire.connection import Door
from msgkit_kafka.wire.subscriptions import Partition
from tests.brokers.running import running
from tests.waiting import until

_aiokafka: Any = import_module("aiokafka")

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.xdist_group("kafka-forgetting")]

JOBS = Queue("jobs", str)
#: Seconds for a broker to forget what it keeps for a minute.
FORGOTTEN = 120.0


@pytest.fixture(scope="module")
def forgetful() -> Iterator[Kafka]:
    config = {"offsets.retention.minutes": 1, "offsets.retention.check.interval.ms": 500}
    yield from running(Kafka(provider="process", config=config))


async def test_a_queue_that_nobody_looked_into_for_long_goes_on_where_it_was(forgetful: Kafka) -> None:
    settings = Settings(url=forgetful.url)
    handled: asyncio.Queue[str] = asyncio.Queue()

    @listener(JOBS)
    async def work(job: str) -> Reject | None:
        handled.put_nowait(job)
        return Reject("bad") if job == "bad" else None

    async with Application([work], settings=settings) as app:
        await app.template.send_many(JOBS, ["before", "bad"], key="one lane")
        assert [await handled.get(), await handled.get()] == ["before", "bad"]
        async with app.template.receiver(JOBS.dead_letters) as receiver:
            (dead,) = await receiver.take(1, timeout=20)
            await dead.settle(ACCEPT)
        await app.template.send(JOBS, "bad", key="one lane")
        assert await handled.get() == "bad"
    async with MessageTemplate(settings) as template:
        await template.send(JOBS, "after", key="one lane")
    await others_are_forgotten(forgetful)
    async with Application([work], settings=settings) as app, asyncio.timeout(30):
        assert await handled.get() == "after"
        async with app.template.receiver(JOBS.dead_letters) as receiver:
            assert len(await receiver.take(2, timeout=5)) == 1
    assert handled.empty()


async def others_are_forgotten(broker: Kafka) -> None:
    """Return when the broker has forgotten a group that was left just now."""
    where = ",".join(map(str, broker.addresses))
    consumer = _aiokafka.AIOKafkaConsumer(bootstrap_servers=where, group_id="others", enable_auto_commit=False)
    await consumer.start()
    consumer.assign([_aiokafka.TopicPartition("jobs", 0)])
    await consumer.commit({_aiokafka.TopicPartition("jobs", 0): 0})
    await consumer.stop()
    cluster = Cluster(Door(client="looking"), broker.addresses)
    try:
        await until(partial(has_nothing, Groups(cluster), "others"), patience=FORGOTTEN)
    finally:
        await cluster.close()


async def has_nothing(groups: Groups, group: str) -> bool:
    (standing,) = (await groups.standings(group, [Partition("jobs", 0)])).values()
    return standing.offset is None
