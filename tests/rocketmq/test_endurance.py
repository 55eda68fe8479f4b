"""What goes wrong again and again: consumers that come, go and are killed, brokers lost. The ledger judges."""

import pytest

from tests.endurance import SEEDS, kill_consumers, run_at_random, visit
from tests.rocketmq.harness import RocketHarness

pytestmark = pytest.mark.broker


async def test_consumers_that_are_killed_under_load_lose_nothing(harness: RocketHarness) -> None:
    await kill_consumers(harness)


async def test_twenty_consumers_that_come_and_go_under_load_repeat_nothing(harness: RocketHarness) -> None:
    await visit(harness)


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_random_run_with_faults_keeps_every_promise(harness: RocketHarness, seed: int) -> None:
    await run_at_random(harness, seed)
