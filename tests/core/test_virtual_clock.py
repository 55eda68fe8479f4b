import asyncio

import pytest

from msgkit.testing import VirtualClock


def test_time_stands_still_and_begins_the_same_in_every_test() -> None:
    clock = VirtualClock()
    assert clock.now() == clock.now() == VirtualClock().now() == 1_577_836_800
    assert VirtualClock(5).now() == 5


def test_what_is_due_is_called_in_order_and_at_its_own_time() -> None:
    clock = VirtualClock(0)
    called: list[tuple[str, float]] = []

    def at(name: str, delay: float) -> None:
        clock.call_later(delay, lambda: called.append((name, clock.now())))

    at("c", 3)
    at("a", 1)
    at("b", 1)
    at("late", 11)
    clock.advance_to(10)
    assert called == [("a", 1), ("b", 1), ("c", 3)]
    assert (clock.now(), clock.next_due) == (10, 11)


def test_what_is_set_by_what_is_due_is_called_in_the_same_advance_if_it_is_due_by_then() -> None:
    clock = VirtualClock(0)
    ticks: list[float] = []

    def tick() -> None:
        ticks.append(clock.now())
        clock.call_later(2, tick)

    clock.call_later(2, tick)
    clock.advance_to(7)
    assert ticks == [2, 4, 6]
    assert clock.next_due == 8


@pytest.mark.parametrize("delay", [0, -5])
def test_what_is_due_at_once_is_called_when_time_is_next_looked_at_and_not_before(delay: float) -> None:
    clock = VirtualClock(0)
    called: list[float] = []
    clock.call_later(delay, lambda: called.append(clock.now()))
    assert called == []
    clock.advance_to(0)
    assert called == [0]


def test_time_never_goes_back() -> None:
    clock = VirtualClock(10)
    clock.advance_to(5)
    assert clock.now() == 10


def test_what_is_cancelled_is_not_called_and_is_not_waited_for() -> None:
    clock = VirtualClock(0)
    called: list[str] = []
    first = clock.call_later(1, lambda: called.append("first"))
    second = clock.call_later(2, lambda: called.append("second"))
    first.cancel()
    assert clock.next_due == 2
    clock.advance_to(2)
    second.cancel()
    assert called == ["second"]
    assert clock.next_due is None


def test_what_fails_stops_the_clock_there_and_the_rest_comes_later() -> None:
    clock = VirtualClock(0)
    called: list[float] = []

    def fail() -> None:
        raise ValueError("no")

    clock.call_later(1, fail)
    clock.call_later(2, lambda: called.append(clock.now()))
    with pytest.raises(ValueError, match="no"):
        clock.advance_to(5)
    assert (clock.now(), called) == (1, [])
    clock.advance_to(5)
    assert (clock.now(), called) == (5, [2])


async def test_a_sleep_ends_when_its_time_has_come() -> None:
    clock = VirtualClock(0)
    sleeping = asyncio.create_task(clock.sleep(5))
    await asyncio.sleep(0)
    clock.advance_to(4.9)
    await asyncio.sleep(0)
    assert not sleeping.done()
    clock.advance_to(5)
    await sleeping


async def test_a_sleep_that_is_cancelled_leaves_no_timer() -> None:
    clock = VirtualClock(0)
    sleeping = asyncio.create_task(clock.sleep(5))
    await asyncio.sleep(0)
    sleeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sleeping
    assert clock.next_due is None
