"""Leases: what the broker takes back is let go of, and that is nobody's failure."""

import asyncio

from msgkit.errors import AlreadySettled, DeliveryLost
from msgkit.listener import listener
from msgkit.message import Delivery, Message
from msgkit.settlement import ACCEPT
from msgkit.spi import Release
from msgkit.testing.conformance.handlers import Outcome, accept, numbered
from msgkit.testing.conformance.harness import Fault
from msgkit.testing.conformance.lab import Lab
from msgkit.testing.conformance.raising import raises
from msgkit.testing.conformance.registry import check

__all__: list[str] = []


@check(3, 11)
async def a_long_handler_keeps_its_delivery(lab: Lab) -> None:
    queue = lab.queue()
    gate = lab.gate()
    slow = lab.handler(queue, "slow").does(gate, timeout=10 * lab.patience)
    other = lab.handler(queue, "other").does(accept)
    async with lab.application(slow):
        await lab.send(queue, "slow")
        await lab.reached(gate)
        async with lab.application(other):
            await lab.quiet(other, seconds=lab.patience / 2)
            gate.open()
            await lab.accepts(slow, 1)
            await lab.quiet(slow, other)


@check(11, needs=(Fault.EXPIRE,))
async def a_lost_delivery_cancels_its_handler(lab: Lab) -> None:
    queue = lab.queue()
    cancelled = asyncio.Event()

    async def behave(message: Message[str]) -> Outcome:
        if not cancelled.is_set():
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.set()
                raise
        del message
        return None

    handler = lab.handler(queue).does(behave)
    async with lab.application(handler):
        await lab.send(queue, "taken")
        await lab.until(lambda: handler.running == ["taken"], "the handler at work")
        async with lab.fault("lease-expiry"):
            await lab.harness.expire_leases(queue)
            await lab.until(cancelled.is_set, "the handler cancelled")
            await lab.accepts(handler, 1)


@check(6, 11, needs=(Fault.EXPIRE,))
async def a_lost_delivery_is_no_failure(lab: Lab) -> None:
    queue = lab.queue()
    gate = lab.gate()
    handler = lab.handler(queue).does(gate)
    async with lab.application(handler):
        await lab.send(queue, "taken")
        for losses in (1, 2, 3):
            await lab.reached(gate, losses)
            async with lab.fault("lease-expiry"):
                await lab.harness.expire_leases(queue)
                await lab.reached(gate, losses + 1)
        gate.open()
        await lab.accepts(handler, 1)
    if lab.capabilities.exact_attempts:
        assert set(handler.attempts("taken")) == {1}


@check(11, needs=(Fault.EXPIRE,))
async def a_handler_that_was_asked_to_finish_is_not_cancelled(lab: Lab) -> None:
    queue = lab.queue()
    gate = lab.gate()
    handler = lab.handler(queue).does(gate, on_lost="finish", concurrency=2)
    async with lab.application(handler):
        await lab.send(queue, "taken")
        await lab.reached(gate)
        async with lab.fault("lease-expiry"):
            await lab.harness.expire_leases(queue)
            await lab.reached(gate, 2)
            await asyncio.sleep(lab.silence)
            assert len(handler.running) == 2, "the first was cancelled"
            gate.open()
            await lab.until(lambda: not handler.running, "both finished")
            await lab.quiet(handler)


@check(11, needs=(Fault.EXPIRE,))
async def settling_what_was_lost_raises_delivery_lost(lab: Lab) -> None:
    queue = lab.queue()
    deliveries: list[Delivery[str]] = []
    handler = lab.unlisted(queue)
    await lab.declare(queue)

    @listener(queue, settle="later")
    async def keeps(delivery: Delivery[str]) -> None:
        deliveries.append(delivery)
        handler.journal.pulse()

    async with lab.application(keeps):
        await lab.sender.send(queue, "taken")
        await lab.until(lambda: len(deliveries) == 1, "the first delivery")
        await lab.harness.expire_leases(queue)
        await lab.until(lambda: len(deliveries) == 2, "it again")
        with raises(DeliveryLost):
            await deliveries[0].settle(ACCEPT)
        await deliveries[1].settle(ACCEPT)
        with raises(AlreadySettled):
            await deliveries[1].settle(ACCEPT)
        await lab.until(lambda: lab.is_settled(queue), "the queue empty")
    if lab.capabilities.exact_attempts:
        assert [delivery.attempt for delivery in deliveries] == [1, 1]


@check(3, 11, needs=(Fault.EXPIRE,))
async def what_waited_behind_a_lost_delivery_is_let_go_of_too(lab: Lab) -> None:
    queue = lab.queue()
    gate = lab.gate()
    first = lab.handler(queue, "first").does(gate, max_in_flight=10)
    second = lab.handler(queue, "second").does(accept)
    async with lab.application(first):
        await lab.send_all(queue, numbered("job", 10))
        await lab.reached(gate)
        async with lab.application(second), lab.fault("lease-expiry"):
            await lab.harness.expire_leases(queue)
            gate.open()
            await lab.until(lambda: len({*first.accepted, *second.accepted}) == 10, "all ten handled")
            await lab.quiet(first, second)


@check(11, needs=(Fault.REVOKE,))
async def a_handler_may_finish_what_is_revoked(lab: Lab) -> None:
    queue = lab.queue()
    gate = lab.gate()
    handler = lab.handler(queue).does(gate, concurrency=2, max_in_flight=10)
    async with lab.application(handler):
        await lab.send_all(queue, numbered("job", 10))
        await lab.reached(gate, 2)
        gate.open_in(0.1)
        await lab.harness.revoke(queue, within=lab.patience)
        await lab.accepts(handler, 10)
        await lab.quiet(handler)


@check(11, needs=(Fault.REVOKE,))
async def a_handler_past_its_revocation_is_cancelled_and_not_failed(lab: Lab) -> None:
    queue = lab.queue()
    gate = lab.gate()
    first = lab.handler(queue, "first").does(gate)
    second = lab.handler(queue, "second").does(accept)
    async with lab.application(first):
        await lab.send(queue, "slow")
        await lab.reached(gate)
        async with lab.application(second), lab.fault("revoke"):
            await lab.harness.revoke(queue, within=0.1)
            gate.open()
            await lab.until(lambda: {*first.accepted, *second.accepted} == {"slow"}, "it again")
        assert first.seen[0].how == "lost"
    assert {seen.attempt for seen in (*first.seen, *second.seen)} == {1}


@check(11, needs=(Fault.CUT,))
async def a_lost_connection_cancels_what_is_being_handled(lab: Lab) -> None:
    queue = lab.queue()
    gate = lab.gate()
    handler = lab.handler(queue).does(gate, concurrency=2)
    async with lab.application(handler):
        await lab.send_all(queue, numbered("job", 2))
        await lab.reached(gate, 2)
        async with lab.fault("connection-loss"):
            await lab.harness.cut_connections()
            # What is leased is still in hand.
            await lab.reached(gate, 2 if lab.capabilities.leases else 4)
            gate.open()
            await lab.accepts(handler, 2)
    begun = ["accepted", "accepted"] if lab.capabilities.leases else ["lost", "lost"]
    assert [seen.how for seen in handler.seen[:2]] == begun


@check(11)
async def more_time_can_be_asked_for(lab: Lab) -> None:
    queue = lab.queue()
    ended: list[str] = []

    @listener(queue, timeout=0.2)
    async def takes_its_time(delivery: Delivery[str]) -> None:
        for _ in range(4):
            await delivery.extend(0.2)
            await asyncio.sleep(0.1)
        ended.append(delivery.payload)
        lab.journal.pulse()

    async with lab.application(takes_its_time):
        await lab.sender.send(queue, "long")
        await lab.until(lambda: bool(ended), "the handler through")
    assert ended == ["long"]


@check(5, 11, needs=(Fault.EXPIRE,))
async def one_key_runs_once_at_a_time_in_a_process_even_after_a_loss(lab: Lab) -> None:
    queue = lab.queue()
    running = most = 0

    async def behave(_message: Message[str]) -> Outcome:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            # What a handler does to clean up is still the handling of its key.
            await asyncio.sleep(0.05)
            raise
        finally:
            running -= 1
        return None

    handler = lab.handler(queue).does(behave, concurrency=4, on_lost="cancel")
    async with lab.application(handler):
        await lab.send_all(queue, numbered("job", 6), key="k")
        await lab.until(lambda: running == 1, "the first at work")
        async with lab.fault("lease-expiry"):
            await lab.harness.expire_leases(queue)
            await lab.until(lambda: len(set(handler.accepted)) == 6, "all handled")
    assert most == 1


@check(3, 6, 12)
async def what_is_released_comes_again_at_once_and_uncounted(lab: Lab) -> None:
    queue = lab.queue()
    await lab.declare(queue)
    await lab.send_all(queue, numbered("job", 3))
    async with lab.tap(queue, credit=3) as tap:
        await lab.until(lambda: len(tap.deliveries) == 3, "three")
        for raw in tap.unsettled:
            await tap.settle(raw, Release())
        tap.consumer.credit(3)
        await lab.until(lambda: len(tap.deliveries) == 6, "the three again")
        for raw in tap.unsettled:
            await tap.settle(raw, ACCEPT)
    if lab.capabilities.exact_attempts:
        assert {raw.attempt for raw in tap.deliveries} == {1}


@check(11, needs=(Fault.EXPIRE,))
async def the_seam_says_which_scope_was_lost(lab: Lab) -> None:
    queue = lab.queue()
    await lab.declare(queue)
    await lab.send_all(queue, numbered("job", 3))
    async with lab.tap(queue, credit=6) as tap:
        await lab.until(lambda: len(tap.deliveries) == 3, "three")
        taken = list(tap.deliveries)
        async with lab.fault("lease-expiry"):
            await lab.harness.expire_leases(queue)
            await lab.until(lambda: all(raw.lost for raw in taken), "all three lost")
            await lab.until(lambda: len(tap.deliveries) == 6, "the three again")
            for raw in tap.unsettled:
                await tap.settle(raw, ACCEPT)
        assert {raw.scope for raw in taken}.isdisjoint(raw.scope for raw in tap.deliveries[3:])
