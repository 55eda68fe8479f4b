"""Anonymous queues on a real RocketMQ: groups that go with their process, or are swept after it."""

import asyncio

import pytest

from msgkit.envelope import Kind
from msgkit.spi import ExchangeSpec, QueueSpec, RouteSpec
from msgkit.testing.brokers import RocketMQ
from msgkit_rocketmq.client import groups, topics
from msgkit_rocketmq.client.cluster import Cluster
from msgkit_rocketmq.client.handles import retry_topic
from msgkit_rocketmq.client.presence import Interest
from msgkit_rocketmq.sweeping import sweep
from tests.bench import Bench
from tests.rocketmq.operating import made, new_place, sent, taken
from tests.waiting import until

pytestmark = pytest.mark.broker


async def known(cluster: Cluster, name: str) -> list[str]:
    return [group for table in (await groups.describe(cluster)).values() for group in table if name in group]


async def test_what_dead_processes_left_behind_is_swept(cluster: Cluster, name: str) -> None:
    place = await new_place(cluster, name)
    left, lived_in = f"{name}-left", f"{name}-lived-in"
    for group in (left, lived_in, f"other-{name}"):
        source = await made(cluster, place, group)
        await sent(cluster, place, b"one")
        await taken(cluster, source)
    await cluster.presence.consume(lived_in, [Interest(name)])
    assert await sweep(cluster, name, every=0.01) == {left}
    assert sorted(await known(cluster, name)) == [f"other-{name}", lived_in]
    assert not await topics.describe(cluster, retry_topic(name, left))
    assert await topics.describe(cluster, retry_topic(name, lived_in))


async def test_who_is_there_again_in_time_is_not_swept(cluster: Cluster, name: str) -> None:
    place = await new_place(cluster, name)
    await made(cluster, place, name)
    sweeping = asyncio.create_task(sweep(cluster, name, every=0.5))
    await asyncio.sleep(0)
    await cluster.presence.consume(name, [Interest(name)])
    assert not await sweeping
    assert await known(cluster, name) == [name]


async def test_an_anonymous_queue_goes_with_its_consumer(lending: RocketMQ, cluster: Cluster, name: str) -> None:
    exchange = ExchangeSpec(name=name)
    queue = QueueSpec(name=f"{name}.mine", routes=(RouteSpec(exchange=name),), anonymous=True)
    async with Bench.open(lending.url) as bench:
        await bench.declare(exchange, queue)
        taker = await bench.consume(queue)
        await bench.send("news", name, kind=Kind.EXCHANGE)
        assert (await taker.take()).envelope.body == b"news"
        (group,) = await known(cluster, name)
        assert group == f"msgkit-anon-{name}-mine"
        assert await groups.members(cluster, group)
        await taker.consumer.close()
        assert not await known(cluster, name)
        assert not await topics.describe(cluster, retry_topic(name, group))


async def test_a_consumer_whose_end_nobody_waits_for_leaves_all_the_same(
    lending: RocketMQ, cluster: Cluster, name: str
) -> None:
    queue = QueueSpec(name=f"{name}.mine", routes=(RouteSpec(exchange=name),), anonymous=True)
    async with Bench.open(lending.url) as bench:
        await bench.declare(ExchangeSpec(name=name), queue)
        taker = await bench.consume(queue)
        closing = asyncio.create_task(taker.consumer.close())
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing

        async def is_gone() -> bool:
            return not await known(cluster, name)

        await until(is_gone)


async def test_a_client_that_is_closed_closes_its_consumers(lending: RocketMQ, cluster: Cluster, name: str) -> None:
    queue = QueueSpec(name=f"{name}.mine", routes=(RouteSpec(exchange=name),), anonymous=True)
    async with Bench.open(lending.url) as bench:
        await bench.declare(ExchangeSpec(name=name), queue)
        await bench.consume(queue)
        assert await known(cluster, name)
    assert not await known(cluster, name)
