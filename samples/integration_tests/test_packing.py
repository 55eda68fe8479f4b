"""Its tests: the same on memory and on every broker that the run is for."""
# ruff: noqa: S101, PLR2004 -- assert is how a test speaks, and its numbers are its data

from collections import Counter

import pytest

from msgkit.testing import Probe
from msgkit.testing.brokers import Broker
from msgkit.testing.plugin import ProbeApp
from samples.integration_tests.packing import (
    Order,
    Packing,
    Parcel,
    application,
    books,
    orders,
    parcels,
    stock,
    to_pack,
)

pytestmark = pytest.mark.asyncio


@pytest.fixture
def shelf() -> Counter[str]:
    return Counter(lamp=5)


def packed(probed: Probe) -> list[Parcel]:
    return [message.payload for message in probed.sent(parcels)]


async def test_what_is_on_the_shelf_is_packed_and_booked(msgkit_app: ProbeApp, shelf: Counter[str]) -> None:
    probed = await msgkit_app(application(shelf))
    await probed.template.send(orders, Order("1", "lamp", 2))
    await probed.idle()
    assert packed(probed) == [Parcel("1")]
    assert [entry.payload for entry in probed.sent(books)] == ["order 1: 2 lamp"]
    assert shelf["lamp"] == 3


async def test_what_is_not_there_yet_is_packed_when_it_is(msgkit_app: ProbeApp, shelf: Counter[str]) -> None:
    probed = await msgkit_app(application(shelf))
    await probed.template.send(orders, Order("2", "sofa", 1))
    await probed.idle()
    assert packed(probed) == []
    shelf["sofa"] = 1
    await probed.advance(1)
    assert packed(probed) == [Parcel("2")]
    assert [message.attempt for message in probed.handled(Packing.pack)] == [2]


async def test_what_never_comes_is_given_up(msgkit_app: ProbeApp, shelf: Counter[str]) -> None:
    probed = await msgkit_app(application(shelf))
    await probed.template.send(orders, Order("3", "piano", 1))
    await probed.advance(1 + 1)
    (letter,) = probed.dead(to_pack)
    assert letter.headers["msgkit-dead-error"] == "OutOfStock"
    assert letter.headers["msgkit-dead-attempts"] == 3


async def test_an_order_of_nothing_is_a_dead_letter_at_once(msgkit_app: ProbeApp, shelf: Counter[str]) -> None:
    probed = await msgkit_app(application(shelf))
    await probed.template.send(orders, Order("4", "lamp", 0))
    await probed.idle()
    (letter,) = probed.dead(to_pack)
    assert letter.headers["msgkit-dead-reason"] == "nothing to pack"


async def test_whoever_asks_is_told_what_is_left(msgkit_app: ProbeApp, shelf: Counter[str]) -> None:
    probed = await msgkit_app(application(shelf))
    assert await probed.template.request(stock, "lamp", int, timeout=10) == 5


async def test_an_order_survives_its_broker(broker: Broker, msgkit_app: ProbeApp, shelf: Counter[str]) -> None:
    if not broker.nodes:
        pytest.skip("nothing can be done to this broker")
    probed = await msgkit_app(application(shelf))
    await probed.template.send(orders, Order("5", "lamp", 1))
    await broker.kill()
    await broker.start()
    await probed.idle()
    assert Parcel("5") in packed(probed)
