import asyncio
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest

from msgkit import (
    Accept,
    Application,
    Backoff,
    Batch,
    Envelope,
    HandleInterceptor,
    Message,
    Queue,
    Reject,
    Retry,
    Settlement,
    listener,
)
from msgkit.interception import Handle
from msgkit.testing import Probe, VirtualClock, probe
from tests.core.workshop import fares

jobs = Queue("jobs", int)
HOUR = Backoff(attempts=2, first=3600, jitter=0)


class Store:
    """A listener that keeps what it gets, and answers as it is told."""

    def __init__(self, *answers: object) -> None:
        self.batches: list[list[int]] = []
        self._answers = list(answers)

    async def __call__(self, numbers: list[int]) -> Any:
        self.batches.append(numbers)
        answer = self._answers.pop(0) if self._answers else None
        if isinstance(answer, Exception) and not isinstance(answer, (Retry, Reject)):
            raise answer
        return answer


async def pour(
    store: Store, numbers: Sequence[int], *interceptors: HandleInterceptor, poison: Sequence[int] = ()
) -> Probe:
    """Have numbers handled in one batch, and look at what came of it."""
    listens = listener(jobs, batch=Batch(len(numbers), within=1), retry=HOUR, interceptors=interceptors)(store)
    async with probe(Application([listens])) as probed:
        anything: Queue[Any] = Queue("jobs")
        for number in numbers:
            await probed.template.send(anything, "no number" if number in poison else number, message_id=str(number))
        await probed.idle()
        await probed.advance(1)
    return probed


def dead(probed: Probe) -> list[str]:
    return sorted(letter.id for letter in probed.dead(jobs))


# -- how a batch ends


@pytest.mark.parametrize(
    ("answer", "retried", "dead_letters"),
    [
        (None, [], []),
        (Accept(), [], []),
        (Retry(10), ["1", "2", "3"], []),
        (Reject("no"), [], ["1", "2", "3"]),
        ([Accept(), Retry(10), Reject("no")], ["2"], ["3"]),
        (ValueError("no"), ["1", "2", "3"], []),
    ],
    ids=repr,
)
async def test_a_batch_ends_as_its_handler_says(answer: object, retried: list[str], dead_letters: list[str]) -> None:
    store = Store(answer)
    listens = listener(jobs, batch=Batch(3, within=1), retry=HOUR)(store)
    async with probe(Application([listens])) as probed:
        for number in (1, 2, 3):
            await probed.template.send(jobs, number, message_id=str(number))
        await probed.idle()
        assert store.batches == [[1, 2, 3]]
        assert dead(probed) == dead_letters
        await probed.advance(2 * 3600)
        again = sorted(number for batch in store.batches[1:] for number in batch)
        assert [str(number) for number in again] == retried
        assert dead(probed) == dead_letters


@pytest.mark.parametrize(
    "answer",
    [[Accept()], [], [Accept()] * 4, [Accept(), None, Accept()], (Accept(),) * 3, 7, {"1": Accept()}],
    ids=repr,
)
async def test_an_answer_that_does_not_fit_the_batch_is_an_error_that_says_so(answer: object) -> None:
    store = Store(answer, answer, answer, answer)
    listens = listener(jobs, batch=Batch(3, within=1), retry=HOUR)(store)
    async with probe(Application([listens])) as probed:
        await probed.template.send_many(jobs, [1, 2, 3])
        await probed.idle()
        await probed.advance(2 * 3600)
        letters = probed.dead(jobs)
    assert [letter.headers["msgkit-dead-error"] for letter in letters] == ["ConfigurationError"] * 3
    assert str(letters[0].headers["msgkit-dead-text"]).endswith(
        "() must return None, or a list with a settlement for each of its 3 messages"
    )


async def test_poison_ends_alone_and_the_rest_is_one_batch() -> None:
    store = Store()
    probed = await pour(store, [1, 2, 3, 4], poison=[2, 4])
    assert store.batches == [[1, 3]]
    assert dead(probed) == ["2", "4"]


async def test_a_batch_of_nothing_but_poison_calls_nobody() -> None:
    store = Store()
    probed = await pour(store, [1, 2], poison=[1, 2])
    assert store.batches == []
    assert dead(probed) == ["1", "2"]


async def test_what_a_batch_handled_is_seen_and_what_it_raised_over_is_not() -> None:
    store = Store(ValueError("no"))
    listens = listener(jobs, batch=Batch(2, within=1), retry=HOUR)(store)
    async with probe(Application([listens])) as probed:
        await probed.template.send_many(jobs, [1, 2])
        await probed.idle()
        assert probed.handled(store) == []
        await probed.advance(2 * 3600)
        assert sorted(message.payload for message in probed.handled(store)) == [1, 2]


# -- interceptors


def only(*wanted: str) -> Callable[[HandleInterceptor], HandleInterceptor]:
    """Have an interceptor look at some messages alone."""

    def narrowed(interceptor: HandleInterceptor) -> HandleInterceptor:
        async def look(envelope: Envelope, proceed: Handle) -> Settlement:
            return await (interceptor(envelope, proceed) if envelope.message_id in wanted else proceed(envelope))

        return look

    return narrowed


async def test_interceptors_go_around_each_message_and_meet_at_one_call() -> None:
    events: list[str] = []

    async def note(envelope: Envelope, proceed: Handle) -> Settlement:
        events.append(f"in {envelope.message_id}")
        settlement = await proceed(envelope)
        events.append(f"out {envelope.message_id} {settlement!r}")
        return settlement

    store = Store([Accept(), Retry(5), Reject("no")])
    probed = await pour(store, [1, 2, 3], note)
    assert store.batches == [[1, 2, 3]]
    assert events[:3] == ["in 1", "in 2", "in 3"]
    assert sorted(events[3:]) == ["out 1 Accept()", "out 2 Retry(5)", "out 3 Reject('no')"]
    assert dead(probed) == ["3"]


async def test_a_batch_is_in_the_order_of_delivery_however_long_its_interceptors_took() -> None:
    async def dawdle(envelope: Envelope, proceed: Handle) -> Settlement:
        for _ in range(10 - int(envelope.message_id)):
            await asyncio.sleep(0)
        return await proceed(envelope)

    store = Store()
    await pour(store, [1, 2, 3, 4, 5], dawdle)
    assert store.batches == [[1, 2, 3, 4, 5]]


async def test_what_an_interceptor_keeps_is_not_waited_for() -> None:
    @only("2")
    async def keep(_: Envelope, _proceed: Handle) -> Settlement:
        return Reject("kept")

    store = Store([Accept(), Accept()])
    assert dead(await pour(store, [1, 2, 3], keep)) == ["2"]
    assert store.batches == [[1, 3]]


async def test_what_an_interceptor_fails_over_fails_alone() -> None:
    @only("1", "3")
    async def fail(_: Envelope, _proceed: Handle) -> Settlement:
        raise ValueError("no")

    store = Store()
    listens = listener(jobs, batch=Batch(3, within=1), retry=HOUR, interceptors=[fail])(store)
    async with probe(Application([listens])) as probed:
        for number in (1, 2, 3):
            await probed.template.send(jobs, number, message_id=str(number))
        await probed.idle()
        await probed.advance(2 * 3600)
        assert dead(probed) == ["1", "3"]
    assert store.batches == [[2]]


async def test_when_interceptors_keep_all_of_a_batch_nobody_is_called() -> None:
    async def keep(_: Envelope, _proceed: Handle) -> Settlement:
        return Accept()

    store = Store()
    assert dead(await pour(store, [1, 2], keep)) == []
    assert store.batches == []


async def test_an_interceptor_may_change_what_its_message_brings_and_how_it_ends() -> None:
    @only("1")
    async def change(envelope: Envelope, proceed: Handle) -> Settlement:
        await proceed(envelope._replace(body=b"100"))
        return Reject("changed")

    store = Store()
    assert dead(await pour(store, [1, 2], change)) == ["1"]
    assert store.batches == [[100, 2]]


async def test_an_interceptor_may_have_its_message_handled_once_more() -> None:
    """What comes again comes alone: the others of its batch have gone on."""

    @only("2")
    async def once_more(envelope: Envelope, proceed: Handle) -> Settlement:
        first = await proceed(envelope)
        return await proceed(envelope) if isinstance(first, Retry) else first

    store = Store([Accept(), Retry(10), Accept()], Reject("for good"))
    async with asyncio.timeout(5):
        probed = await pour(store, [1, 2, 3], once_more)
    assert store.batches == [[1, 2, 3], [2]]
    assert dead(probed) == ["2"]


async def test_an_interceptor_may_have_its_message_handled_once_more_after_an_error() -> None:
    async def once_more(envelope: Envelope, proceed: Handle) -> Settlement:
        try:
            return await proceed(envelope)
        except ValueError:
            return await proceed(envelope)

    store = Store(ValueError("no"))
    async with asyncio.timeout(5):
        probed = await pour(store, [1, 2], once_more)
    assert store.batches[0] == [1, 2]
    assert sorted(store.batches[1:]) == [[1], [2]]
    assert dead(probed) == []


async def test_an_interceptor_that_waits_no_longer_fails_alone_and_the_others_are_done() -> None:
    handling = asyncio.Event()
    given_up = asyncio.Event()

    @only("2")
    async def give_up(envelope: Envelope, proceed: Handle) -> Settlement:
        waiting = asyncio.ensure_future(proceed(envelope))
        await handling.wait()
        waiting.cancel()
        await asyncio.wait([waiting])
        given_up.set()
        raise TimeoutError

    batches: list[list[int]] = []

    @listener(jobs, batch=Batch(3, within=1), retry=HOUR, interceptors=[give_up])
    async def store(messages: list[Message[int]]) -> None:
        batches.append([message.payload for message in messages])
        handling.set()
        await given_up.wait()

    app = Application([store])
    async with probe(app) as probed:
        for number in (1, 2, 3):
            await probed.template.send(jobs, number, message_id=str(number))
        await probed.idle()
        assert batches == [[1, 2, 3]]
        counts = await fares(app, "jobs")
        assert (counts["handled"], counts["retried"]) == (2, 1)


async def test_a_batch_that_is_cancelled_takes_its_interceptors_with_it() -> None:
    left: list[str] = []

    async def note(envelope: Envelope, proceed: Handle) -> Settlement:
        try:
            return await proceed(envelope)
        finally:
            left.append(envelope.message_id)

    begun = asyncio.Event()

    @listener(jobs, batch=Batch(2, within=1), timeout=60, retry=HOUR, interceptors=[note])
    async def store(_: list[int]) -> None:
        begun.set()
        await asyncio.sleep(3600)

    app = Application([store])
    async with probe(app) as probed:
        for number in (1, 2):
            await probed.template.send(jobs, number, message_id=str(number))
        await begun.wait()
        clock = cast("VirtualClock", probed.template.clock)
        clock.advance_to(clock.now() + 60)
        await probed.idle()
        assert sorted(left) == ["1", "2"]
        counts = await fares(app, "jobs")
        assert (counts["handled"], counts["retried"]) == (0, 2)
