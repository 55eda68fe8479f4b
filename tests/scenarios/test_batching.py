from collections.abc import Iterator

import pytest

from msgkit.testing import probe
from tests.scenarios.batching import app, lake, store, store_some, warehouse, written
from tests.scenarios.shop import OrderPlaced, orders


@pytest.fixture(autouse=True)
def _nothing_written() -> Iterator[None]:
    written.clear()
    yield
    written.clear()


def order(number: int, total: int = 30) -> OrderPlaced:
    return OrderPlaced(str(number), str(number), "eu", total)


async def test_a_batch_is_called_when_its_time_is_up() -> None:
    async with probe(app) as probed:
        await probed.template.send_many(orders, [order(1), order(2), order(3)])
        await probed.advance(1)
        assert written == [["1", "2", "3"]] * 2
        assert len(probed.handled(store)) == len(probed.handled(store_some)) == 3


async def test_a_full_batch_does_not_wait() -> None:
    async with probe(app) as probed:
        await probed.template.send_many(orders, [order(number) for number in range(500)])
        await probed.idle()
        assert [len(rows) for rows in written] == [500, 500]


async def test_in_a_batch_each_message_can_end_in_its_own_way() -> None:
    async with probe(app) as probed:
        await probed.template.send_many(orders, [order(1), order(2, -1), order(3, 0)])
        await probed.advance(1)
        (letter,) = probed.dead(lake)
        assert letter.headers["msgkit-dead-reason"] == "bad row"
        assert b'"id":"2"' in letter.payload
        written.clear()
        await probed.advance(61)
        assert ["3"] in written
        # The warehouse tries all of its batch again; the lake has done with the first.
        assert [row.payload.id for row in probed.handled(store_some)].count("1") == 1


async def test_when_a_batch_raises_each_of_it_is_tried_again() -> None:
    async with probe(app) as probed:
        await probed.template.send_many(orders, [order(1), order(2, -1)])
        await probed.advance(1)
        assert written[0] == ["1", "2"]
        await probed.advance(60)
        assert sum("2" in rows for rows in written) == 5 + 1
        letters = [letter for letter in probed.dead(warehouse) if b'"id":"2"' in letter.payload]
        assert [letter.headers["msgkit-dead-attempts"] for letter in letters] == [5]
