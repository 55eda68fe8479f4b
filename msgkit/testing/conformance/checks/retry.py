"""Attempts: counted exactly, paused in between, given up in time, and never counted for nothing."""

import asyncio
from functools import partial
from itertools import pairwise

from msgkit.message import Message
from msgkit.policy import Backoff
from msgkit.settlement import Reject, Retry
from msgkit.testing.conformance.handlers import Boom, Outcome, accept, fails, numbered, rejects
from msgkit.testing.conformance.harness import Fault
from msgkit.testing.conformance.lab import Lab
from msgkit.testing.conformance.registry import check
from msgkit.topology import Queue

__all__: list[str] = []


class HopelessError(Exception):
    """What is not worth another attempt."""


@check(6)
async def attempts_are_counted_exactly(lab: Lab) -> None:
    queue = lab.queue()
    handler = lab.handler(queue).does(fails(3))
    async with lab.application(handler):
        await lab.send(queue, "stubborn")
        await lab.accepts(handler, 1)
    assert handler.attempts("stubborn") == [1, 2, 3, 4]


@check(6, 7)
async def a_message_is_given_up_after_its_last_attempt(lab: Lab) -> None:
    queue = lab.queue()
    handler = lab.handler(queue, retry=Backoff(3, first=0.02)).does(fails())
    async with lab.application(handler):
        await lab.send(queue, "hopeless")
        await lab.dead(queue)
        await lab.quiet(handler)
    assert handler.attempts("hopeless") == [1, 2, 3]


@check(6, 7)
async def one_attempt_means_no_retry(lab: Lab) -> None:
    queue = lab.queue()
    handler = lab.handler(queue, retry=Backoff(1)).does(fails())
    async with lab.application(handler):
        await lab.send(queue, "once")
        await lab.dead(queue)
    assert handler.attempts("once") == [1]


@check(6, 7)
async def an_error_to_give_up_on_is_not_tried_again(lab: Lab) -> None:
    queue = lab.queue()
    retry = Backoff(5, first=0.02, give_up_on=(HopelessError,))
    handler = lab.handler(queue, retry=retry).does(fails(error=HopelessError))
    async with lab.application(handler):
        await lab.send(queue, "hopeless")
        await lab.dead(queue)
        await lab.quiet(handler)
    assert handler.attempts("hopeless") == [1]


@check(6, 7)
async def what_is_rejected_is_not_tried_again(lab: Lab) -> None:
    queue = lab.queue()

    async def raises(message: Message[str]) -> Outcome:
        raise Reject(message.payload)

    returning, raising = lab.handler(queue).does(rejects()), lab.handler(lab.queue()).does(raises)
    async with lab.application(returning, raising):
        for handler in (returning, raising):
            await lab.send(handler.queue, "unwanted")
            await lab.dead(handler.queue)
        await lab.quiet(returning, raising)
    assert returning.attempts("unwanted") == raising.attempts("unwanted") == [1]


@check(6)
async def a_retry_asked_for_counts_as_an_attempt(lab: Lab) -> None:
    queue = lab.queue()

    async def behave(message: Message[str]) -> Outcome:
        if message.attempt == 1:
            return Retry(after=0)
        if message.attempt == 2:
            raise Retry(after=0.02)
        return None

    handler = lab.handler(queue).does(behave)
    async with lab.application(handler):
        await lab.send(queue, "again")
        await lab.accepts(handler, 1)
    assert handler.attempts("again") == [1, 2, 3]


@check(6, 8)
async def a_retry_comes_no_earlier_than_was_asked(lab: Lab) -> None:
    queue = lab.queue()

    async def behave(message: Message[str]) -> Outcome:
        return Retry(after=0.3) if message.attempt == 1 else None

    handler = lab.handler(queue).does(behave)
    async with lab.application(handler):
        await lab.send(queue, "later")
        await lab.accepts(handler, 1)
    first, second = handler.times("later")
    latest = 0.3 + lab.capabilities.delay.lateness + lab.patience
    assert 0.3 <= second - first + lab.harness.tolerance <= latest


@check(6)
async def pauses_grow_from_attempt_to_attempt(lab: Lab) -> None:
    queue = lab.queue()
    retry = Backoff(4, first=0.1, factor=3, jitter=0)
    handler = lab.handler(queue, retry=retry).does(fails(3))
    async with lab.application(handler):
        await lab.send(queue, "slower")
        await lab.accepts(handler, 1, within=2 + lab.patience)
    times = handler.times("slower")
    pauses = [later - earlier for earlier, later in pairwise(times)]
    for pause, least in zip(pauses, (0.1, 0.3, 0.9), strict=True):
        assert pause + lab.harness.tolerance >= least
    assert pauses == sorted(pauses)


@check(6)
async def messages_that_fail_together_do_not_come_back_together(lab: Lab) -> None:
    queue = lab.queue()
    retry = Backoff(2, first=0.4, jitter=0.5)
    handler = lab.handler(queue, retry=retry).does(fails(1), concurrency=16)
    async with lab.application(handler):
        await lab.send_all(queue, numbered("herd", 16))
        await lab.accepts(handler, 16)
    pauses = [handler.times(payload)[1] - handler.times(payload)[0] for payload in numbered("herd", 16)]
    # Sixteen draws from 0.4 s lie within a tenth of it once in 10^14 times.
    assert max(pauses) - min(pauses) > 0.04, f"the herd came back within {pauses}"


@check(6, 10)
async def a_failing_message_makes_no_hot_loop(lab: Lab) -> None:
    queue = lab.queue()
    retry = Backoff(50, first=0.1, factor=1, jitter=0.2)
    cooled = asyncio.Event()

    async def behave(_message: Message[str]) -> Outcome:
        if not cooled.is_set():
            raise Boom
        return None

    handler = lab.handler(queue, retry=retry).does(behave)
    async with lab.application(handler):
        await lab.send(queue, "hot")
        await lab.handled(handler, 1)
        await asyncio.sleep(0.5)
        assert len(handler.seen) <= 8, f"{len(handler.seen)} attempts in half a second"
        cooled.set()
        await lab.accepts(handler, 1)


@check(6)
async def exhaustion_is_decided_after_a_failure_and_never_on_receipt(lab: Lab) -> None:
    queue = lab.queue()
    patient = lab.handler(queue, "patient", retry=Backoff(9, first=0.05, factor=1)).does(fails())
    async with lab.application(patient):
        await lab.send(queue, "last chance")
        await lab.handled(patient, 3)
    hasty = lab.handler(queue, "hasty", retry=Backoff(2, first=0.02)).does(accept)
    async with lab.application(hasty):
        await lab.accepts(hasty, 1)
    if lab.capabilities.exact_attempts:
        assert hasty.attempts("last chance") == [len(patient.seen) + 1]


@check(6)
async def attempts_are_kept_from_one_application_to_the_next(lab: Lab) -> None:
    queue = lab.queue()
    retry = Backoff(9, first=0.3, factor=1, jitter=0)
    first = lab.handler(queue, "first", retry=retry).does(fails())
    async with lab.application(first):
        await lab.send(queue, "moved")
        await lab.handled(first, 1)
    second = lab.handler(queue, "second", retry=retry).does(accept)
    async with lab.application(second):
        await lab.accepts(second, 1)
    # What is retried without order travels with its count, on every broker.
    assert second.attempts("moved") == [2]


@check(6, 11)
async def a_handler_whose_time_is_up_has_failed(lab: Lab) -> None:
    queue = lab.queue()

    async def behave(message: Message[str]) -> Outcome:
        if message.attempt == 1:
            await asyncio.Event().wait()
        return None

    handler = lab.handler(queue).does(behave, timeout=0.1)
    async with lab.application(handler):
        await lab.send(queue, "hangs")
        await lab.accepts(handler, 1)
    assert handler.attempts("hangs") == [1, 2]


@check(6, 12)
async def a_release_counts_as_no_attempt(lab: Lab) -> None:
    queue = lab.queue()
    gate = lab.gate()
    first = lab.handler(queue, "first").does(gate, concurrency=2)
    async with lab.application(first, settings=lab.harness.settings(drain=0.05)):
        await lab.send_all(queue, numbered("released", 6))
        await lab.reached(gate, 2)
    second = lab.handler(queue, "second").does(accept)
    async with lab.application(second):
        await lab.accepts(second, 6)
    assert [seen.attempt for seen in second.seen] == [1] * 6


@check(6, 10)
async def what_waits_for_its_next_attempt_keeps_nobody_else_waiting(lab: Lab) -> None:
    queue = lab.queue()
    failing = fails(1)

    async def behave(message: Message[str]) -> Outcome:
        return await failing(message) if message.payload.startswith("bad") else None

    retry = Backoff(2, first=0.5, jitter=0)
    handler = lab.handler(queue, retry=retry).does(behave, max_in_flight=2)
    async with lab.application(handler):
        await lab.send_all(queue, [*numbered("bad", 4), *numbered("good", 10)])
        await lab.accepts(handler, 14)
    first_return = min(handler.times(payload)[1] for payload in numbered("bad", 4))
    assert all(handler.times(payload)[0] < first_return for payload in numbered("good", 10))


@check(6)
async def a_failing_message_fails_no_other(lab: Lab) -> None:
    queue = lab.queue()

    async def behave(message: Message[str]) -> Outcome:
        if message.payload == "bad":
            raise Boom
        return None

    handler = lab.handler(queue, retry=Backoff(2, first=0.02)).does(behave, concurrency=4)
    async with lab.application(handler):
        await lab.send_all(queue, [*numbered("good", 5), "bad", *numbered("fine", 5)])
        await lab.accepts(handler, 10)
        await lab.dead(queue)
    assert all(seen.attempt == 1 for seen in handler.seen if seen.payload != "bad")


async def at_work_or_convicted(lab: Lab, victim: str, queue: Queue[str]) -> bool:
    return lab.begun(victim) == 1 or await lab.has_dead(queue)


@check(6, 7, needs=(Fault.SPAWN,), limit=60)
async def a_message_that_kills_its_process_is_convicted(lab: Lab) -> None:
    queue = lab.queue()
    await lab.declare(queue)
    await lab.send(queue, "killer")
    deaths = 0
    async with lab.fault("consumer-kill"):
        for deaths in range(1, 16):
            name = f"victim-{deaths}"
            victim = await lab.spawn(queue, name, "hangs")
            await lab.until(partial(at_work_or_convicted, lab, name, queue), "the victim at work, or convicted")
            if not lab.begun(name):
                await victim.stop()
                break
            await victim.kill()
    (dead,) = await lab.dead(queue)
    assert dead.headers["msgkit-dead-reason"] == "crash-loop"
    assert 10 <= deaths - 1 <= 12, f"convicted after {deaths - 1} deaths"
