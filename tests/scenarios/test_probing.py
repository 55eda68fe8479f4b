"""A user's own tests of a service, as the how-to on testing shows them."""

from collections.abc import AsyncIterator

import pytest

from msgkit import Settings
from msgkit.testing import Probe, probe
from tests.scenarios.placing import app, bill, billing, notify
from tests.scenarios.shop import OrderPlaced, orders


async def test_the_listener_is_a_function() -> None:
    await bill(OrderPlaced("1", "17", "eu", 30), trace="t")


async def test_a_bad_order_is_dead_lettered() -> None:
    # On memory://, in virtual time, whatever MSGKIT_URL says.
    async with probe(app) as probed:
        await probed.template.send(orders, OrderPlaced("1", "17", "eu", -3))
        await probed.idle()
        assert probed.dead(billing)[0].headers["msgkit-dead-reason"] == "negative total"
        assert len(probed.handled(notify)) == 1


@pytest.fixture(params=["memory://scenario-probing"])
async def live(request: pytest.FixtureRequest) -> AsyncIterator[Probe]:
    async with probe(app, Settings(url=request.param, prefix="test.")) as probed:
        yield probed


async def test_the_order_reaches_mail(live: Probe) -> None:
    await live.template.send(orders, OrderPlaced("1", "17", "eu", 3))
    await live.idle(timeout=30)
    assert live.handled(notify)
