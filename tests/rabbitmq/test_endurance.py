"""What goes wrong again and again: consumers killed, nodes lost, everything at once. The ledger judges."""

import asyncio
import os
from collections.abc import AsyncIterator
from functools import partial

import pytest

from msgkit.testing.brokers import RabbitMQ
from msgkit.testing.conformance.handlers import accept
from msgkit.testing.conformance.lab import Lab
from msgkit.testing.conformance.soak import Soak
from msgkit.topology import Queue
from tests.brokers.conftest import started
from tests.rabbitmq.harness import ClusterHarness, RabbitHarness

pytestmark = pytest.mark.broker

#: A few here; many on demand.
KILLS = int(os.environ.get("MSGKIT_TEST_ROUNDS", "5"))
#: For each of the two versions.
FIRST, SEVERAL = int(os.environ.get("MSGKIT_TEST_SEED", "1")), int(os.environ.get("MSGKIT_TEST_SEEDS", "10"))
SEEDS = range(FIRST, FIRST + SEVERAL)
SECONDS = float(os.environ.get("MSGKIT_TEST_SECONDS", "3"))


@pytest.fixture
async def cluster() -> AsyncIterator[ClusterHarness]:
    of_three = RabbitMQ(nodes=3, provider="process", proxied=True)
    async with started(of_three) as broker, ClusterHarness(broker) as harness:
        yield harness


async def test_consumers_that_are_killed_under_load_lose_nothing(harness: RabbitHarness) -> None:
    async with Lab(harness, "killed") as lab:
        queue = lab.queue()
        await lab.declare(queue)
        done = asyncio.Event()
        sending = asyncio.create_task(send_until(lab, queue, done))
        for number in range(KILLS):
            name = f"victim-{number}"
            victim = await lab.spawn(queue, name, concurrency=4)
            await lab.until(partial(is_at_work, lab, name), f"{name} at work")
            async with lab.fault("consumer-kill", name):
                await victim.kill()
        done.set()
        await sending
        heir = lab.handler(queue, "heir").does(accept, concurrency=4)
        async with lab.application(heir):
            await lab.until(lambda: lab.is_settled(queue), "all handled at last")


def is_at_work(lab: Lab, consumer: str) -> bool:
    return lab.begun(consumer) > 20


async def send_until(lab: Lab, queue: Queue[str], done: asyncio.Event) -> None:
    number = 0
    while not done.is_set():
        number += 1
        await lab.send(queue, f"job {number}", key=f"{number % 7}")


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_random_run_with_faults_keeps_every_promise(harness: RabbitHarness, seed: int) -> None:
    if harness.broker.provider == "container":
        seed += SEVERAL
    async with Lab(harness, f"soak-{seed}") as lab:
        await Soak(lab, seed).run(SECONDS)


@pytest.mark.xdist_group("rabbitmq-cluster")
async def test_a_cluster_that_loses_a_node_keeps_every_promise(cluster: ClusterHarness) -> None:
    for seed in (31, 32):
        async with Lab(cluster, f"cluster-{seed}") as lab:
            await Soak(lab, seed).run(2 * SECONDS)
