"""Messages that were deleted before they were handled, and how a queue goes on after them."""

import asyncio
from typing import Any

import pytest

from msgkit import Application, Exchange, Settings, listener
from msgkit.envelope import new_id
from msgkit.testing.brokers import Kafka
from msgkit_kafka import KafkaTopic
from msgkit_kafka.wire.cluster import Cluster
from msgkit_kafka.wire.connection import Door
from msgkit_kafka.wire.topics import DELETE_RECORDS, Cut, CutPartition, CutTopic
from tests.waiting import until

pytestmark = [pytest.mark.broker, pytest.mark.xdist_group("kafka-interop")]


async def delete(broker: Kafka, topic: str, before: int) -> None:
    """Have all be gone that stands before an offset of the first partition."""
    cluster = Cluster(Door(client="deleting"), broker.addresses)
    try:
        await cluster.refresh([topic])
        cut = Cut([CutTopic(topic, [CutPartition(0, before)])], 5_000)
        await cluster.ask(cluster.topics[topic].leaders[0], DELETE_RECORDS, cut)
    finally:
        await cluster.close()


async def test_a_queue_whose_messages_were_deleted_stops_there_and_goes_on_where_it_is_sought(interop: Kafka) -> None:
    name, settings = new_id(), Settings(url=interop.url)
    orders = Exchange(name, str, options=[KafkaTopic(partitions=1)])
    billing = orders.queue(f"{name}.billing")
    handled: asyncio.Queue[str] = asyncio.Queue()

    @listener(billing)
    async def bill(order: str) -> None:
        handled.put_nowait(order)

    async with Application([], topology=[billing], settings=settings) as before:
        await before.template.send_many(orders, ["gone", "gone too", "kept"])
    await delete(interop, name, 2)
    async with Application([bill], settings=settings) as app, asyncio.timeout(60):

        async def trouble() -> Any:
            health: Any = await app.health()
            return health["brokers"]["default"]["trouble"]

        assert "offset out of range" in await until(trouble)
        assert handled.empty()
        assert await Application(settings=settings).seek(billing, "earliest") == 1
        assert await handled.get() == "kept"
        assert (await app.health())["status"] == "up"
        await app.template.send(orders, "new")
        assert await handled.get() == "new"
