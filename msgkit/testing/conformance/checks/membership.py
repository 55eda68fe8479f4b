"""Joining, leaving and deploying are no faults: nothing is lost, repeated or counted for them."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from msgkit.testing.conformance.handlers import Handler, accept, numbered, takes
from msgkit.testing.conformance.lab import Lab
from msgkit.testing.conformance.registry import check
from msgkit.topology import Queue

__all__: list[str] = []

MANY = 60
FEW = 20


@asynccontextmanager
async def under_load(lab: Lab, queue: Queue[str], handlers: Sequence[Handler]) -> AsyncGenerator[list[str]]:
    """Send on and on, so that more waits than these have at hand; the list is what was sent."""
    sent: list[str] = []
    done = asyncio.Event()

    async def send() -> None:
        while not done.is_set():
            if len(sent) - accepted(*handlers) < MANY:
                burst = [f"load {len(sent) + n}" for n in range(FEW)]
                sent.extend(burst)
                await lab.send_all(queue, burst)
            await asyncio.sleep(0.001)

    sending = asyncio.create_task(send())
    try:
        yield sent
    finally:
        done.set()
        await sending


def has_some(handler: Handler) -> bool:
    return len(handler.seen) >= FEW


def accepted(*handlers: Handler) -> int:
    return sum(len(handler.accepted) for handler in handlers)


@check(3, 4)
async def a_consumer_that_joins_under_a_slow_head_repeats_nothing(lab: Lab) -> None:
    queue = lab.queue()
    gate = lab.gate("slow000")
    first = lab.handler(queue, "first").does(gate, concurrency=4)
    second = lab.handler(queue, "second").does(accept, concurrency=4)
    async with lab.application(first):
        await lab.send(queue, "slow000")
        await lab.reached(gate)
        await lab.send_all(queue, numbered("fast", MANY))
        await lab.accepts(first, MANY)
        async with lab.application(second):
            await lab.send_all(queue, numbered("later", MANY))
            await lab.until(lambda: accepted(first, second) == 2 * MANY, "all but the slow one")
            gate.open()
            await lab.until(lambda: accepted(first, second) == 2 * MANY + 1, "the slow one, too")
            await lab.quiet(first, second)


@check(3, 4, 12)
async def a_consumer_that_leaves_under_a_slow_head_repeats_nothing(lab: Lab) -> None:
    queue = lab.queue()
    gate = lab.gate("slow000")
    leaver = lab.handler(queue, "leaver").does(gate, concurrency=4)
    async with lab.application(leaver):
        await lab.send(queue, "slow000")
        await lab.reached(gate)
        await lab.send_all(queue, numbered("fast", MANY))
        await lab.accepts(leaver, MANY)
        gate.open_in(0.05)
    heir = lab.handler(queue, "heir").does(accept)
    async with lab.application(heir):
        await lab.send(queue, "sentinel")
        await lab.accepts(heir, 1)
        await lab.quiet(heir)
    assert heir.payloads == ["sentinel"]


@check(3, 4)
async def consumers_that_come_and_go_under_load_lose_and_repeat_nothing(lab: Lab) -> None:
    queue = lab.queue()
    stays = lab.handler(queue, "stays").does(takes(0.002), concurrency=2)
    handlers = [stays]
    async with lab.application(stays):
        async with under_load(lab, queue, handlers) as sent:
            for n in range(4):
                guest = lab.handler(queue, f"guest-{n}").does(takes(0.002), concurrency=2)
                handlers.append(guest)
                async with lab.application(guest):
                    # Where whoever is there already takes all, it gets none.
                    await lab.journal.until(partial(has_some, guest), lab.patience / 4)
        await lab.until(lambda: accepted(*handlers) == len(sent), "all handled")
        await lab.quiet(stays)


@check(3, 6, 12)
async def five_rolling_deploys_lose_repeat_and_count_nothing(lab: Lab) -> None:
    queue = lab.queue()
    handlers: list[Handler] = []
    async with AsyncExitStack() as last:
        await lab.declare(queue)
        async with under_load(lab, queue, handlers) as sent:
            for version in range(6):
                handler = lab.handler(queue, f"version-{version}").does(takes(0.005), concurrency=3)
                handlers.append(handler)
                following = AsyncExitStack()
                await following.enter_async_context(lab.application(handler))
                await last.aclose()
                last.push_async_exit(following)
                await lab.handled(handler, FEW)
        await lab.until(lambda: accepted(*handlers) == len(sent), "all handled")
    assert {seen.attempt for handler in handlers for seen in handler.seen} == {1}


@check(3, 6, 12)
async def five_drains_in_mid_handling_count_no_attempt(lab: Lab) -> None:
    queue = lab.queue()
    await lab.declare(queue)
    await lab.send(queue, "patient")
    for drain in range(5):
        gate = lab.gate()
        handler = lab.handler(queue, f"drained-{drain}").does(gate)
        async with lab.application(handler, settings=lab.harness.settings(drain=0.05)):
            await lab.reached(gate)
        assert handler.attempts("patient") == [1], "a release was counted"
    last = lab.handler(queue, "last").does(accept)
    async with lab.application(last):
        await lab.accepts(last, 1)
    assert last.attempts("patient") == [1]


@check(3, 6, 12)
async def a_dozen_drains_are_no_crash_loop(lab: Lab) -> None:
    queue = lab.queue()
    await lab.declare(queue)
    await lab.send(queue, "innocent")
    for drain in range(12):
        gate = lab.gate()
        handler = lab.handler(queue, f"drained-{drain}").does(gate)
        async with lab.application(handler, settings=lab.harness.settings(drain=0.01)):
            await lab.reached(gate)
    last = lab.handler(queue, "last").does(accept)
    async with lab.application(last):
        await lab.accepts(last, 1)


@check(3, 12)
async def what_waited_with_a_consumer_that_leaves_goes_to_another_at_once(lab: Lab) -> None:
    queue = lab.queue()
    gate = lab.gate()
    leaver = lab.handler(queue, "leaver").does(gate, max_in_flight=20)
    stays = lab.handler(queue, "stays").does(accept)
    async with AsyncExitStack() as leaving:
        await leaving.enter_async_context(lab.application(leaver))
        await lab.send_all(queue, numbered("waits", 20))
        await lab.reached(gate)
        async with lab.application(stays):
            gate.open_in(0.1)
            await leaving.aclose()
            await lab.until(lambda: accepted(leaver, stays) == 20, "all handled")
            await lab.quiet(leaver, stays)
    assert leaver.accepted == gate.reached, "something began after the stop"
