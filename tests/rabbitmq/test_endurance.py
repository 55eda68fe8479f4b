"""What goes wrong again and again: consumers killed, nodes lost, everything at once. The ledger judges."""

import asyncio
import logging
from collections.abc import Iterator

import pytest

from msgkit.envelope import new_id
from msgkit.errors import BrokerUnavailable
from msgkit.settlement import ACCEPT
from msgkit.spi import Down, QueueSpec, Up
from msgkit.testing.brokers import RabbitMQ
from msgkit_rabbitmq import RabbitQueue
from tests.bench import Bench
from tests.brokers.running import running
from tests.endurance import SECONDS, kill_consumers, of_version, run_at_random
from tests.rabbitmq.harness import RabbitHarness
from tests.waiting import until

pytestmark = pytest.mark.broker

VERSIONS = 2


@pytest.fixture(scope="module")
def of_three() -> Iterator[RabbitMQ]:
    yield from running(RabbitMQ(nodes=3, provider="process", proxied=True))


async def test_consumers_that_are_killed_under_load_lose_nothing(harness: RabbitHarness) -> None:
    await kill_consumers(harness)


@pytest.mark.parametrize("number", range(len(of_version(0, VERSIONS))))
async def test_a_random_run_with_faults_keeps_every_promise(harness: RabbitHarness, number: int) -> None:
    seeds = of_version(int(harness.broker.provider == "container"), VERSIONS)
    await run_at_random(harness, seeds[number])


@pytest.mark.xdist_group("rabbitmq-cluster")
async def test_a_cluster_that_loses_a_node_keeps_every_promise(of_three: RabbitMQ) -> None:
    async with RabbitHarness(of_three, clears=False, one_by_one=True) as harness:
        for seed in (31, 32):
            await run_at_random(harness, seed, 2 * SECONDS)


@pytest.mark.xdist_group("rabbitmq-cluster")
async def test_a_queue_whose_node_is_down_is_waited_for(of_three: RabbitMQ, caplog: pytest.LogCaptureFixture) -> None:
    """It is there, and so it is not wrong: a broker that starts serves its queues one after the other."""
    caplog.set_level(logging.INFO)
    first, second, _ = of_three.nodes
    queue = QueueSpec(name=new_id(), options=(RabbitQueue(kind="classic"),))
    here, there = (f"amqp://guest:guest@{node.address}" for node in (first, second))
    async with Bench.open(there) as bench:
        await bench.declare(queue)
        await bench.send("kept", queue.name)
    async with Bench.open(here) as bench, asyncio.timeout(60):
        await bench.declare(queue)
        await second.stop()
        await first.proxy.cut()
        assert isinstance(await bench.events.get(), Down)
        assert isinstance(await bench.events.get(), Up)

        async with Bench.open(here, wait=1) as late:
            for question in (late.declare(queue), late.consume(queue), late.depth(queue)):
                with pytest.raises(BrokerUnavailable, match=r"home node .* is down"):
                    await question
        consuming = asyncio.create_task(bench.consume(queue))
        await second.start()
        taker = await consuming
        delivery = await taker.take()
        assert delivery.envelope.body == b"kept"
        await taker.settle(delivery, ACCEPT)

        async def is_told() -> bool:
            return "all that was declared can be reached again" in caplog.text

        await until(is_told, patience=30)
        assert bench.events.empty()
