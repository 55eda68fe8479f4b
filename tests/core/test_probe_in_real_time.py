import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count

import pytest

from msgkit import Application, Backoff, Exchange, Message, Queue, Retry, listener
from msgkit.brokers import register_binding
from msgkit.clock import SystemClock, Timer
from msgkit.spi import BindingOptions, Consumer, DelayLimits, Power, RawDelivery, Sink, Subscription
from msgkit.testing import probe
from msgkit_memory import Broker, MemoryBinding
from tests.core.workshop import Place, narrow

jobs = Queue("jobs", int)
news = Exchange("news", int)

_numbers = count(1)
#: How long a message is on its way: longer than it is quiet where a broker tells everything.
_ON_ITS_WAY = 1.0
#: By how much a delay ends late.
_LATE = 0.4


@listener(jobs)
async def take(number: int) -> None:
    """Take a job."""


class _FarSink:
    """Gets everything a while after the broker has handed it out."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.lost = sink.lost
        self.revoke = sink.revoke
        self.event = sink.event

    def deliver(self, batch: Sequence[RawDelivery], /) -> None:
        asyncio.get_running_loop().call_later(_ON_ITS_WAY, self._sink.deliver, list(batch))


class _Far(MemoryBinding):
    async def subscribe(self, subscription: Subscription, sink: Sink) -> Consumer:
        return await super().subscribe(subscription, _FarSink(sink))


class _FarAndSilent(_Far):
    """Shows nothing of what its queues hold."""

    depth = None  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType] -- a binding without that power


class _LateClock(SystemClock):
    """The clock of a broker that is late with everything."""

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        return super().call_later(delay + _LATE, callback)


def far(place: Place, kind: type[MemoryBinding]) -> str:
    scheme = f"far{next(_numbers)}"
    register_binding(scheme, lambda options: kind(_at(place, options)))
    return f"{scheme}://"


def _at(place: Place, options: BindingOptions) -> BindingOptions:
    return replace(options, url=place.url)


def late(place: Place, declared: float) -> str:
    """Return the URL of a broker that ends each delay late, and of what it says about that."""
    Broker.at(place.url, clock=_LateClock())
    return narrow(place, delay=DelayLimits(lateness=declared))


# -- being idle


@pytest.mark.parametrize("kind", [_Far, _FarAndSilent])
async def test_it_waits_for_what_is_between_the_broker_and_here(place: Place, kind: type[MemoryBinding]) -> None:
    async with probe(Application([take]), place.settings(url=far(place, kind))) as probed:
        await probed.template.send(jobs, 1)
        await probed.idle()
        assert len(probed.handled(take)) == 1


async def test_it_waits_no_longer_than_a_moment_for_nothing(place: Place) -> None:
    async with probe(Application([take]), place.settings()) as probed:
        before = time.monotonic()
        await probed.idle()
        assert 0.25 < time.monotonic() - before < 1.5


async def test_it_waits_longer_where_a_broker_does_not_tell_what_it_holds(place: Place) -> None:
    url = narrow(place, Power.INSPECT)
    async with probe(Application([take]), place.settings(url=url)) as probed:
        before = time.monotonic()
        await probed.idle()
        assert time.monotonic() - before > 1.5


async def test_it_waits_for_what_a_chain_of_messages_leads_to(place: Place) -> None:
    seen: list[int] = []

    @listener(jobs, send_to=jobs)
    async def countdown(number: int) -> int | None:
        await asyncio.sleep(0.1)
        seen.append(number)
        return number - 1 if number else None

    async with probe(Application([countdown]), place.settings()) as probed:
        await probed.template.send(jobs, 5)
        await probed.idle()
        assert seen == [5, 4, 3, 2, 1, 0]


async def test_it_waits_for_a_broker_to_come_back_and_for_what_was_left_there(place: Place) -> None:
    tries: list[int] = []
    gone = asyncio.Event()

    @listener(jobs)
    async def work(message: Message[int]) -> None:
        tries.append(message.attempt)
        if len(tries) == 1:
            place.broker.faults.kill()
            gone.set()
            await asyncio.sleep(60)

    async with probe(Application([work]), place.settings()) as probed:
        await probed.template.send(jobs, 1)
        await gone.wait()
        asyncio.get_running_loop().call_later(0.5, place.broker.faults.start)
        await probed.idle()
        assert (len(tries), len(probed.handled(work))) == (2, 1)


async def test_a_broker_that_stays_away_is_named(place: Place) -> None:
    async with probe(Application([take]), place.settings()) as probed:
        place.broker.faults.kill()
        await asyncio.sleep(0)
        with pytest.raises(TimeoutError) as caught:
            await probed.idle(timeout=0.1)
        assert str(caught.value) == "not idle within 0.1 s: jobs (its broker is lost: the broker went away)"
        place.broker.faults.start()
        await probed.idle()


async def test_a_broker_that_does_not_answer_is_named(place: Place) -> None:
    async with probe(Application([take]), place.settings()) as probed:
        place.broker.faults.pause()
        with pytest.raises(TimeoutError) as caught:
            await probed.idle(timeout=0.1)
        assert str(caught.value) == "not idle within 0.1 s: jobs (its broker does not answer)"
        place.broker.faults.resume()
        await probed.idle()


async def test_a_queue_that_the_broker_does_not_have_is_named(place: Place) -> None:
    async with probe(Application([take]), place.settings()) as probed:
        del place.broker.content.queues["jobs"]
        with pytest.raises(TimeoutError, match=r"jobs \(queue 'jobs' does not exist\)"):
            await probed.idle(timeout=0.1)


async def test_messages_that_come_and_go_without_end_are_not_idle(place: Place) -> None:
    @listener(jobs, retry=Backoff(attempts=10_000))
    async def again(_: int) -> Retry:
        return Retry(0.01)

    async with probe(Application([again]), place.settings()) as probed:
        await probed.template.send(jobs, 1)
        with pytest.raises(TimeoutError, match=r"not idle within 0\.5 s: (jobs|messages come and go)"):
            await probed.idle(timeout=0.5)


async def test_what_waits_for_later_is_not_waited_for(place: Place) -> None:
    async with probe(Application([take]), place.settings()) as probed:
        await probed.template.send(jobs, 1, delay=60)
        await probed.idle()
        assert probed.handled(take) == []


async def test_what_somebody_else_has_in_his_hands_is_not_waited_for_without_end(place: Place) -> None:
    async with probe(Application([take]), place.settings(queues={"jobs": {"autostart": False}})) as probed:
        await probed.template.send(jobs, 1)
        async with probed.template.receive(jobs, timeout=5):
            await probed.idle(timeout=1)


# -- letting time pass


async def test_so_much_time_really_passes(place: Place) -> None:
    async with probe(Application([take]), place.settings()) as probed:
        await probed.template.send(jobs, 1, delay=1.5)
        await probed.advance(0.2)
        assert probed.handled(take) == []
        await probed.advance(1.5)
        assert len(probed.handled(take)) == 1


async def test_the_attempts_of_an_exact_sum_of_pauses_come_about_as_they_do_in_virtual_time(place: Place) -> None:
    @listener(jobs, retry=Backoff(attempts=3, first=0.5, factor=2, jitter=0))
    async def fail(_: int) -> None:
        await asyncio.sleep(0.2)
        raise ValueError("no")

    async with probe(Application([fail]), place.settings(url=late(place, 0.5))) as probed:
        await probed.template.send(jobs, 1)
        await probed.advance(0.5 + 1)
        assert len(probed.dead(jobs)) == 1


async def test_what_is_being_done_ends_before_time_passes(place: Place) -> None:
    @listener(jobs, retry=Backoff(attempts=2, first=0.5, jitter=0))
    async def fail(_: int) -> None:
        await asyncio.sleep(0.6)
        raise ValueError("no")

    async with probe(Application([fail]), place.settings()) as probed:
        await probed.template.send(jobs, 1)
        await probed.advance(0.5)
        assert len(probed.dead(jobs)) == 1


@pytest.mark.parametrize("to", [jobs, news])
async def test_a_broker_may_be_as_late_as_it_says(place: Place, to: "Queue[int] | Exchange[int]") -> None:
    heard = news.queue("heard")

    @listener(heard)
    async def hear(number: int) -> None:
        """Hear some news."""

    app = Application([take, hear])
    async with probe(app, place.settings(url=late(place, 0.6))) as probed:
        await probed.template.send(to, 1, delay=0.2)
        await probed.advance(0.2)
        assert len(probed.handled(take)) + len(probed.handled(hear)) == 1


async def test_nothing_is_added_where_nothing_is_due(place: Place) -> None:
    async with probe(Application([take]), place.settings(url=late(place, 30.0))) as probed:
        await probed.template.send(jobs, 1)
        before = time.monotonic()
        await probed.advance(0.1)
        assert time.monotonic() - before < 5
