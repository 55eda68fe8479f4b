"""Stopping: nothing begins any more, what runs may finish, and the rest goes back uncounted."""

import asyncio
import threading

from msgkit.application import Application
from msgkit.envelope import Envelope
from msgkit.errors import ConfigurationError
from msgkit.listener import checker, listener
from msgkit.message import Message
from msgkit.testing.conformance.handlers import Outcome, accept, numbered
from msgkit.testing.conformance.lab import Lab
from msgkit.testing.conformance.raising import raises
from msgkit.testing.conformance.registry import check

__all__: list[str] = []


@check(12)
async def nothing_begins_after_stop(lab: Lab) -> None:
    queue = lab.queue()
    gate = lab.gate()
    handler = lab.handler(queue).does(gate, concurrency=2, max_in_flight=20)
    async with lab.application(handler):
        await lab.send_all(queue, numbered("job", 20))
        await lab.reached(gate, 2)
        gate.open_in(0.1)
    assert len(handler.seen) == 2
    rest = lab.handler(queue, "rest").does(accept)
    async with lab.application(rest):
        await lab.accepts(rest, 18)


@check(12)
async def what_is_being_handled_at_stop_is_finished(lab: Lab) -> None:
    queue = lab.queue()
    gate = lab.gate()
    handler = lab.handler(queue).does(gate, concurrency=3)
    async with lab.application(handler):
        await lab.send_all(queue, numbered("job", 3))
        await lab.reached(gate, 3)
        gate.open_in(0.2)
    assert len(handler.accepted) == 3


@check(6, 12)
async def what_does_not_finish_in_time_is_cancelled_and_goes_back_uncounted(lab: Lab) -> None:
    queue = lab.queue()
    gate = lab.gate()
    first = lab.handler(queue, "first").does(gate)
    began = 0.0
    async with lab.application(first, settings=lab.harness.settings(drain=0.2)):
        await lab.send(queue, "slow")
        await lab.reached(gate)
        began = lab.journal.now()
    took = lab.journal.now() - began
    assert 0.2 - lab.harness.tolerance <= took <= 0.2 + lab.patience
    assert first.seen[0].how == "released"
    second = lab.handler(queue, "second").does(accept)
    async with lab.application(second):
        await lab.accepts(second, 1)
    assert second.attempts("slow") == [1]


@check(12)
async def a_stop_with_nothing_to_do_takes_no_time(lab: Lab) -> None:
    handler = lab.handler(lab.queue()).does(accept)
    began = 0.0
    async with lab.application(handler, settings=lab.harness.settings(drain=10 * lab.patience)):
        await lab.send(handler.queue, "job")
        await lab.accepts(handler, 1)
        began = lab.journal.now()
    assert lab.journal.now() - began < lab.patience


@check(12)
async def a_thread_at_work_is_waited_for(lab: Lab) -> None:
    queue = lab.queue()
    going = threading.Event()

    def behave(_message: Message[str]) -> Outcome:
        going.wait(2 * lab.patience)
        return None

    handler = lab.handler(queue).does_in_a_thread(behave, concurrency=2)
    async with lab.application(handler):
        await lab.send_all(queue, numbered("job", 6))
        await lab.until(lambda: len(handler.running) == 2, "two threads at work")
        asyncio.get_running_loop().call_later(0.1, going.set)
    assert len(handler.seen) == len(handler.accepted) == 2
    rest = lab.handler(queue, "rest").does(accept)
    async with lab.application(rest):
        await lab.accepts(rest, 4)


@check(12)
async def a_handler_that_swallows_its_cancellation_does_not_hold_up_the_stop(lab: Lab) -> None:
    queue = lab.queue()
    began, ended, release = asyncio.Event(), asyncio.Event(), asyncio.Event()

    @listener(queue)
    async def stubborn(_payload: str) -> None:
        began.set()
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        ended.set()

    async with lab.application(stubborn, settings=lab.harness.settings(drain=0.05)):
        await lab.sender.send(queue, "stuck")
        await lab.until(began.is_set, "the handler at work")
        stopped = lab.journal.now()
    assert lab.journal.now() - stopped < 2 * lab.patience
    release.set()
    await lab.until(ended.is_set, "the handler gone at last")


@check(12)
async def a_paused_queue_begins_nothing_until_it_is_resumed(lab: Lab) -> None:
    queue, other = lab.queue("paused"), lab.queue("other")
    paused, busy = lab.handler(queue).does(accept), lab.handler(other).does(accept)
    async with lab.application(paused, busy) as app:
        await lab.send(queue, "before")
        await lab.accepts(paused, 1)
        await app.pause(queue)
        await lab.send_all(queue, numbered("job", 5))
        await lab.send(other, "sentinel")
        await lab.accepts(busy, 1)
        await lab.quiet(paused)
        await app.resume(queue)
        await lab.accepts(paused, 6)


@check(4, 12)
async def what_a_paused_consumer_had_goes_to_another(lab: Lab) -> None:
    queue = lab.queue()
    gate = lab.gate()
    paused = lab.handler(queue, "paused").does(gate, max_in_flight=10)
    other = lab.handler(queue, "other").does(accept)
    async with lab.application(paused) as app:
        await lab.send_all(queue, numbered("job", 10))
        await lab.reached(gate)
        gate.open_in(0.1)
        await app.pause(queue)
        async with lab.application(other):
            await lab.accepts(other, 10 - len(paused.seen))
    assert len(paused.seen) == 1


@check(12)
async def an_application_that_cannot_start_leaves_nothing_running(lab: Lab) -> None:
    queue = lab.queue()
    await lab.declare(queue)
    await lab.sender.send(queue, "waits")

    @listener(queue)
    async def hangs(_payload: str) -> None:
        await asyncio.Event().wait()

    @checker("twice")
    async def one(_envelope: Envelope) -> bool:
        return True

    @checker("twice")
    async def another(_envelope: Envelope) -> bool:
        return True

    # Refused when everything else runs already.
    with raises(ConfigurationError, "twice"):
        async with lab.application(hangs, one, another, settings=lab.harness.settings(drain=0.05)):
            pass


@check(12)
async def an_application_can_run_again(lab: Lab) -> None:
    queue = lab.queue()
    handler = lab.handler(queue).does(accept)
    lab.expect(queue)
    app = Application([handler.function], settings=lab.settings())
    for run in range(3):
        async with app:
            await lab.send(queue, f"run {run}")
            await lab.accepts(handler, run + 1)
