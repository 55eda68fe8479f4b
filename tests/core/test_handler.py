import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import pytest

from msgkit import (
    Accept,
    Application,
    Backoff,
    Delivery,
    Envelope,
    Exchange,
    HandleInterceptor,
    Message,
    Queue,
    Receipt,
    Reject,
    Retry,
    Settlement,
    listener,
)
from msgkit.errors import AlreadySettled, AmbiguousListener, ConfigurationError
from msgkit.interception import Handle, Send
from msgkit.testing import probe
from tests.core.workshop import Order, Place, fares, refusal_at_start, until

jobs = Queue("jobs", int)
done = Queue("done", int)
ONCE = Backoff(attempts=1)


@dataclass(frozen=True)
class Placed:
    number: int


@dataclass(frozen=True)
class Cancelled:
    number: int


async def death_of(
    handler: Callable[..., object],
    *,
    send_to: Queue[Any] | None = None,
    settle: Literal["on_return", "later"] = "on_return",
    interceptors: Sequence[HandleInterceptor] = (),
) -> list[Message[bytes]]:
    """Have a handler get one message, and return the dead letter that it became, if it did."""
    mark = listener(jobs, retry=ONCE, send_to=send_to, settle=settle, interceptors=interceptors)
    # A partial is marked in place of the function, which others mark too.
    async with probe(Application([mark(partial(handler))], topology=[done])) as probed:
        await probed.template.send(jobs, 1)
        await probed.idle()
        return probed.dead(jobs)


# -- what a handler's result means


async def nothing(_: int) -> None:
    """Return nothing."""


async def accepts(_: int) -> Accept:
    return Accept()


def accepts_in_a_thread(_: int) -> Accept:
    return Accept()


async def a_value(_: int) -> int:
    return 5


async def nothing_much(_: int) -> int:
    return 0


def an_awaitable(_: int) -> Awaitable[None]:
    return asyncio.get_running_loop().create_task(asyncio.sleep(0))


@pytest.mark.parametrize("handler", [nothing, accepts, accepts_in_a_thread, a_value, nothing_much])
async def test_a_handler_that_returns_has_done_its_work(handler: Callable[..., object]) -> None:
    assert await death_of(handler) == []


async def rejects(_: int) -> Reject:
    return Reject("no")


async def raises_a_rejection(_: int) -> None:
    raise Reject("no")


def rejects_in_a_thread(_: int) -> Reject:
    return Reject("no")


def raises_a_rejection_in_a_thread(_: int) -> None:
    raise Reject("no")


async def rejects_by_hand(delivery: Delivery[int]) -> None:
    await delivery.settle(Reject("no"))


@pytest.mark.parametrize(
    "handler", [rejects, raises_a_rejection, rejects_in_a_thread, raises_a_rejection_in_a_thread, rejects_by_hand]
)
async def test_a_rejection_is_returned_raised_or_made_by_hand(handler: Callable[..., object]) -> None:
    (letter,) = await death_of(handler)
    assert letter.headers["msgkit-dead-reason"] == "no"


async def raises(_: int) -> None:
    raise ValueError("no")


def raises_in_a_thread(_: int) -> None:
    raise ValueError("no")


async def raises_a_group(_: int) -> None:
    raise ExceptionGroup("no", [ValueError("no")])


def stops_an_iteration(_: int) -> None:
    raise StopIteration


async def stops_an_asynchronous_iteration(_: int) -> None:
    raise StopAsyncIteration


async def is_cancelled_from_within(_: int) -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


async def cancels_what_it_waits_for(_: int) -> None:
    task = asyncio.create_task(asyncio.sleep(60))
    asyncio.get_running_loop().call_soon(task.cancel)
    await task


async def raises_a_cancellation(_: int) -> None:
    raise asyncio.CancelledError


def is_cancelled_in_a_thread(_: int) -> None:
    raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("handler", "error"),
    [
        (raises, "ValueError"),
        (raises_in_a_thread, "ValueError"),
        (raises_a_group, "ExceptionGroup"),
        (stops_an_iteration, "RuntimeError"),
        (stops_an_asynchronous_iteration, "StopAsyncIteration"),
        (is_cancelled_from_within, "RuntimeError"),
        (cancels_what_it_waits_for, "RuntimeError"),
        (raises_a_cancellation, "RuntimeError"),
        (is_cancelled_in_a_thread, "RuntimeError"),
    ],
)
async def test_whatever_a_handler_raises_is_a_failure_of_that_message(
    handler: Callable[..., object], error: str
) -> None:
    (letter,) = await death_of(handler)
    assert letter.headers["msgkit-dead-error"] == error


async def test_a_handler_that_fails_in_any_way_leaves_its_queue_at_work() -> None:
    ways = [raises, is_cancelled_from_within, raises_a_cancellation, rejects]
    seen: list[int] = []

    @listener(jobs, retry=ONCE)
    async def fail(number: int) -> None:
        seen.append(number)
        if number < len(ways):
            settlement = await ways[number](number)
            if settlement is not None:
                raise settlement

    async with probe(Application([fail])) as probed:
        await probed.template.send_many(jobs, list(range(6)))
        await probed.idle()
        assert seen == list(range(6))
        assert len(probed.dead(jobs)) == 4


# -- where a result goes


async def test_a_result_goes_to_send_to_and_tells_what_it_answers() -> None:
    @listener(jobs, send_to=done)
    async def double(number: int) -> int:
        return 2 * number

    async with probe(Application([double])) as probed:
        receipt = await probed.template.send(jobs, 2)
        await probed.idle()
        (sent,) = probed.sent(done)
    assert (sent.payload, sent.correlation_id) == (4, receipt.message_id)


@pytest.mark.parametrize("handler", [nothing, accepts])
async def test_without_a_result_nothing_is_sent_on(handler: Callable[..., object]) -> None:
    app = Application([listener(jobs, send_to=done)(partial(handler))])
    async with probe(app) as probed:
        await probed.template.send(jobs, 2)
        await probed.idle()
        assert probed.sent(done) == []


async def test_a_result_of_another_type_than_its_target_takes_is_a_failure_of_the_message() -> None:
    async def spell(number: int) -> str:
        return str(number)

    (letter,) = await death_of(spell, send_to=done)
    assert letter.headers["msgkit-dead-text"] == "'done' carries int, not str"


async def test_a_result_that_nobody_asked_for_is_mentioned_once(caplog: pytest.LogCaptureFixture) -> None:
    @listener(jobs)
    async def double(number: int) -> int:
        return 2 * number

    with caplog.at_level(logging.INFO, "msgkit"):
        async with probe(Application([double])) as probed:
            await probed.template.send_many(jobs, [1, 2, 3])
            await probed.idle()
    said = [record.message for record in caplog.records if "nobody asked for" in record.message]
    assert len(said) == 1
    assert said[0].endswith("double() returned a value that nobody asked for; name a target with send_to=")


# -- settling by hand


async def test_a_delivery_ends_once() -> None:
    errors: list[str] = []

    async def twice(delivery: Delivery[int]) -> None:
        await delivery.settle(Accept())
        for again in (Accept(), Reject("no"), Retry()):
            try:
                await delivery.settle(again)
            except AlreadySettled as error:
                errors.append(str(error).replace(delivery.id, "m"))

    assert await death_of(twice) == []
    assert errors == ["message m is settled already; a delivery ends once"] * 3


async def test_what_is_returned_after_settling_by_hand_changes_nothing() -> None:
    async def accept_and_reject(delivery: Delivery[int]) -> Reject:
        await delivery.settle(Accept())
        return Reject("too late")

    assert await death_of(accept_and_reject) == []


async def test_what_fails_after_settling_by_hand_is_told_and_changes_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def accept_and_fail(delivery: Delivery[int]) -> None:
        await delivery.settle(Accept())
        raise ValueError("too late")

    assert await death_of(accept_and_fail) == []
    (said,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert said.message.endswith("the handler failed after it had settled the message, or had lost it")


async def test_a_delivery_that_is_settled_later_stays_open_after_its_handler() -> None:
    kept: list[Delivery[int]] = []

    @listener(jobs, settle="later", max_in_flight=4)
    async def keep(delivery: Delivery[int]) -> None:
        kept.append(delivery)

    app = Application([keep])
    async with probe(app) as probed:
        await probed.template.send_many(jobs, [1, 2, 3, 4, 5])
        await until(lambda: len(kept) == 4)
        assert sorted(delivery.payload for delivery in kept) == [1, 2, 3, 4]
        await kept[0].settle(Accept())
        await until(lambda: len(kept) == 5)
        for delivery in kept[1:]:
            await delivery.settle(Accept())
        assert (await fares(app, "jobs"))["handled"] == 5


async def test_a_later_handler_that_fails_is_settled_by_its_failure() -> None:
    async def fail(_: Delivery[int]) -> None:
        raise ValueError("no")

    (letter,) = await death_of(fail, settle="later")
    assert letter.headers["msgkit-dead-error"] == "ValueError"


# -- interceptors


async def outcomes(handler: Callable[..., object]) -> list[str]:
    """Return what an interceptor sees of a handler's outcome."""
    seen: list[str] = []

    async def note(envelope: Envelope, proceed: Handle) -> Settlement:
        try:
            settlement = await proceed(envelope)
        except Exception as error:
            seen.append(f"raised {error!r}")
            raise
        seen.append(f"returned {settlement!r}")
        return settlement

    await death_of(handler, interceptors=[note])
    return seen


async def retries(_: int) -> Retry:
    return Retry(5)


async def raises_a_retry(_: int) -> None:
    raise Retry(5)


async def retries_by_hand(delivery: Delivery[int]) -> None:
    await delivery.settle(Retry(5))


@pytest.mark.parametrize(
    ("handler", "seen"),
    [
        (nothing, "returned Accept()"),
        (a_value, "returned Accept()"),
        (raises_in_a_thread, "raised ValueError('no')"),
        (raises, "raised ValueError('no')"),
        (rejects, "returned Reject('no')"),
        (raises_a_rejection, "returned Reject('no')"),
        (raises_a_rejection_in_a_thread, "returned Reject('no')"),
        (rejects_by_hand, "returned Reject('no')"),
        (retries, "returned Retry(5)"),
        (raises_a_retry, "returned Retry(5)"),
        (retries_by_hand, "returned Retry(5)"),
    ],
)
async def test_interceptors_see_how_a_message_is_to_end_however_its_handler_says_so(
    handler: Callable[..., object], seen: str
) -> None:
    assert await outcomes(handler) == [seen]


async def test_interceptors_of_the_application_are_outside_of_those_of_a_listener() -> None:
    events: list[str] = []

    def note(name: str) -> Callable[[Envelope, Handle], Awaitable[Settlement]]:
        async def around(envelope: Envelope, proceed: Handle) -> Settlement:
            events.append(f"into {name}")
            try:
                return await proceed(envelope)
            finally:
                events.append(f"out of {name}")

        return around

    @listener(jobs, interceptors=[note("c"), note("d")])
    async def handle(_: int) -> None:
        events.append("handle")

    async with probe(Application([handle], handling=[note("a"), note("b")])) as probed:
        await probed.template.send(jobs, 1)
        await probed.idle()
    names = ("a", "b", "c", "d")
    assert events == [f"into {name}" for name in names] + ["handle"] + [f"out of {name}" for name in reversed(names)]


async def test_an_interceptor_may_have_a_message_handled_again_and_it_counts_once() -> None:
    tries: list[int] = []

    async def stubborn(envelope: Envelope, proceed: Handle) -> Settlement:
        for _ in range(2):
            try:
                return await proceed(envelope)
            except ValueError:
                continue
        return await proceed(envelope)

    @listener(jobs, retry=ONCE, interceptors=[stubborn])
    async def third_time(number: int) -> None:
        tries.append(number)
        if len(tries) < 3:
            raise ValueError("not yet")

    async with probe(Application([third_time])) as probed:
        await probed.template.send(jobs, 1)
        await probed.idle()
        assert tries == [1, 1, 1]
        assert len(probed.handled(third_time)) == 1
        assert probed.dead(jobs) == []


async def test_what_an_interceptor_turns_into_a_retry_is_retried() -> None:
    async def patient(envelope: Envelope, proceed: Handle) -> Settlement:
        try:
            return await proceed(envelope)
        except ConnectionError:
            return Retry(after=60)

    seen: list[int] = []

    @listener(jobs, interceptors=[patient])
    async def handle(message: Message[int]) -> None:
        seen.append(message.attempt)
        if message.attempt == 1:
            raise ConnectionError

    async with probe(Application([handle])) as probed:
        await probed.template.send(jobs, 1)
        await probed.idle()
        await probed.advance(59)
        assert seen == [1]
        await probed.advance(1)
    assert seen == [1, 2]


async def test_an_interceptor_of_sends_that_fails_over_answers_ends_no_queue() -> None:
    """Who asked is not told; the handler has run, and the next message is handled."""

    async def fail_over_answers(envelope: Envelope, proceed: Send) -> Receipt:
        if envelope.correlation_id is not None and envelope.reply_to is None:
            raise ValueError("no answers")
        return await proceed(envelope)

    asked = Queue("asked", int)
    seen: list[int] = []

    @listener(asked, retry=ONCE)
    async def answer(number: int) -> int:
        seen.append(number)
        if number == 2:
            raise Reject("no")
        return number

    app = Application([answer], sending=[fail_over_answers])
    async with probe(app) as probed:
        waiting = [asyncio.create_task(probed.template.request(asked, number, int)) for number in (1, 2, 3)]
        await until(lambda: len(seen) == 3)
        await probed.idle()
        assert len(probed.dead(asked)) == 1
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    assert seen == [1, 2, 3]


# -- which listener


async def test_listeners_of_one_queue_get_their_own_types_in_threads_and_on_the_loop() -> None:
    events = Exchange("events", Placed, Cancelled)
    queue = events.queue("ours")
    seen: list[object] = []

    @listener(queue)
    async def placed(event: Placed) -> None:
        seen.append((event, threading.current_thread() is threading.main_thread()))

    @listener(queue)
    def cancelled(event: Cancelled) -> None:
        seen.append((event, threading.current_thread() is threading.main_thread()))

    async with probe(Application([placed, cancelled])) as probed:
        await probed.template.send(events, Placed(1))
        await probed.template.send(events, Cancelled(2))
        await probed.idle()
    assert sorted(seen, key=str) == [(Cancelled(2), False), (Placed(1), True)]


async def test_two_declarations_of_one_queue_are_one_queue() -> None:
    seen: list[object] = []

    @listener(Queue("ours", Placed))
    async def placed(event: Placed) -> None:
        seen.append(event)

    @listener(Queue("ours", Cancelled))
    async def cancelled(event: Cancelled) -> None:
        seen.append(event)

    async with probe(Application([placed, cancelled])) as probed:
        await probed.template.send(Queue("ours", Placed), Placed(1))
        await probed.template.send(Queue("ours", Cancelled), Cancelled(2))
        await probed.idle()
    assert seen == [Placed(1), Cancelled(2)]


def first(_: Order) -> None:
    """Take orders."""


def second(_: Order) -> None:
    """Take orders, too."""


def either(_: Order | Placed) -> None:
    """Take orders, among others."""


@pytest.mark.parametrize("other", [second, either])
async def test_two_listeners_of_one_queue_and_type_are_refused(other: Callable[..., None], place: Place) -> None:
    listeners = [listener(Queue("orders", Order))(partial(each)) for each in (first, other)]
    said = await refusal_at_start(AmbiguousListener, place, listeners)
    assert said == (
        f"{__name__}.first() and {__name__}.{other.__name__}() both listen to 'orders' for Order; one of them has to go"
    )


async def test_a_queue_declared_twice_and_differently_is_refused(place: Place) -> None:
    @listener(Queue("ours", Placed, ordered=True))
    async def placed(_: Placed) -> None:
        """Take what is placed."""

    @listener(Queue("ours", Cancelled))
    async def cancelled(_: Cancelled) -> None:
        """Take what is cancelled."""

    said = await refusal_at_start(ConfigurationError, place, [placed, cancelled])
    assert said.startswith("Queue('ours') is declared twice, and differently: once QueueSpec(name='ours'")
