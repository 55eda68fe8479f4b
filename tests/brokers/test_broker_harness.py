import asyncio

import pytest

from msgkit.errors import ConfigurationError
from msgkit.testing.brokers import Broker, RabbitMQ
from msgkit.testing.conformance.harness import Fault
from msgkit.testing.conformance.real import BrokerHarness
from tests.brokers.plain import CLIENTS

pytestmark = pytest.mark.broker


@pytest.fixture
def harness(hurt: Broker) -> BrokerHarness:
    return BrokerHarness(hurt)


async def test_a_harness_offers_what_any_broker_can_be_made_to_have(harness: BrokerHarness) -> None:
    general = {Fault.CUT, Fault.STOP, Fault.KILL, Fault.PAUSE, Fault.LOSE_CONFIRM, Fault.SLOW, Fault.SPAWN}
    assert harness.faults == general
    assert harness.settings().url == harness.broker.url


async def test_a_harness_heals_all_that_it_did(harness: BrokerHarness) -> None:
    await harness.slow(0.1)
    await harness.pause()
    await harness.heal()
    await harness.kill()
    await harness.heal()
    async with CLIENTS[type(harness.broker)](harness.broker) as client:
        before = await client.stored()
        await client.store(b"well")
        assert await client.stored() == before + 1


@pytest.mark.parametrize("stored", [True, False])
async def test_a_lost_confirm_is_of_a_message_that_is_stored_or_not(harness: BrokerHarness, *, stored: bool) -> None:
    async with CLIENTS[type(harness.broker)](harness.broker) as client:
        await client.store(b"warm")
        before = await client.stored()
        await harness.lose_confirm(stored=stored)
        if harness.broker.name == "kafka":
            # Its producer sends again by itself, once more than it need be if the first was stored.
            await client.store(b"unknown")
            assert await client.stored() == before + 1 + stored
        else:
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await client.store(b"unknown")
            assert await client.stored() == before + stored


def test_a_broker_without_a_proxy_is_no_harness() -> None:
    with pytest.raises(ConfigurationError):
        BrokerHarness(RabbitMQ())
