import asyncio
import logging
import threading
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from msgkit import (
    Accept,
    Application,
    Backoff,
    Batch,
    Delivery,
    Exchange,
    ListenerOptions,
    Listeners,
    Message,
    MessageTemplate,
    Queue,
    Reject,
    Retry,
    listener,
)
from msgkit.errors import (
    AlreadySettled,
    AmbiguousListener,
    ConfigurationError,
    DeliveryLost,
    InvalidMessage,
    MessagingError,
)
from msgkit.testing import VirtualClock, probe
from tests.core.workshop import Order, Place, at_rest, fares, holding, refusal_at_start, until

jobs = Queue("jobs", Order)
numbers = Queue("numbers", int)


def first(_: Order) -> None:
    """Take orders."""


def second(_: int) -> None:
    """Take numbers."""


def many(_: list[Order]) -> None:
    """Take orders by the dozen."""


# -- options that contradict each other


NAME = f"{__name__}."
TWO_AND_THREE = (
    f"Queue('jobs') is consumed with concurrency=2 by {NAME}first() and with concurrency=3 by {NAME}second(); "
    "say it once"
)
CONTRADICTIONS: dict[str, tuple[Callable[[], list[object]], type[MessagingError], str]] = {
    "two that say it differently": (
        lambda: [listener(jobs, concurrency=2)(fresh(first)), listener(jobs, concurrency=3)(fresh(second))],
        ConfigurationError,
        TWO_AND_THREE,
    ),
    "two policies": (
        lambda: [
            listener(jobs, retry=Backoff(attempts=2))(fresh(first)),
            listener(jobs, retry=Backoff(attempts=3))(fresh(second)),
        ],
        ConfigurationError,
        TWO_AND_THREE.replace("concurrency=2", f"retry={Backoff(2)}").replace("concurrency=3", f"retry={Backoff(3)}"),
    ),
    "two groups whose defaults differ": (
        lambda: [
            Listeners(listener(jobs)(fresh(first)), concurrency=2),
            Listeners(listener(jobs)(fresh(second)), concurrency=3),
        ],
        ConfigurationError,
        TWO_AND_THREE,
    ),
    "less in flight than at work": (
        lambda: [listener(jobs, concurrency=8, max_in_flight=7)(fresh(first))],
        ConfigurationError,
        "Queue('jobs'): max_in_flight=7 is less than concurrency=8; some would never work",
    ),
    "less in flight than in a batch": (
        lambda: [listener(jobs, batch=Batch(8), max_in_flight=7)(fresh(many))],
        ConfigurationError,
        "Queue('jobs'): max_in_flight=7 is less than Batch(8, within=0.1), so that no batch would ever be full",
    ),
    "a batch beside another": (
        lambda: [listener(jobs)(fresh(second)), listener(jobs, batch=Batch(8))(fresh(many))],
        AmbiguousListener,
        f"{NAME}many() takes batches of Queue('jobs'), so it must be the queue's only listener",
    ),
}


def fresh(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that nobody has marked."""

    def again(*arguments: Any) -> Any:
        return function(*arguments)

    again.__qualname__, again.__annotations__ = function.__qualname__, function.__annotations__
    again.__wrapped__ = function  # type: ignore[attr-defined]  # pyright: ignore[reportFunctionMemberAccess] -- as functools.wraps does
    return again


@pytest.mark.parametrize("what", CONTRADICTIONS)
async def test_options_that_contradict_each_other_are_refused(what: str, place: Place) -> None:
    make, kind, said = CONTRADICTIONS[what]
    assert await refusal_at_start(kind, place, make()) == said


async def test_settings_that_do_not_fit_what_code_says_are_refused(place: Place) -> None:
    listeners = [listener(jobs, max_in_flight=4)(fresh(first))]
    said = await refusal_at_start(ConfigurationError, place, listeners, queues={"jobs": {"concurrency": 5}})
    assert said == "Queue('jobs'): max_in_flight=4 is less than concurrency=5; some would never work"


async def test_what_a_listener_says_goes_before_the_defaults_of_any_group(place: Place) -> None:
    running: list[int] = []
    most: list[int] = []

    @listener(numbers, concurrency=3)
    async def count(number: int) -> None:
        running.append(number)
        most.append(len(running))
        await asyncio.sleep(0.001)
        running.remove(number)

    group = Listeners(Listeners(count, concurrency=1), concurrency=2)
    async with Application([group], settings=place.settings()) as app:
        await app.template.send_many(numbers, list(range(12)))
        await until(lambda: len(most) == 12 and not running)
    assert max(most) == 3


async def test_what_a_listener_says_settles_what_groups_disagree_about(place: Place) -> None:
    group = Listeners(listener(jobs, concurrency=8)(fresh(first)), concurrency=2)
    other = Listeners(listener(jobs)(fresh(second)), concurrency=3)
    async with Application([group, other], settings=place.settings()):
        pass


# -- time limits


@asynccontextmanager
async def one_at_work(
    handler: Callable[..., Any], limit: ListenerOptions
) -> AsyncGenerator[tuple[Application, VirtualClock]]:
    """Have a handler at work on one message, in virtual time."""
    app = Application([listener(numbers, **limit)(handler)])
    async with probe(app) as probed:
        await probed.template.send(numbers, 1)
        clock = probed.template.clock
        assert isinstance(clock, VirtualClock)
        yield app, clock


async def test_a_handler_that_takes_too_long_is_cancelled_and_has_failed() -> None:
    begun = asyncio.Event()
    ended: list[str] = []

    async def dawdle(_: int) -> None:
        begun.set()
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append("cancelled")

    app = Application([listener(numbers, timeout=timedelta(seconds=5), retry=Backoff(attempts=1))(dawdle)])
    async with probe(app) as probed:
        await probed.template.send(numbers, 1)
        await begun.wait()
        clock = probed.template.clock
        assert isinstance(clock, VirtualClock)
        clock.advance_to(clock.now() + 4.9)
        await asyncio.sleep(0)
        assert ended == []
        clock.advance_to(clock.now() + 0.1)
        await probed.idle()
        assert ended == ["cancelled"]
        (letter,) = probed.dead(numbers)
    assert letter.headers["msgkit-dead-error"] == "TimeoutError"
    assert letter.headers["msgkit-dead-text"] == "the handler took longer than 5 s"


async def test_a_handler_that_is_in_time_leaves_no_time_limit_for_the_next() -> None:
    seen: list[int] = []
    go_on = asyncio.Event()

    async def count(number: int) -> None:
        seen.append(number)
        if number == 2:
            await go_on.wait()

    async with one_at_work(count, {"timeout": 5}) as (app, clock):
        await until(lambda: seen == [1])
        clock.advance_to(clock.now() + 4)
        await app.template.send(numbers, 2)
        await until(lambda: seen == [1, 2])
        clock.advance_to(clock.now() + 4)
        go_on.set()
        await until(lambda: len(seen) == 2)
        await asyncio.sleep(0)
        assert (await fares(app, "numbers"))["handled"] == 2


async def test_a_handler_that_swallows_its_cancellation_has_done_its_work_and_the_queue_goes_on() -> None:
    seen: list[int] = []
    begun = asyncio.Event()

    async def stubborn(number: int) -> None:
        begun.set()
        try:
            await asyncio.sleep(3600 if number == 1 else 0)
        except asyncio.CancelledError:
            await asyncio.sleep(0)
        seen.append(number)

    async with one_at_work(stubborn, {"timeout": 5}) as (app, clock):
        await begun.wait()
        clock.advance_to(clock.now() + 5)
        await until(lambda: seen == [1])
        await app.template.send(numbers, 2)
        await until(lambda: seen == [1, 2])
        await asyncio.sleep(0)
        counts = await fares(app, "numbers")
        assert (counts["handled"], counts["failed"]) == (2, 0)


async def test_a_thread_that_takes_too_long_is_named_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def dawdle(_: int) -> None:
        begun.set()
        go_on.wait(10)

    async with one_at_work(dawdle, {"timeout": 5}) as (app, clock):
        await until(begun.is_set)
        clock.advance_to(clock.now() + 60)
        (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert record.message.startswith("'numbers': the handler of ")
        assert record.message.endswith(" takes longer than its timeout; a thread cannot be stopped")
        go_on.set()
        await at_rest(app, "numbers")
        assert (await fares(app, "numbers"))["handled"] == 1


async def test_a_handler_may_ask_for_more_time() -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()
    errors: list[str] = []

    async def dawdle(delivery: Delivery[int]) -> None:
        await delivery.extend(timedelta(seconds=60))
        try:
            await delivery.extend(-1)
        except InvalidMessage as error:
            errors.append(str(error))
        begun.set()
        await go_on.wait()

    async with one_at_work(dawdle, {"timeout": 5}) as (app, clock):
        await begun.wait()
        clock.advance_to(clock.now() + 59)
        await asyncio.sleep(0)
        go_on.set()
        await at_rest(app, "numbers")
        counts = await fares(app, "numbers")
        assert (counts["handled"], counts["failed"]) == (1, 0)
    assert errors == ["extend(by) must not be negative, but is -1 s"]


async def test_asking_for_more_time_sets_no_limit_where_there_was_none() -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def dawdle(delivery: Delivery[int]) -> None:
        await delivery.extend(5)
        begun.set()
        await go_on.wait()

    async with one_at_work(dawdle, {}) as (app, clock):
        await begun.wait()
        clock.advance_to(clock.now() + 3600)
        await asyncio.sleep(0)
        go_on.set()
        await at_rest(app, "numbers")
        counts = await fares(app, "numbers")
        assert (counts["handled"], counts["failed"]) == (1, 0)


# -- pausing and stopping


async def test_a_handler_cannot_pause_its_own_queue_since_it_would_wait_for_itself(place: Place) -> None:
    errors: list[str] = []

    @listener(numbers)
    async def pause(_: int) -> None:
        try:
            await app.pause(numbers)
        except ConfigurationError as error:
            errors.append(str(error))

    async with Application([pause], settings=place.settings()) as app:
        await app.template.send(numbers, 1)
        await until(lambda: errors)
    assert errors == ["a handler of 'numbers' cannot wait until it has finished itself; pause from another task"]


async def test_a_queue_that_nobody_listens_to_here_cannot_be_paused(place: Place) -> None:
    async with Application([listener(jobs)(fresh(first))], settings=place.settings()) as app:
        for act in (app.pause, app.resume):
            with pytest.raises(ConfigurationError) as caught:
                await act(numbers)
            assert str(caught.value) == (
                "nothing listens to Queue('numbers') here; the queues of this application are jobs"
            )


async def test_what_runs_finishes_before_a_pause_and_nothing_begins_in_it(place: Place) -> None:
    events: list[str] = []
    go_on = asyncio.Event()

    @listener(numbers)
    async def work(number: int) -> None:
        events.append(f"begin {number}")
        await go_on.wait()
        events.append(f"end {number}")

    async with Application([work], settings=place.settings()) as app:
        await app.template.send_many(numbers, [1, 2, 3])
        await until(lambda: events)
        pausing = asyncio.create_task(app.pause(numbers))
        await asyncio.sleep(0.01)
        assert not pausing.done()
        go_on.set()
        await pausing
        assert events == ["begin 1", "end 1"]
        assert place.waiting == 2
        await app.resume(numbers)
        await until(lambda: len(events) == 6)
    assert events[2:] == ["begin 2", "end 2", "begin 3", "end 3"]


async def test_a_handler_that_outlives_a_pause_takes_nothing_of_what_comes_after_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It swallows its cancellation, is left behind, and ends when the queue is consumed anew."""
    monkeypatch.setattr("msgkit.container.crew._GIVE_WAY", 0.01)
    go_on = asyncio.Event()
    running: list[int] = []
    most: list[int] = []
    seen: list[int] = []

    @listener(numbers)
    async def work(number: int) -> None:
        running.append(number)
        most.append(len([each for each in running if each != 0]))
        while number == 0 and not go_on.is_set():
            try:
                await go_on.wait()
            except asyncio.CancelledError:
                continue
        await asyncio.sleep(0)
        running.remove(number)
        seen.append(number)

    async with Application([work], settings=place.settings(drain=0.01)) as app:
        await app.template.send(numbers, 0)
        await until(lambda: running == [0])
        await app.pause(numbers)
        await app.template.send_many(numbers, list(range(1, 20)))
        await app.resume(numbers)
        go_on.set()
        await until(lambda: len(seen) >= 21)
        assert max(most) == 1
        assert sorted(seen) == [0, 0, *range(1, 20)]
        assert place.waiting == 0


@pytest.mark.parametrize("settle", ["on_return", "later"])
async def test_what_is_unsettled_at_a_stop_is_another_consumers_and_settling_it_says_so(
    settle: Any, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("msgkit.container.crew._GIVE_WAY", 0.01)
    kept: list[Delivery[int]] = []
    go_on = asyncio.Event()

    @listener(numbers, settle=settle)
    async def keep(delivery: Delivery[int]) -> None:
        kept.append(delivery)
        while settle == "on_return" and not go_on.is_set():
            try:
                await go_on.wait()
            except asyncio.CancelledError:
                continue

    async with Application([keep], settings=place.settings(drain=0.01)) as app:
        await app.template.send(numbers, 1, message_id="m")
        await until(lambda: kept)
    assert place.waiting == 1
    for act in (kept[0].settle(Accept()), kept[0].extend(5), kept[0].reply(5)):
        with pytest.raises(DeliveryLost) as caught:
            await act
        assert str(caught.value) == "message m was taken back by the broker"
    go_on.set()
    async with place.template() as template, template.receive(numbers) as (again,):
        assert (again.id, again.attempt) == ("m", 1)


async def test_a_handler_that_finishes_within_the_time_for_it_is_not_cancelled_at_a_stop(place: Place) -> None:
    events: list[str] = []

    @listener(numbers)
    async def work(_: int) -> None:
        events.append("begin")
        await asyncio.sleep(0.05)
        events.append("end")

    async with Application([work], settings=place.settings(drain=5)) as app:
        await app.template.send(numbers, 1)
        await until(lambda: events)
    assert events == ["begin", "end"]
    assert place.waiting == 0


async def test_a_handler_that_does_not_is_cancelled_and_its_message_goes_back_uncounted(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    events: list[str] = []

    @listener(numbers)
    async def work(_: int) -> None:
        events.append("begin")
        try:
            await asyncio.sleep(60)
        finally:
            events.append("cancelled")

    async with Application([work], settings=place.settings(drain=0.01)) as app:
        sent = await app.template.send(numbers, 1)
        await until(lambda: events)
    assert events == ["begin", "cancelled"]
    said = f"'numbers': the handler of {sent.message_id} did not finish within 0.01 s; what it did not settle goes back"
    assert any(line.startswith(said) for line in caplog.messages)
    async with place.template() as template, template.receive(numbers) as (again,):
        assert again.attempt == 1


async def test_a_stop_of_what_must_be_cancelled_takes_no_longer_than_that(place: Place) -> None:
    begun = asyncio.Event()

    @listener(numbers, concurrency=4)
    async def work(_: int) -> None:
        begun.set()
        await asyncio.sleep(60)

    app = Application([work], settings=place.settings(drain=0))
    await app.__aenter__()
    await app.template.send_many(numbers, list(range(8)))
    await begun.wait()
    start = time.monotonic()
    await app.__aexit__(None, None, None)
    assert time.monotonic() - start < 0.09
    assert place.waiting == 8


async def test_what_a_pause_cancelled_in_an_anonymous_queue_comes_again_when_it_is_resumed(place: Place) -> None:
    news = Exchange("news", int)
    mine = Queue.anonymous(news.where())
    begun: list[tuple[int, int]] = []
    go_on = asyncio.Event()

    @listener(mine, max_in_flight=2)
    async def read(message: Message[int]) -> None:
        begun.append((message.payload, message.attempt))
        await go_on.wait()

    async with Application([read], settings=place.settings(drain=0.01)) as app:
        await app.template.send_many(news, [1, 2, 3], key="k")
        await until(lambda: begun)
        await app.pause(mine)
        assert begun == [(1, 1)]
        go_on.set()
        await app.resume(mine)
        await until(lambda: len(begun) == 4)
        await at_rest(app, mine.name)
    assert sorted(begun) == [(1, 1), (1, 1), (2, 1), (3, 1)]


async def test_a_thread_that_does_not_is_left_behind_and_its_message_goes_back(place: Place) -> None:
    begun, go_on = threading.Event(), threading.Event()

    @listener(numbers)
    def work(_: int) -> None:
        begun.set()
        go_on.wait(10)

    start = time.monotonic()
    async with Application([work], settings=place.settings(drain=0.01)) as app:
        await app.template.send(numbers, 1)
        await until(begun.is_set)
    assert time.monotonic() - start < 5
    go_on.set()
    async with place.template() as template, template.receive(numbers) as (again,):
        assert again.attempt == 1


# -- a retry that is held in place ends its delivery all the same


ordered = Queue("ordered", int, ordered=True)
SOON = Backoff(attempts=3, first=0.001, jitter=0)


@pytest.mark.parametrize("held", [True, False])
async def test_a_retry_by_hand_counts_once_wherever_it_is_held(held: bool, place: Place) -> None:  # noqa: FBT001 -- a parameter of a test
    attempts: list[int] = []
    errors: list[str] = []

    @listener(ordered, retry=SOON)
    async def retry_by_hand(delivery: Delivery[int]) -> None:
        attempts.append(delivery.attempt)
        await delivery.settle(Retry())
        for again in (Accept(), Retry(), Reject("no")):
            try:
                await delivery.settle(again)
            except AlreadySettled as error:
                errors.append(str(error))

    url = holding(place) if held else place.url
    async with Application([retry_by_hand], settings=place.settings(url=url)) as app:
        await app.template.send(ordered, 1, key="k", message_id="m")
        await until(lambda: place.broker.depths()["ordered.dlq"].ready)
        counts = await fares(app, "ordered")
    assert attempts == [1, 2, 3]
    assert errors == ["message m is settled already; a delivery ends once"] * 9
    assert (counts["failed"], counts["retried"], counts["dead"]) == (3, 2, 1)


@pytest.mark.parametrize("held", [True, False])
async def test_a_handler_that_goes_on_after_its_retry_by_hand_decides_nothing_about_the_next_attempt(
    held: bool,  # noqa: FBT001 -- a parameter of a test
    place: Place,
) -> None:
    attempts: list[int] = []
    second_begun, first_done = asyncio.Event(), asyncio.Event()

    @listener(ordered, retry=SOON, concurrency=2)
    async def go_on(delivery: Delivery[int]) -> None:
        attempts.append(delivery.attempt)
        if delivery.attempt == 1:
            await delivery.settle(Retry(0))
            await second_begun.wait()
            first_done.set()
            raise ValueError("too late")
        second_begun.set()
        await first_done.wait()
        await asyncio.sleep(0.01)

    url = holding(place) if held else place.url
    async with Application([go_on], settings=place.settings(url=url)) as app:
        await app.template.send(ordered, 1, key="k")
        await until(lambda: len(attempts) > 1)
        await at_rest(app, "ordered")
        counts = await fares(app, "ordered")
    assert attempts == [1, 2]
    assert (counts["handled"], counts["failed"], counts["retried"]) == (1, 1, 1)


@pytest.mark.parametrize("held", [True, False])
async def test_a_receiver_gives_back_what_it_retried_and_accepts_the_rest(held: bool, place: Place) -> None:  # noqa: FBT001 -- a parameter of a test
    url = holding(place) if held else place.url
    async with MessageTemplate(place.settings(url=url)) as template:
        await template.declare(ordered)
        for number in (1, 2):
            await template.send(ordered, number, key=str(number))
        async with template.receive(ordered, limit=2, timeout=5) as deliveries:
            await deliveries[0].settle(Retry(0))
            with pytest.raises(AlreadySettled):
                await deliveries[0].settle(Accept())
        async with template.receive(ordered, limit=2, timeout=5) as left:
            assert [delivery.payload for delivery in left] == [1]


async def test_an_error_whose_text_cannot_be_had_ends_its_message_and_not_the_queue(place: Place) -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("it cannot be said")

    seen: list[int] = []

    @listener(numbers, retry=Backoff(attempts=1))
    async def fail(message: Message[int]) -> None:
        seen.append(message.payload)
        raise MuteError

    async with Application([fail], settings=place.settings()) as app:
        await app.template.send_many(numbers, [1, 2, 3])
        await until(lambda: place.broker.depths()["numbers.dlq"].ready == 3)
    assert seen == [1, 2, 3]
