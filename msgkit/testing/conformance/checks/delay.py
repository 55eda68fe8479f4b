"""Delay: never early, hardly late, and to whoever is there when it is due."""

import asyncio
from datetime import UTC, datetime, timedelta

from msgkit.errors import InvalidMessage
from msgkit.message import Message
from msgkit.spi import Power
from msgkit.testing.conformance.handlers import Handler, accept, fails, numbered
from msgkit.testing.conformance.harness import Fault
from msgkit.testing.conformance.lab import Lab
from msgkit.testing.conformance.raising import raises
from msgkit.testing.conformance.registry import check
from msgkit.topology import Queue

__all__: list[str] = []


async def refuses_delay(lab: Lab, power: Power = Power.DELAY) -> bool:
    """Tell whether this binding cannot delay; its refusal has been asserted then."""
    if not lab.refused(power):
        return False
    queue = lab.queue()
    await lab.declare(queue)
    with lab.refusal():
        if power is Power.DELAY:
            await lab.sender.send(queue, "never", delay=1)
        else:
            await lab.sender.send(queue, "never", deliver_at=datetime.now(UTC))
    return True


def asserts_in_time(lab: Lab, handler: Handler, payload: str, due: float) -> None:
    (at,) = handler.times(payload)
    late = at - due
    assert late >= -lab.harness.tolerance, f"{payload} came {-late:.3f} s early"
    allowed = lab.capabilities.delay.lateness + lab.patience / 3
    assert late <= allowed, f"{payload} came {late:.3f} s late"


@check(8)
async def a_delayed_message_is_never_early_and_hardly_late(lab: Lab) -> None:
    if await refuses_delay(lab):
        return
    queue = lab.queue()
    handler = lab.handler(queue).does(accept)
    async with lab.application(handler):
        due: dict[str, float] = {}
        for delay in (0.4, 0.05, 0.2, 0.0):
            due[f"after {delay}"] = lab.journal.now() + delay
            await lab.send(queue, f"after {delay}", delay=delay)
        await lab.accepts(handler, 4)
    for payload, moment in due.items():
        asserts_in_time(lab, handler, payload, moment)


@check(8)
async def a_message_is_delivered_at_its_time(lab: Lab) -> None:
    if await refuses_delay(lab, Power.DELIVER_AT):
        return
    queue = lab.queue()
    handler = lab.handler(queue).does(accept)
    async with lab.application(handler):
        at = datetime.now(UTC) + timedelta(seconds=0.4)
        await lab.send(queue, "punctual", deliver_at=at)
        await lab.send(queue, "overdue", deliver_at=at - timedelta(days=1))
        await lab.accepts(handler, 2)
    asserts_in_time(lab, handler, "punctual", at.timestamp())
    assert handler.payloads == ["overdue", "punctual"]


@check(8)
async def a_short_delay_is_not_held_up_by_a_long_one(lab: Lab) -> None:
    if await refuses_delay(lab):
        return
    queue = lab.queue()
    handler = lab.handler(queue).does(accept)
    async with lab.application(handler):
        began = lab.journal.now()
        await lab.send(queue, "long", delay=lab.patience / 2)
        await lab.send(queue, "short", delay=0.2)
        await lab.accepts(handler, 1)
        asserts_in_time(lab, handler, "short", began + 0.2)
        await lab.accepts(handler, 2, within=4 * lab.patience)


@check(2, 8)
async def routes_are_looked_at_when_a_message_is_due(lab: Lab) -> None:
    if await refuses_delay(lab):
        return
    exchange = lab.exchange()
    await lab.declare(exchange)
    late = lab.queue("late", exchange.where("a.*"))
    # In the ledger it is for the queue that will be there when it is due.
    lab.expect(late)
    await lab.send(exchange, "due later", delay=lab.patience / 2, subject="a.b")
    handler = lab.handler(late).does(accept)
    async with lab.application(handler):
        await lab.accepts(handler, 1, within=2 * lab.patience)


@check(8)
async def a_message_goes_through_two_delays(lab: Lab) -> None:
    if await refuses_delay(lab):
        return
    first, second = lab.queue("first"), lab.queue("second")
    last = lab.handler(second).does(accept)

    async def passes_on(message: Message[str]) -> None:
        headers = dict(message.headers)
        await lab.send(second, f"{message.payload} again", delay=0.2, headers=headers)

    passing = lab.handler(first).does(passes_on)
    async with lab.application(passing, last):
        await lab.send(first, "twice", delay=0.2, headers={"x-trace": "t"})
        await lab.accepts(last, 1)


@check(6, 8)
async def a_delayed_message_that_fails_is_delayed_again(lab: Lab) -> None:
    if await refuses_delay(lab):
        return
    queue = lab.queue()
    handler = lab.handler(queue).does(fails(3))
    async with lab.application(handler):
        await lab.send(queue, "unlucky", delay=0.1)
        await lab.accepts(handler, 1)
    assert handler.attempts("unlucky") == [1, 2, 3, 4]


@check(6, 8)
async def a_retry_reaches_only_the_queue_that_failed(lab: Lab) -> None:
    exchange = lab.exchange(kind="fanout")
    failing = lab.handler(lab.queue("failing", exchange.where())).does(fails(2))
    fine = lab.handler(lab.queue("fine", exchange.where())).does(accept)
    async with lab.application(failing, fine):
        await lab.send_all(exchange, numbered("event", 5))
        await lab.accepts(failing, 5)
        await lab.accepts(fine, 5)
        await lab.quiet(failing, fine)
    assert len(failing.seen) == 15
    assert len(fine.seen) == 5


@check(8, 10)
async def delayed_messages_keep_nobody_waiting(lab: Lab) -> None:
    if await refuses_delay(lab):
        return
    queue = lab.queue()
    handler = lab.handler(queue).does(accept, max_in_flight=2)
    async with lab.application(handler):
        await lab.send_all(queue, numbered("later", 20), delay=0.5)
        await lab.send_all(queue, numbered("now", 20))
        await lab.accepts(handler, 40)
    assert sorted(handler.payloads[:20]) == numbered("now", 20)


@check(5, 8)
async def a_delayed_message_joins_its_lane_when_it_is_due(lab: Lab) -> None:
    if lab.keeps_no_order or await refuses_delay(lab):
        return
    queue = lab.queue(ordered=True)
    handler = lab.handler(queue).does(accept)
    async with lab.application(handler):
        await lab.send(queue, "delayed", key="k", delay=0.3)
        await lab.send_all(queue, ["first", "second"], key="k")
        await lab.accepts(handler, 3)
    assert handler.payloads == ["first", "second", "delayed"]


@check(8, 12)
async def a_delay_goes_on_while_nobody_listens(lab: Lab) -> None:
    if await refuses_delay(lab):
        return
    queue = lab.queue()
    await lab.declare(queue)
    due = lab.journal.now() + 0.4
    await lab.send(queue, "patient", delay=0.4)
    handler = lab.handler(queue).does(accept)
    async with lab.application(handler):
        await asyncio.sleep(0.1)
    async with lab.application(handler):
        await lab.accepts(handler, 1)
    asserts_in_time(lab, handler, "patient", due)


@check(3, 8, needs=(Fault.CUT,))
async def a_delayed_message_survives_a_lost_connection(lab: Lab) -> None:
    if await refuses_delay(lab):
        return
    queue = lab.queue()
    handler = lab.handler(queue).does(accept)
    async with lab.application(handler):
        await lab.send_all(queue, numbered("later", 10), delay=0.4)
        async with lab.fault("connection-loss"):
            await lab.harness.cut_connections()
            await lab.until(lambda: len(set(handler.accepted)) == 10, "all of them, once due")


@check(3, 8, needs=(Fault.STOP,), limit=10)
async def a_delayed_message_survives_a_broker_restart(lab: Lab) -> None:
    if await refuses_delay(lab):
        return
    queue = lab.queue()
    await lab.declare(queue)
    await lab.send_all(queue, numbered("later", 10), delay=0.4)
    await lab.harness.stop()
    await lab.harness.start()
    handler = lab.handler(queue).does(accept)
    async with lab.application(handler):
        await lab.accepts(handler, 10)


@check(3, 6, 8, needs=(Fault.STOP,), limit=10)
async def a_retry_survives_a_broker_restart(lab: Lab) -> None:
    queue = lab.queue()
    handler = lab.handler(queue).does(fails(2))
    async with lab.application(handler):
        await lab.send_all(queue, numbered("unlucky", 5))
        await lab.handled(handler, 5)
        async with lab.fault("broker-stop"):
            await lab.harness.stop()
            await lab.harness.start()
            await lab.until(lambda: len(set(handler.accepted)) == 5, "all accepted in the end")
            # The restart may have made two of one. Who is tried as often after all of them comes after these, too.
            await lab.send(queue, "afterwards")
            await lab.until(lambda: "afterwards" in handler.accepted, "one more")


@check(8, 17)
async def a_delay_beyond_the_longest_is_refused_before_it_is_sent(lab: Lab) -> None:
    longest = lab.capabilities.delay.longest
    if longest is None or await refuses_delay(lab):
        return
    queue: Queue[str] = lab.queue()
    await lab.declare(queue)
    with raises(InvalidMessage, "delay"):
        await lab.sender.send(queue, "never", delay=longest + 60)
