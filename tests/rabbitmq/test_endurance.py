"""What goes wrong again and again: consumers killed, nodes lost, everything at once. The ledger judges."""

from collections.abc import AsyncIterator

import pytest

from msgkit.testing.brokers import RabbitMQ
from tests.brokers.running import started
from tests.endurance import SECONDS, SEEDS, kill_consumers, run_at_random
from tests.rabbitmq.harness import RabbitHarness

pytestmark = pytest.mark.broker


@pytest.fixture
async def cluster() -> AsyncIterator[RabbitHarness]:
    of_three = RabbitMQ(nodes=3, provider="process", proxied=True)
    async with started(of_three) as broker, RabbitHarness(broker, clears=False, one_by_one=True) as harness:
        yield harness


async def test_consumers_that_are_killed_under_load_lose_nothing(harness: RabbitHarness) -> None:
    await kill_consumers(harness)


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_random_run_with_faults_keeps_every_promise(harness: RabbitHarness, seed: int) -> None:
    if harness.broker.provider == "container":
        seed += len(SEEDS)
    await run_at_random(harness, seed)


@pytest.mark.xdist_group("rabbitmq-cluster")
async def test_a_cluster_that_loses_a_node_keeps_every_promise(cluster: RabbitHarness) -> None:
    for seed in (31, 32):
        await run_at_random(cluster, seed, 2 * SECONDS)
