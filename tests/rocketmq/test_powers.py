"""What a RocketMQ can be asked for beside sending and consuming."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from msgkit.envelope import Envelope, Kind
from msgkit.errors import TopologyMismatch, Unroutable, UnsupportedCapability
from msgkit.settlement import ACCEPT
from msgkit.spi import QueueSpec, RetryCopy
from msgkit.testing.brokers import RocketMQ
from msgkit_rocketmq.binding import RocketBinding
from msgkit_rocketmq.client import brokers
from msgkit_rocketmq.client.cluster import Cluster
from msgkit_rocketmq.consumer import RocketConsumer
from tests.bench import Bench
from tests.rocketmq.operating import PATIENCE

pytestmark = pytest.mark.broker


@pytest.fixture
async def bench(lending: RocketMQ) -> AsyncIterator[Bench]:
    async with Bench.open(lending.url) as bench:
        yield bench


@pytest.fixture
async def queue(bench: Bench, name: str) -> QueueSpec:
    queue = QueueSpec(name=name)
    await bench.declare(queue)
    return queue


def rocket(bench: Bench) -> RocketBinding:
    assert isinstance(bench.binding, RocketBinding)
    return bench.binding


async def browsed(bench: Bench, queue: QueueSpec) -> list[bytes]:
    return [envelope.body async for envelope in rocket(bench).browse(queue, None)]


async def come_back(bench: Bench, queue: QueueSpec, body: str) -> None:
    """Have a message be given back, and return when it waits where it comes back from."""
    taker = await bench.consume(queue, credit=1)
    await bench.send(body, queue.name)
    delivery = await taker.take()
    settled = taker.consumer.settle(delivery, RetryCopy(0, delivery.envelope))
    assert settled is not None
    await settled
    await taker.consumer.close()
    async with asyncio.timeout(PATIENCE):
        while not (await bench.depth(queue)).ready:  # noqa: ASYNC110 -- a broker can only be asked
            await asyncio.sleep(0.05)


# -- looking


async def test_what_came_back_waits_as_well_and_is_purged(bench: Bench, queue: QueueSpec) -> None:
    await come_back(bench, queue, "again")
    await bench.send("new", queue.name)
    assert (await bench.depth(queue)).agrees(ready=2)
    assert await browsed(bench, queue) == [b"again", b"new"]
    assert await rocket(bench).purge(queue) == 2
    assert (await bench.depth(queue)).agrees(ready=0)
    assert await browsed(bench, queue) == []


async def test_an_absent_queue_holds_nothing_that_could_be_looked_at(bench: Bench, name: str) -> None:
    absent = QueueSpec(name=f"{name}-absent")
    with pytest.raises(TopologyMismatch):
        await bench.depth(absent)
    with pytest.raises(TopologyMismatch):
        await browsed(bench, absent)


# -- reading again


async def test_what_was_accepted_before_a_fault_is_read_again_when_that_is_asked_for(
    bench: Bench, queue: QueueSpec
) -> None:
    taker = await bench.consume(queue)
    await bench.send("once", queue.name)
    await taker.settle(await taker.take(), ACCEPT)
    # From now on, what comes again is taken for the broker's forgetfulness.
    cast("RocketConsumer", taker.consumer).trouble()
    assert await rocket(bench).seek(queue, "earliest") == 1
    await bench.send("more", queue.name)
    assert {(await taker.take()).envelope.body for _ in range(2)} == {b"once", b"more"}


async def test_from_a_moment_on_nothing_older_is_read_again(bench: Bench, queue: QueueSpec) -> None:
    await bench.send("old", queue.name)
    assert await rocket(bench).seek(queue, datetime.now(UTC) + timedelta(minutes=1)) == 0
    assert await browsed(bench, queue) == []
    assert await rocket(bench).seek(queue, datetime.now(UTC) - timedelta(minutes=1)) == 1
    assert await browsed(bench, queue) == [b"old"]


async def test_what_waits_to_be_tried_again_is_read_again_only_once(bench: Bench, queue: QueueSpec) -> None:
    await come_back(bench, queue, "once")
    assert await rocket(bench).seek(queue, "earliest") == 1
    assert await browsed(bench, queue) == [b"once"]


# -- answers


@pytest.mark.parametrize(
    "to", ["amq.rabbitmq.reply-to.x", "rocketmq-client:DefaultCluster/gone", "rocketmq-client:no/x"]
)
async def test_an_answer_to_nobody_is_told_so(bench: Bench, to: str) -> None:
    with pytest.raises(Unroutable):
        await bench.binding.send(Envelope(b"answer", to, Kind.REPLY, "1", correlation_id="1"))


async def test_an_answer_is_as_it_was_sent(bench: Bench, lending: RocketMQ) -> None:
    answers = asyncio.Queue[Envelope]()
    address = await bench.listen(answers.put_nowait)
    sent = Envelope(b"", address, Kind.REPLY, "id", headers={"n": 2**60, "ü": "→"}, correlation_id="\x01odd\x02")
    async with Bench.open(lending.url) as other:
        receipt = await other.binding.send(sent)
    async with asyncio.timeout(PATIENCE):
        found = await answers.get()
    assert receipt.message_id == "id"
    assert (found.kind, found.destination, found.message_id) == (Kind.REPLY, address, "id")
    assert (found.body, dict(found.headers), found.correlation_id) == (b"", {"n": 2**60, "ü": "→"}, "\x01odd\x02")
    assert found.reply_to is None


# -- beneath


async def test_the_client_beneath_is_lent(bench: Bench) -> None:
    async with rocket(bench).native(Cluster) as cluster:
        assert await brokers.masters(cluster)


async def test_nothing_else_is_lent(bench: Bench) -> None:
    with pytest.raises(UnsupportedCapability, match=r"there is msgkit_rocketmq\.client\.cluster\.Cluster"):
        async with rocket(bench).native(str):
            pass
