from typing import Any

import pytest

from msgkit import Message
from msgkit.testing import Probe, probe
from tests.scenarios.placing import CardDeclined, app, bill, billing, notify, reserve, unpaid
from tests.scenarios.shop import OrderPlaced, orders


def ids(messages: list[Message[Any]]) -> list[str]:
    return [message.payload.id for message in messages]


async def place(probed: Probe, *placed: OrderPlaced) -> None:
    await probed.template.send_many(orders, placed, headers={"x-trace": "t"})
    await probed.idle()


async def test_the_listener_is_a_function() -> None:
    with pytest.raises(CardDeclined, match="t"):
        await bill(OrderPlaced("1", "17", "eu", 2000), trace="t")


async def test_each_service_gets_the_orders_that_it_asked_for() -> None:
    async with probe(app) as probed:
        await place(probed, OrderPlaced("1", "17", "eu", 30), OrderPlaced("2", "18", "us", 40))
        assert ids(probed.handled(bill)) == ["1", "2"]
        assert ids(probed.handled(reserve)) == ["1"]
        assert sorted(ids(probed.handled(notify))) == ["1", "2"]


@pytest.mark.parametrize(
    ("total", "reason", "error"),
    [(-3, "negative total", None), (2000, "gave up", "CardDeclined")],
)
async def test_an_order_that_is_hopeless_is_a_dead_letter_at_once(total: int, reason: str, error: str | None) -> None:
    async with probe(app) as probed:
        await place(probed, OrderPlaced("1", "17", "eu", total))
        (letter,) = probed.dead(billing)
        assert letter.headers["msgkit-dead-reason"] == reason
        assert letter.headers.get("msgkit-dead-error") == error
        assert letter.headers["msgkit-dead-attempts"] == 1
        assert letter.headers["x-trace"] == "t"
        assert [message.payload for message in probed.handled(unpaid)] == [letter.payload]
        assert ids(probed.handled(notify)) == ["1"]


async def test_a_failing_order_is_tried_five_times_and_holds_its_own_customer_only() -> None:
    async with probe(app) as probed:
        await place(
            probed,
            OrderPlaced("1", "17", "eu", 0),
            OrderPlaced("2", "17", "eu", 30),
            OrderPlaced("3", "18", "eu", 30),
        )
        assert ids(probed.handled(bill)) == ["3"]
        await probed.advance(10)
        assert ids(probed.handled(bill)) == ["3", "2"]
        (letter,) = probed.dead(billing)
        assert letter.headers["msgkit-dead-attempts"] == 5
        assert letter.headers["msgkit-dead-error"] == "ValueError"
