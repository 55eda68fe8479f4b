from collections.abc import Iterator

import pytest

from msgkit import Retry
from msgkit.testing import delivery, probe
from msgkit.testing.delivery import ByHand
from tests.scenarios.by_hand import app, render, seen, trace_id, traces, unready, work
from tests.scenarios.shop import OrderPlaced, orders


@pytest.fixture(autouse=True)
def _nothing_done() -> Iterator[None]:
    yield
    for kept in (seen, traces, unready, work):
        kept.clear()


ORDER = OrderPlaced("1", "17", "eu", 30)


async def test_a_trace_travels_from_the_sender_to_every_handler() -> None:
    async with probe(app) as probed:
        token = trace_id.set("t")
        await probed.template.send(orders, ORDER)
        trace_id.reset(token)
        await probed.idle()
    assert sorted(work) == ["render 1 t", "video 1 t"]
    assert traces == ["t"]


async def test_what_is_not_ready_is_tried_again_when_the_handler_says() -> None:
    async with probe(app) as probed:
        unready.add("1")
        await probed.template.send(orders, ORDER)
        await probed.idle()
        unready.clear()
        await probed.advance(29)
        assert work == []
        await probed.advance(1)
        assert sorted(work) == ["render 1 -", "video 1 -"]


async def test_a_repeated_message_is_kept_away_from_the_listener_that_asked_for_it() -> None:
    async with probe(app) as probed:
        for _ in range(2):
            await probed.template.send(orders, ORDER, message_id="m")
            await probed.idle()
    assert sorted(work) == ["render 1 -", "video 1 -", "video 1 -"]


async def test_a_delivery_can_be_made_by_hand() -> None:
    unready.add("1")
    taken = delivery(ORDER)
    await render(taken, {})
    assert isinstance(taken.settler, ByHand)
    assert isinstance(taken.settler.settled, Retry)
    assert taken.settler.settled.after == 30
