"""Backpressure: nothing is fetched without credit, and nobody waits for somebody else's messages."""

import asyncio
from functools import partial

from msgkit.message import Message
from msgkit.settlement import ACCEPT
from msgkit.testing.conformance.handlers import accept, numbered, takes
from msgkit.testing.conformance.lab import Lab
from msgkit.testing.conformance.registry import check
from msgkit.testing.conformance.tap import Tap

__all__: list[str] = []


def has(tap: Tap, n: int) -> bool:
    return len(tap.deliveries) >= n


@check(10)
async def nothing_is_delivered_without_credit(lab: Lab) -> None:
    queue = lab.queue()
    await lab.declare(queue)
    async with lab.tap(queue) as tap:
        await lab.send_all(queue, numbered("job", 5))
        await asyncio.sleep(lab.silence)
        assert tap.deliveries == []
        tap.consumer.credit(5)
        await lab.until(lambda: len(tap.deliveries) == 5, "five, for five credits")
        for raw in tap.unsettled:
            await tap.settle(raw, ACCEPT)


@check(10)
async def credit_is_never_exceeded(lab: Lab) -> None:
    queue = lab.queue()
    await lab.declare(queue)
    await lab.send_all(queue, numbered("job", 30))
    async with lab.tap(queue, credit=4) as tap:
        for allowed in (4, 11):
            await lab.until(partial(has, tap, allowed), f"{allowed} deliveries")
            await asyncio.sleep(lab.silence)
            assert len(tap.deliveries) == allowed
            tap.consumer.credit(7)
        # A settlement gives no credit of itself.
        await lab.until(lambda: len(tap.deliveries) == 18, "18 deliveries")
        for raw in tap.unsettled:
            await tap.settle(raw, ACCEPT)
        await asyncio.sleep(lab.silence)
        assert len(tap.deliveries) == 18
        tap.consumer.credit(12)
        await lab.until(lambda: len(tap.deliveries) == 30, "the rest")
        for raw in tap.unsettled:
            await tap.settle(raw, ACCEPT)


@check(10)
async def no_more_is_taken_than_may_be_in_flight(lab: Lab) -> None:
    queue = lab.queue()
    gate = lab.gate()
    handler = lab.handler(queue).does(gate, concurrency=2, max_in_flight=6)
    async with lab.application(handler):
        await lab.send_all(queue, numbered("job", 40))
        await lab.reached(gate, 2)
        await asyncio.sleep(lab.silence)
        depth = await lab.depth(queue)
        assert depth is None or (depth.unsettled or 0) <= 6
        assert depth is None or depth.ready >= 34
        gate.open()
        await lab.accepts(handler, 40)


@check(10)
async def no_more_is_handled_at_once_than_was_asked(lab: Lab) -> None:
    queue = lab.queue()
    gate, work = lab.gate(), takes(0.005)

    async def behave(message: Message[str]) -> None:
        await gate(message)
        await work(message)

    handler = lab.handler(queue).does(behave, concurrency=3, max_in_flight=20)
    async with lab.application(handler):
        await lab.send_all(queue, numbered("job", 40))
        await lab.reached(gate, 3)
        await lab.quiet(handler)
        gate.open()
        await lab.accepts(handler, 40)
    assert handler.most == 3


@check(10)
async def one_in_flight_is_enough_to_go_on(lab: Lab) -> None:
    queue = lab.queue()
    handler = lab.handler(queue).does(accept, max_in_flight=1)
    async with lab.application(handler):
        await lab.send_all(queue, numbered("job", 50))
        await lab.accepts(handler, 50)
    assert handler.most == 1


@check(5, 10)
async def a_busy_key_keeps_no_other_key_waiting(lab: Lab) -> None:
    queue = lab.queue()
    gate = lab.gate("hot000")
    handler = lab.handler(queue).does(gate, concurrency=4, max_in_flight=16)
    async with lab.application(handler):
        await lab.send_all(queue, numbered("hot", 12), key="hot")
        await lab.reached(gate)
        for key in ("a", "b", "c"):
            await lab.send_all(queue, numbered(key, 10), key=key)
        await lab.accepts(handler, 30)
        assert not any(payload.startswith("hot") for payload in handler.accepted)
        gate.open()
        await lab.accepts(handler, 42)


@check(5, 10)
async def a_busy_key_of_an_ordered_queue_keeps_no_other_key_waiting(lab: Lab) -> None:
    if lab.keeps_no_order or lab.capabilities.order.name == "QUEUE":
        return
    queue = lab.queue(ordered=True)
    gate = lab.gate("hot000")
    handler = lab.handler(queue).does(gate, concurrency=4, max_in_flight=16)
    async with lab.application(handler):
        await lab.send_all(queue, numbered("hot", 12), key="hot")
        await lab.reached(gate)
        for key in ("a", "b", "c"):
            await lab.send_all(queue, numbered(key, 10), key=key)
        await lab.accepts(handler, 30)
        gate.open()
        await lab.accepts(handler, 42)


@check(4, 10)
async def a_slow_consumer_starves_no_other(lab: Lab) -> None:
    queue = lab.queue()
    gate = lab.gate()
    slow = lab.handler(queue, "slow").does(gate, max_in_flight=2)
    quick = lab.handler(queue, "quick").does(accept)
    async with lab.application(slow), lab.application(quick):
        for payload in numbered("job", 40):
            await lab.send(queue, payload, key=payload)
        if lab.capabilities.parted:
            await lab.until(lambda: len(quick.accepted) > 0, "some handled by the quick one")
        else:
            await lab.until(lambda: len(quick.accepted) >= 38, "all but two handled by the quick one")
        gate.open()
        await lab.until(lambda: len(quick.accepted) + len(slow.accepted) == 40, "the rest")
    assert not lab.capabilities.parted or len(slow.accepted) > 2, "the part of the slow one did not wait for it"


@check(10)
async def a_slow_queue_keeps_no_other_queue_waiting(lab: Lab) -> None:
    gate = lab.gate()
    slow = lab.handler(lab.queue("slow")).does(gate, max_in_flight=2)
    quick = lab.handler(lab.queue("quick")).does(accept)
    async with lab.application(slow, quick):
        await lab.send_all(slow.queue, numbered("stuck", 20))
        await lab.reached(gate)
        await lab.send_all(quick.queue, numbered("job", 20))
        await lab.accepts(quick, 20)
        gate.open()
        await lab.accepts(slow, 20)


@check(10)
async def large_messages_do_not_pile_up_in_a_slow_consumer(lab: Lab) -> None:
    queue = lab.queue()
    gate = lab.gate()
    handler = lab.handler(queue).does(gate, concurrency=1, max_in_flight=3)
    async with lab.application(handler):
        for number in range(12):
            await lab.send(queue, f"{number:03}" + "x" * 500_000)
        await lab.reached(gate)
        await asyncio.sleep(lab.silence)
        depth = await lab.depth(queue)
        assert depth is None or (depth.unsettled or 0) <= 3
        gate.open()
        await lab.accepts(handler, 12)


@check(10)
async def senders_are_slowed_and_lose_nothing(lab: Lab) -> None:
    queue = lab.queue()
    handler = lab.handler(queue).does(accept, concurrency=8)
    async with lab.application(handler):
        await asyncio.gather(*(lab.send_all(queue, numbered(f"sender{n}-", 100)) for n in range(10)))
        await lab.accepts(handler, 1000, within=3 * lab.patience)


@check(5, 10)
async def a_handler_may_send_to_its_own_queue(lab: Lab) -> None:
    queue = lab.queue()

    async def passes_on(message: Message[str]) -> None:
        left = int(message.payload)
        if left:
            await lab.send(queue, str(left - 1), key="k")

    handler = lab.handler(queue).does(passes_on, max_in_flight=1)
    async with lab.application(handler):
        await lab.send(queue, "20", key="k")
        await lab.accepts(handler, 21)
    assert handler.payloads == [str(n) for n in range(20, -1, -1)]
