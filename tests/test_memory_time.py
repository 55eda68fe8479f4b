from collections.abc import AsyncIterator, Callable
from itertools import pairwise

import pytest

from msgkit.clock import SYSTEM
from msgkit.envelope import Kind
from msgkit.errors import Unroutable
from msgkit.settlement import ACCEPT
from msgkit.spi import Depth, ExchangeSpec, Gap, QueueSpec, RetryCopy, RouteSpec, Up
from msgkit.testing.clock import VirtualClock, VirtualTimer
from tests.memory_client import Bench, pass_time, turns, until

JOBS = QueueSpec(name="jobs")
NEWS = RouteSpec(exchange="news")
COPY = QueueSpec(name="news.1", routes=(NEWS,), anonymous=True)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def bench(clock: VirtualClock) -> AsyncIterator[Bench]:
    async with Bench.open(clock=clock) as bench:
        await bench.declare(JOBS)
        yield bench


async def test_a_delayed_message_comes_when_it_is_due_and_never_early(bench: Bench, clock: VirtualClock) -> None:
    sink = await bench.consume(JOBS)
    await bench.send("x", delay=10.0)
    assert await bench.depth(JOBS) == Depth(ready=0, unsettled=0, delayed=1)
    await pass_time(clock, 9.999)
    assert sink.got == []
    await pass_time(clock, 0.001)
    delivery = await sink.take()
    assert (delivery.envelope.delay, delivery.envelope.deliver_at) == (None, None)


async def test_deliver_at_is_read_by_the_brokers_clock(bench: Bench, clock: VirtualClock) -> None:
    sink = await bench.consume(JOBS)
    await bench.send("later", deliver_at=clock.now() + 60)
    await bench.send("past", deliver_at=clock.now() - 60)
    await turns()
    assert sink.bodies == ["past"]
    await pass_time(clock, 59)
    assert sink.bodies == ["past"]
    await pass_time(clock, 1)
    assert sink.bodies == ["past", "later"]


async def test_delays_end_in_their_order_whatever_the_order_of_sending(bench: Bench, clock: VirtualClock) -> None:
    sink = await bench.consume(JOBS)
    for delay in (5.0, 1.0, 3.0, 1.0, 4.0):
        await bench.send(f"{delay:g}", delay=delay)
    await pass_time(clock, 10)
    assert sink.bodies == ["1", "1", "3", "4", "5"]


async def test_routes_are_evaluated_when_a_delay_ends(bench: Bench, clock: VirtualClock) -> None:
    await bench.declare(ExchangeSpec(name="news"))
    await bench.send("x", "news", kind=Kind.EXCHANGE, delay=10.0)
    late = QueueSpec(name="late", routes=(NEWS,))
    await bench.declare(late)
    await pass_time(clock, 10)
    assert (await bench.depth(late)).ready == 1


async def test_a_delay_to_nowhere_is_refused_at_once(bench: Bench) -> None:
    with pytest.raises(Unroutable, match="does not exist"):
        await bench.send("x", "nowhere", delay=10.0)
    await bench.declare(ExchangeSpec(name="news"))
    with pytest.raises(Unroutable, match="no queue"):
        await bench.send("x", "news", kind=Kind.EXCHANGE, delay=10.0, require_route=True)


async def test_a_retry_waits_as_long_as_it_was_asked_to(bench: Bench, clock: VirtualClock) -> None:
    sink = await bench.consume(JOBS)
    await bench.send("x")
    delivery = await sink.take()
    sink.settle(delivery, RetryCopy(2.5, delivery.envelope))
    await pass_time(clock, 2.4)
    assert sink.got == []
    assert (await bench.depth(JOBS)).delayed == 1
    await pass_time(clock, 0.1)
    assert (await sink.take()).attempt == 2


async def test_on_the_machines_clock_a_delay_is_not_cut_short_either() -> None:
    async with Bench.open() as bench:
        await bench.declare(JOBS)
        sink = await bench.consume(JOBS)
        start = SYSTEM.now()
        for delay in (0.03, 0.01, 0.02):
            await bench.send(str(delay), delay=delay)
        for delay in (0.01, 0.02, 0.03):
            await until(lambda: bool(sink.got))
            assert SYSTEM.now() - start >= delay
            assert (await sink.take()).envelope.body == str(delay).encode()


async def test_what_expires_while_it_waits_is_dropped_and_counted(bench: Bench, clock: VirtualClock) -> None:
    await bench.send("old", expires_at=clock.now() + 5)
    await bench.send("young", expires_at=clock.now() + 50)
    await pass_time(clock, 5)
    assert [e.body async for e in bench.binding.browse(JOBS, None)] == [b"young"]
    sink = await bench.consume(JOBS)
    await turns()
    assert sink.bodies == ["young"]
    assert bench.broker.expired() == {"jobs": 1}
    assert await bench.depth(JOBS) == Depth(ready=0, unsettled=1)


async def test_a_lane_of_expired_messages_is_passed_over(bench: Bench, clock: VirtualClock) -> None:
    ordered = QueueSpec(name="ordered", ordered=True)
    await bench.declare(ordered)
    for number in range(3000):
        await bench.send(str(number), "ordered", key="a", expires_at=clock.now() + 5)
    await bench.send("last", "ordered", key="a")
    await pass_time(clock, 5)
    sink = await bench.consume(ordered, credit=1)
    await turns()
    assert sink.bodies == ["last"]
    assert bench.broker.expired()["ordered"] == 3000


async def test_a_shorter_delay_is_not_kept_waiting_by_a_longer_one(bench: Bench, clock: VirtualClock) -> None:
    sink = await bench.consume(JOBS)
    await bench.send("long", delay=10.0)
    await turns()
    await bench.send("short", delay=1.0)
    await pass_time(clock, 1)
    assert sink.bodies == ["short"]


class CountingClock(VirtualClock):
    def __init__(self) -> None:
        super().__init__()
        self.timers: list[VirtualTimer] = []

    def call_later(self, delay: float, callback: Callable[[], object]) -> VirtualTimer:
        self.timers.append(super().call_later(delay, callback))
        return self.timers[-1]


async def test_one_timer_a_client_is_enough_for_any_number_of_delays() -> None:
    clock = CountingClock()
    async with Bench.open(clock=clock) as bench:
        await bench.declare(JOBS)
        for number in range(1000):
            await bench.send(delay=1000.0 - number)
            if number % 100 == 0:
                await turns()
        await turns()
        assert len(clock.timers) < 40
        assert len([timer for timer in clock.timers if timer.callback is not None]) == 1


async def test_another_client_sees_to_what_is_due_when_the_first_has_left(
    clock: VirtualClock,
) -> None:
    async with Bench.open(clock=clock) as staying:
        await staying.declare(JOBS)
        sink = await staying.consume(JOBS)
        async with Bench.open(staying.url, clock=clock) as leaving:
            await leaving.send("x", delay=10.0)
        await pass_time(clock, 10)
        assert sink.bodies == ["x"]


async def test_a_client_that_comes_later_sees_to_what_is_due_by_then(clock: VirtualClock) -> None:
    url = "memory://nobody-there"
    async with Bench.open(url, clock=clock) as gone:
        await gone.declare(JOBS)
        await gone.send("x", delay=10.0)
    await pass_time(clock, 20)
    async with Bench.open(url, clock=clock) as bench:
        assert (await bench.depth(JOBS)).ready == 1
        bench.broker.forget(url)


# -- anonymous queues


async def test_an_anonymous_queue_survives_a_short_disconnection(bench: Bench, clock: VirtualClock) -> None:
    await bench.declare(COPY)
    sink = await bench.consume(COPY)
    async with Bench.open(bench.url, clock=clock) as other:
        bench.broker.faults.vanish("nobody")
        bench.broker.faults.disconnect(bench.binding.connection)
        await other.send("while away", "news", kind=Kind.EXCHANGE)
        await pass_time(clock, 59)
        await sink.has(1)
    assert bench.events[-1] == Up()


async def test_an_anonymous_queue_of_a_client_away_too_long_is_gone_and_the_gap_is_reported(
    bench: Bench, clock: VirtualClock
) -> None:
    await bench.declare(COPY)
    sink = await bench.consume(COPY)
    async with Bench.open(bench.url, clock=clock) as other:
        bench.broker.faults.stop()
        await pass_time(clock, 70)
        bench.broker.faults.start()
        await pass_time(clock, 5)
        await other.send("after", "news", kind=Kind.EXCHANGE)
        await sink.has(1)
    gap, up = bench.events[-2:]
    assert isinstance(gap, Gap)
    assert gap.queue == "news.1"
    assert isinstance(up, Up)
    assert sink.events == bench.events
    assert sink.bodies == ["after"]


async def test_the_sixty_seconds_begin_anew_with_each_disconnection(bench: Bench, clock: VirtualClock) -> None:
    await bench.declare(COPY)
    async with Bench.open(bench.url, clock=clock) as other:
        for _ in range(5):
            bench.broker.faults.disconnect(bench.binding.connection)
            await pass_time(clock, 25)
        await other.send("x", "news", kind=Kind.EXCHANGE)
        assert (await other.depth(COPY)).ready == 1
    assert not any(isinstance(event, Gap) for event in bench.events)


async def test_an_anonymous_queue_goes_with_the_client_that_leaves(clock: VirtualClock) -> None:
    async with Bench.open(clock=clock) as staying:
        await staying.declare(ExchangeSpec(name="news"))
        async with Bench.open(staying.url, clock=clock) as leaving:
            await leaving.declare(COPY)
            assert "news.1" in staying.broker.depths()
        assert "news.1" not in staying.broker.depths()


async def test_reconnecting_backs_off_with_jitter(clock: VirtualClock) -> None:
    async with Bench.open(clock=clock) as bench:
        bench.broker.faults.stop()
        await turns()
        tries: list[float] = []
        while len(tries) < 12:
            due = clock.next_due
            assert due is not None
            tries.append(due)
            clock.advance_to(due)
            await turns()
        pauses = [later - earlier for earlier, later in pairwise(tries)]
        assert pauses[0] < 0.05
        assert 0.5 <= pauses[-1] <= 1.0
        assert len(set(pauses)) == len(pauses)
        bench.broker.faults.start()
        await pass_time(clock, 1)
        assert isinstance(bench.events[-1], Up)


async def test_priorities_count_among_delayed_messages_that_are_due_together(
    clock: VirtualClock,
) -> None:
    spec = QueueSpec(name="ranked", priorities=5)
    async with Bench.open(clock=clock) as bench:
        await bench.declare(spec)
        await bench.send("low", "ranked", delay=1.0, priority=1)
        await bench.send("high", "ranked", delay=1.0, priority=5)
        await pass_time(clock, 1)
        sink = await bench.consume(spec, settle=ACCEPT)
        await sink.has(2)
        assert sink.bodies == ["high", "low"]
