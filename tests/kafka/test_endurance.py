"""What goes wrong again and again: consumers that come, go and are killed, nodes lost. The ledger judges."""

from collections.abc import AsyncIterator, Iterator
from functools import partial

import pytest

from msgkit.testing.brokers import Kafka
from msgkit.testing.conformance.handlers import accept
from msgkit.testing.conformance.lab import Lab
from tests.brokers.running import running, started
from tests.endurance import SECONDS, SEEDS, has_some, kill_consumers, run_at_random, sending, visit
from tests.kafka.conftest import KAFKAS, WANTED
from tests.kafka.harness import KafkaHarness

pytestmark = pytest.mark.broker


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, id=name, marks=pytest.mark.xdist_group(f"kafka-hurt-{name}")) for name in WANTED],
)
def checked(request: pytest.FixtureRequest) -> Iterator[Kafka]:
    """Return one that the conformance suite does not wait for."""
    yield from running(KAFKAS[request.param]())


@pytest.fixture
async def cluster() -> AsyncIterator[KafkaHarness]:
    of_three = Kafka(nodes=3, provider="process", proxied=True)
    async with started(of_three) as broker, KafkaHarness(broker, one_by_one=True) as harness:
        yield harness


async def test_consumers_that_are_killed_under_load_lose_nothing(harness: KafkaHarness) -> None:
    await kill_consumers(harness)


async def test_twenty_consumers_that_come_and_go_under_load_repeat_nothing(harness: KafkaHarness) -> None:
    await visit(harness)


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_random_run_with_faults_keeps_every_promise(harness: KafkaHarness, seed: int) -> None:
    await run_at_random(harness, seed)


@pytest.mark.xdist_group("kafka-cluster")
class TestCluster:
    async def test_one_that_loses_a_node_keeps_every_promise(self, cluster: KafkaHarness) -> None:
        for seed in (31, 32):
            await run_at_random(cluster, seed, 2 * SECONDS)

    async def test_one_that_loses_the_coordinator_of_a_group_goes_on(self, cluster: KafkaHarness) -> None:
        async with Lab(cluster, "coordinated") as lab:
            queue = lab.queue()
            handler = lab.handler(queue, "handler").does(accept, concurrency=4)
            async with lab.application(handler) as app:
                async with sending(lab, queue):
                    await lab.until(partial(has_some, lab, "handler"), "messages handled before")
                    coordinator = await cluster.coordinator(queue)
                    async with lab.fault("broker-kill"):
                        await coordinator.kill()
                        before = lab.begun("handler")
                        await lab.until(lambda: lab.begun("handler") > before + 100, "messages handled without it")
                        await coordinator.start()
                        await lab.until(lambda: lab.is_healthy(app), "all well again")
                await lab.until(lambda: lab.is_settled(queue), "all handled at last")
