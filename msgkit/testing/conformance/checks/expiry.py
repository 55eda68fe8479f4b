"""Time to live and priority: what is too old is dropped, what is urgent overtakes what waits."""

import asyncio
from functools import partial

from msgkit.application import Application
from msgkit.errors import MessagingError
from msgkit.policy import Backoff
from msgkit.spi import Power
from msgkit.testing.conformance.handlers import accept, fails, numbered
from msgkit.testing.conformance.lab import Lab
from msgkit.testing.conformance.raising import raises
from msgkit.testing.conformance.registry import check
from msgkit.topology import Queue

__all__: list[str] = []


async def dropped(lab: Lab, app: Application, queue: Queue[str]) -> bool:
    """Tell whether a message of the queue has expired: here, or at the broker."""
    return await lab.health(app, queue.name, "expired") + await lab.harness.expired(queue) > 0


@check(9)
async def what_expired_while_nobody_listened_is_dropped_and_counted(lab: Lab) -> None:
    queue = lab.queue()
    await lab.declare(queue)
    await lab.send_all(queue, numbered("old", 5), ttl=0.1)
    await lab.send(queue, "fresh", ttl=60)
    await asyncio.sleep(0.2)
    handler = lab.handler(queue).does(accept)
    async with lab.application(handler):
        await lab.accepts(handler, 1)
        await lab.quiet(handler)
    assert handler.payloads == ["fresh"]


@check(9, 10)
async def what_expires_behind_a_slow_message_is_dropped_when_its_turn_comes(lab: Lab) -> None:
    queue = lab.queue()
    gate = lab.gate("slow")
    handler = lab.handler(queue).does(gate)
    async with lab.application(handler):
        await lab.send(queue, "slow")
        await lab.reached(gate)
        await lab.send(queue, "old", ttl=0.1)
        await lab.send(queue, "fresh")
        await asyncio.sleep(0.2)
        gate.open()
        await lab.accepts(handler, 2)
        await lab.quiet(handler)
    assert handler.payloads == ["slow", "fresh"]


@check(9)
async def what_has_time_left_is_handled(lab: Lab) -> None:
    queue = lab.queue()
    await lab.declare(queue)
    await lab.send_all(queue, numbered("fresh", 10), ttl=60)
    await asyncio.sleep(0.2)
    handler = lab.handler(queue).does(accept)
    async with lab.application(handler):
        await lab.accepts(handler, 10)


@check(8, 9)
async def time_to_live_counts_from_when_a_message_is_due(lab: Lab) -> None:
    if lab.refused(Power.DELAY):
        return
    queue = lab.queue()
    handler = lab.handler(queue).does(accept)
    async with lab.application(handler):
        lateness = lab.capabilities.delay.lateness
        await lab.send(queue, "due", delay=0.5, ttl=0.4 + lateness)
        await lab.accepts(handler, 1)


@check(7, 9)
async def what_expired_is_no_dead_letter(lab: Lab) -> None:
    queue = lab.queue()
    await lab.declare(queue)
    await lab.send(queue, "old", ttl=0.05)
    await asyncio.sleep(0.1)
    handler = lab.handler(queue).does(accept)
    async with lab.application(handler):
        await lab.send(queue, "sentinel")
        await lab.accepts(handler, 1)
    assert not await lab.has_dead(queue)


@check(6, 9)
async def a_retry_does_not_outlive_its_message(lab: Lab) -> None:
    queue = lab.queue()
    retry = Backoff(50, first=0.1, factor=1, jitter=0)
    handler = lab.handler(queue, retry=retry).does(fails())
    async with lab.application(handler) as app:
        # So late the first retry may be.
        await lab.send(queue, "ageing", ttl=0.45 + lab.capabilities.delay.lateness)
        await lab.handled(handler, 2)
        await lab.until(partial(dropped, lab, app, queue), "the message dropped")
        await lab.quiet(handler)
    assert not await lab.has_dead(queue)


@check(9)
async def the_most_urgent_of_what_waits_comes_first(lab: Lab) -> None:
    queue = lab.queue(priorities=9)
    if lab.refused(Power.PRIORITY):
        with lab.refusal(queue.name):
            async with lab.application(lab.unlisted(queue).does(accept)):
                pass
        return
    await lab.declare(queue)
    for priority in (1, 9, 5, 9, 0):
        await lab.send(queue, f"priority {priority}", priority=priority)
    await lab.send(queue, "no priority")
    handler = lab.handler(queue).does(accept, max_in_flight=1)
    async with lab.application(handler):
        await lab.accepts(handler, 6)
    assert handler.payloads == [
        "priority 9",
        "priority 9",
        "priority 5",
        "priority 1",
        "priority 0",
        "no priority",
    ]


@check(9)
async def what_is_equally_urgent_comes_in_order(lab: Lab) -> None:
    if lab.refused(Power.PRIORITY):
        return
    queue = lab.queue(priorities=3)
    await lab.declare(queue)
    await lab.send_all(queue, numbered("low", 10), priority=1)
    await lab.send_all(queue, numbered("high", 10), priority=3)
    handler = lab.handler(queue).does(accept, max_in_flight=1)
    async with lab.application(handler):
        await lab.accepts(handler, 20)
    assert handler.payloads == [*numbered("high", 10), *numbered("low", 10)]


@check(9, 17)
async def a_priority_into_a_queue_without_priorities_is_refused(lab: Lab) -> None:
    queue = lab.queue()
    await lab.declare(queue)
    with raises(MessagingError, "priorit"):
        await lab.sender.send(queue, "urgent", priority=5)
