"""Order: the same weak thing everywhere unless it is asked for, and then by key, retries included."""

import asyncio

from msgkit.listener import Batch
from msgkit.message import Message
from msgkit.policy import Backoff
from msgkit.settlement import Retry, Settlement
from msgkit.spi import Order, Power
from msgkit.testing.conformance.handlers import Outcome, accept, fails, numbered, takes
from msgkit.testing.conformance.harness import Fault
from msgkit.testing.conformance.lab import Lab
from msgkit.testing.conformance.registry import check
from msgkit.topology import Queue

__all__: list[str] = []

KEYS = ("a", "b", "c", "d", "e", "f")


async def refuses_order(lab: Lab, queue: Queue[str], power: Power = Power.ORDERED) -> bool:
    """Tell whether this binding keeps no order; its refusal has been asserted then."""
    if not lab.refused(power):
        return False
    handler = lab.unlisted(queue).does(accept)
    with lab.refusal(queue.name):
        async with lab.application(handler):
            pass
    return True


async def send_lanes(lab: Lab, queue: Queue[str], n: int) -> None:
    """Send so many messages to each key, the keys in turn."""
    for number in range(n):
        for key in KEYS:
            await lab.send(queue, f"{key}{number:03}", key=key)


async def offer_lanes(lab: Lab, queue: Queue[str], n: int) -> set[str]:
    """Send so many messages to each key, whatever becomes of them; return what was confirmed."""
    payloads = [(key, f"{key}{number:03}") for number in range(n) for key in KEYS]
    return {payload for key, payload in payloads if await lab.offer(queue, payload, key=key) == "confirmed"}


# -- queues without order


@check(5)
async def one_key_is_handled_one_at_a_time_in_a_process(lab: Lab) -> None:
    queue = lab.queue()
    handler = lab.handler(queue).does(takes(0.005), concurrency=8)
    async with lab.application(handler):
        await send_lanes(lab, queue, 5)
        await lab.accepts(handler, 5 * len(KEYS))
    assert 1 < handler.most <= len(KEYS)


@check(5)
async def messages_without_a_key_are_handled_side_by_side(lab: Lab) -> None:
    queue = lab.queue()
    gate = lab.gate()
    handler = lab.handler(queue).does(gate, concurrency=4)
    async with lab.application(handler):
        await lab.send_all(queue, numbered("free", 4))
        await lab.reached(gate, 4)
        gate.open()
        await lab.accepts(handler, 4)


@check(5, 6)
async def a_retry_is_overtaken_in_a_queue_without_order(lab: Lab) -> None:
    queue = lab.queue()
    failing = fails(1)

    async def first_fails(message: Message[str]) -> Outcome:
        return await failing(message) if message.payload == "first" else None

    handler = lab.handler(queue).does(first_fails)
    async with lab.application(handler):
        await lab.send_all(queue, ["first", "second"], key="k")
        await lab.accepts(handler, 2)
    assert handler.payloads == ["first", "second", "first"]


# -- ordered queues


@check(5)
async def an_ordered_queue_handles_each_key_in_sending_order(lab: Lab) -> None:
    queue = lab.queue(ordered=True)
    if await refuses_order(lab, queue):
        return
    handler = lab.handler(queue).does(takes(0.002), concurrency=8)
    async with lab.application(handler):
        await send_lanes(lab, queue, 20)
        await lab.accepts(handler, 20 * len(KEYS))
    for key in KEYS:
        mine = [payload for payload in handler.payloads if payload.startswith(key)]
        assert mine == [f"{key}{n:03}" for n in range(20)]


@check(5)
async def an_ordered_queue_keeps_the_order_of_what_an_exchange_sends_it(lab: Lab) -> None:
    exchange = lab.exchange()
    queue = lab.queue("jobs", exchange.where(), ordered=True)
    if await refuses_order(lab, queue):
        return
    handler = lab.handler(queue).does(accept, concurrency=8)
    async with lab.application(handler):
        await lab.send_all(exchange, numbered("step", 40), key="k", subject="s")
        await lab.accepts(handler, 40)
    assert handler.payloads == numbered("step", 40)


@check(5, 10)
async def an_ordered_queue_handles_keys_side_by_side(lab: Lab) -> None:
    queue = lab.queue(ordered=True)
    if await refuses_order(lab, queue):
        return
    gate = lab.gate()
    handler = lab.handler(queue).does(gate, concurrency=len(KEYS))
    async with lab.application(handler):
        await send_lanes(lab, queue, 2)
        # Where the broker's own queue is the lane, two keys may share one.
        await lab.reached(gate, 2 if lab.capabilities.order is Order.QUEUE else len(KEYS))
        gate.open()
        await lab.accepts(handler, 2 * len(KEYS))


@check(5, 6)
async def a_retry_holds_its_lane_and_no_other(lab: Lab) -> None:
    queue = lab.queue(ordered=True)
    if await refuses_order(lab, queue):
        return
    failing = fails(2)
    # Long enough for all others, however slowly they are sent.
    policy = Backoff(3, first=0.1 + 4 * lab.harness.tolerance, factor=1.0, jitter=0)

    async def a_fails(message: Message[str]) -> Outcome:
        return await failing(message) if message.payload == "a000" else None

    handler = lab.handler(queue, retry=policy).does(a_fails, concurrency=4)
    async with lab.application(handler):
        await send_lanes(lab, queue, 3)
        await lab.accepts(handler, 3 * len(KEYS))
    mine = [payload for payload in handler.payloads if payload.startswith("a")]
    assert mine == ["a000", "a000", "a000", "a001", "a002"]
    if lab.capabilities.order is not Order.QUEUE:
        last = max(handler.times("a000"))
        assert all(handler.times(f"{key}002")[0] < last for key in KEYS[1:]), "others were held"


@check(5, 6)
async def a_pause_asked_for_holds_the_lane_as_long(lab: Lab) -> None:
    queue = lab.queue(ordered=True)
    if await refuses_order(lab, queue):
        return

    async def pauses(message: Message[str]) -> Outcome:
        return Retry(after=0.3) if (message.payload, message.attempt) == ("first", 1) else None

    handler = lab.handler(queue).does(pauses, concurrency=4)
    async with lab.application(handler):
        await lab.send_all(queue, ["first", "second"], key="k")
        await lab.accepts(handler, 2)
    assert handler.payloads == ["first", "first", "second"]


@check(5, 7)
async def a_dead_letter_lets_its_lane_go_on(lab: Lab) -> None:
    queue = lab.queue(ordered=True)
    if await refuses_order(lab, queue):
        return
    failing = fails()

    async def behave(message: Message[str]) -> Outcome:
        return await failing(message) if message.payload == "bad" else None

    handler = lab.handler(queue).does(behave)
    async with lab.application(handler):
        await lab.send_all(queue, ["bad", "good"], key="k")
        await lab.accepts(handler, 1)
        (dead,) = await lab.dead(queue)
    assert dead.payload == b"bad"
    assert handler.accepted == ["good"]


@check(4, 5)
async def two_consumers_keep_the_order_of_each_key_between_them(lab: Lab) -> None:
    queue = lab.queue(ordered=True)
    if await refuses_order(lab, queue):
        return
    handlers = [lab.handler(queue, name).does(takes(0.001), concurrency=4) for name in ("a", "b")]
    async with lab.application(handlers[0]), lab.application(handlers[1]):
        await send_lanes(lab, queue, 15)
        await lab.until(lambda: sum(len(each.accepted) for each in handlers) == 15 * len(KEYS), "all handled")


@check(3, 5)
async def order_is_kept_when_consumers_come_and_go(lab: Lab) -> None:
    queue = lab.queue(ordered=True)
    if await refuses_order(lab, queue):
        return
    stays = lab.handler(queue, "stays").does(takes(0.001), concurrency=4)
    guests = [lab.handler(queue, f"guest-{n}").does(takes(0.001), concurrency=4) for n in range(3)]
    async with lab.application(stays):
        sending = asyncio.create_task(send_lanes(lab, queue, 30))
        for guest in guests:
            async with lab.application(guest):
                await lab.quiet(seconds=0.05)
        await sending
        await lab.until(
            lambda: sum(len(each.accepted) for each in (stays, *guests)) == 30 * len(KEYS),
            "all handled",
        )


@check(5, 12)
async def what_is_released_keeps_its_place(lab: Lab) -> None:
    queue = lab.queue(ordered=True)
    if await refuses_order(lab, queue):
        return
    gate = lab.gate()
    first = lab.handler(queue, "first").does(gate, max_in_flight=10)
    second = lab.handler(queue, "second").does(accept, concurrency=4)
    async with lab.application(first, settings=lab.harness.settings(drain=0.05)):
        await lab.send_all(queue, numbered("step", 10), key="k")
        await lab.reached(gate)
    async with lab.application(second):
        await lab.accepts(second, 10)
    assert second.payloads == numbered("step", 10)


@check(5, 12)
async def order_survives_consumers_that_hold_less_than_those_before_them(lab: Lab) -> None:
    queue = lab.queue(ordered=True)
    if await refuses_order(lab, queue):
        return
    await lab.declare(queue)
    await lab.send_all(queue, numbered("step", 12), key="k")
    for holder, most in enumerate((9, 3, 3)):
        gate = lab.gate()
        handler = lab.handler(queue, f"holder-{holder}").does(gate, max_in_flight=most)
        async with lab.application(handler, settings=lab.harness.settings(drain=0.05)):
            await lab.reached(gate)
            # As many as it may hold are on their way.
            await lab.quiet(seconds=0.05)
    last = lab.handler(queue, "last").does(accept, max_in_flight=2)
    async with lab.application(last):
        await lab.accepts(last, 12)
    assert last.payloads == numbered("step", 12)


@check(5)
async def a_batch_of_an_ordered_queue_holds_one_message_of_a_key(lab: Lab) -> None:
    queue = lab.queue(ordered=True)
    if await refuses_order(lab, queue):
        return
    sizes: list[list[str | None]] = []

    async def behave(messages: list[Message[str]]) -> list[Settlement] | None:
        sizes.append([message.key for message in messages])
        return None

    handler = lab.handler(queue, batched=True).does_batches(Batch(10, within=0.05), behave)
    async with lab.application(handler):
        await send_lanes(lab, queue, 5)
        await lab.accepts(handler, 5 * len(KEYS))
    assert all(len(keys) == len(set(keys)) for keys in sizes), sizes


@check(5, 13, needs=(Fault.CUT,))
async def order_survives_a_lost_connection(lab: Lab) -> None:
    queue = lab.queue(ordered=True)
    if await refuses_order(lab, queue):
        return
    handler = lab.handler(queue).does(takes(0.002), concurrency=4)
    async with lab.application(handler), lab.fault("connection-loss"):
        sending = asyncio.create_task(offer_lanes(lab, queue, 20))
        await lab.accepts(handler, 10)
        await lab.harness.cut_connections()
        confirmed = await sending
        await lab.until(lambda: confirmed <= set(handler.accepted), "all handled")


@check(3, 5, needs=(Fault.SPAWN,), limit=12)
async def order_survives_a_killed_consumer(lab: Lab) -> None:
    queue = lab.queue(ordered=True)
    if await refuses_order(lab, queue):
        return
    await lab.declare(queue)
    victim = await lab.spawn(queue, "victim", "hangs", concurrency=3)
    await send_lanes(lab, queue, 5)
    await lab.until(lambda: lab.begun("victim") >= 1, "the victim at work")
    heir = lab.handler(queue, "heir").does(accept, concurrency=4)
    async with lab.application(heir), lab.fault("consumer-kill", "victim"):
        await victim.kill()
        await lab.accepts(heir, 5 * len(KEYS))
