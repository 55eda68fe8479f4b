"""Taking by hand: a clean exit accepts, an error gives back, and no take loses what it was given."""

import asyncio
from collections import Counter

from msgkit.errors import AlreadySettled, Closed, DeliveryLost, SendRefused
from msgkit.message import Delivery
from msgkit.settlement import ACCEPT, Reject, Retry
from msgkit.template import SyncTemplate
from msgkit.testing.conformance.handlers import Boom, numbered
from msgkit.testing.conformance.keeping import Kept
from msgkit.testing.conformance.lab import Lab
from msgkit.testing.conformance.raising import raises
from msgkit.testing.conformance.registry import check
from msgkit.topology import Queue

__all__: list[str] = []


async def filled(lab: Lab, n: int) -> Queue[str]:
    """Return a queue in which so many messages wait."""
    queue = lab.queue()
    await lab.declare(queue)
    await lab.sender.send_many(queue, numbered("waits", n))
    return queue


async def asserts_left(lab: Lab, queue: Queue[str], *payloads: str) -> None:
    """See that just these are left for the next consumer, none of them counted as a failure."""
    kept = Kept(lab, queue, str)
    async with lab.application(kept.function):
        await kept.gets_just(len(payloads))
    assert sorted(kept.payloads) == sorted(payloads)
    assert all(message.attempt == 1 for message in kept.messages), "giving back was counted"


@check(3)
async def what_was_received_is_accepted_on_a_clean_exit(lab: Lab) -> None:
    queue = await filled(lab, 3)
    async with lab.sender.receive(queue, limit=2, timeout=lab.patience) as deliveries:
        taken = [delivery.payload for delivery in deliveries]
    while len(taken) < 3:
        async with lab.sender.receive(queue, timeout=lab.patience) as deliveries:
            taken += [delivery.payload for delivery in deliveries]
    assert sorted(taken) == numbered("waits", 3)
    await asserts_left(lab, queue)


@check(3, 6)
async def what_was_received_goes_back_uncounted_on_an_error(lab: Lab) -> None:
    queue = await filled(lab, 3)
    with raises(Boom):
        async with lab.sender.receive(queue, limit=3, timeout=lab.patience) as deliveries:
            assert deliveries
            raise Boom
    await asserts_left(lab, queue, *numbered("waits", 3))


@check(3)
async def what_was_settled_before_the_error_does_not_come_back(lab: Lab) -> None:
    queue = await filled(lab, 1)
    with raises(Boom):
        async with lab.sender.receive(queue, timeout=lab.patience) as (delivery,):
            await delivery.settle(ACCEPT)
            raise Boom
    await asserts_left(lab, queue)


@check(3)
async def a_receiver_takes_again_and_again(lab: Lab) -> None:
    queue = await filled(lab, 30)
    taken: list[str] = []
    async with lab.sender.receiver(queue, max_in_flight=5) as receiver:
        while len(taken) < 30:
            deliveries = await receiver.take(3, timeout=lab.patience)
            assert 1 <= len(deliveries) <= 3
            for delivery in deliveries:
                taken.append(delivery.payload)
                await delivery.settle(ACCEPT)
    assert sorted(taken) == numbered("waits", 30)
    await asserts_left(lab, queue)


@check(3)
async def a_receiver_can_be_iterated(lab: Lab) -> None:
    queue = await filled(lab, 10)
    taken: list[str] = []
    async with lab.sender.receiver(queue, max_in_flight=2) as receiver:
        async for delivery in receiver:
            taken.append(delivery.payload)
            await delivery.settle(ACCEPT)
            if len(taken) == 7:
                break
    assert len(set(taken)) == 7
    await asserts_left(lab, queue, *sorted(set(numbered("waits", 10)) - set(taken)))


@check(10)
async def a_take_that_nothing_comes_to_ends_in_time(lab: Lab) -> None:
    queue = lab.queue()
    await lab.declare(queue)
    async with lab.sender.receiver(queue) as receiver:
        began = lab.journal.now()
        assert await receiver.take(timeout=0.3) == []
        took = lab.journal.now() - began
        assert 0.3 <= took + lab.harness.tolerance < 0.3 + lab.patience / 2
        assert await receiver.take() == []
        await lab.sender.send(queue, "at last")
        (delivery,) = await receiver.take(timeout=lab.patience)
        await delivery.settle(ACCEPT)
    assert delivery.payload == "at last"


@check(3, 10)
async def a_cancelled_take_loses_nothing(lab: Lab) -> None:
    queue = lab.queue()
    await lab.declare(queue)
    taken: Counter[str] = Counter()

    async def keep(deliveries: list[Delivery[str]]) -> None:
        for delivery in deliveries:
            taken[delivery.payload] += 1
            await delivery.settle(ACCEPT)

    async with lab.sender.receiver(queue, max_in_flight=4) as receiver:
        for number in range(60):
            taking = asyncio.create_task(receiver.take(2, timeout=lab.patience))
            await asyncio.sleep(0.002 * (number % 3))
            await lab.sender.send(queue, f"sent {number:02}")
            await asyncio.sleep(0.0005 * (number % 4))
            taking.cancel()
            try:
                await keep(list(await taking))
            except asyncio.CancelledError:
                continue
        while taken.total() < 60:
            deliveries = await receiver.take(4, timeout=lab.patience)
            assert deliveries, f"{60 - taken.total()} messages were lost by cancelled takes"
            await keep(list(deliveries))
    assert set(taken.values()) == {1}, taken
    await asserts_left(lab, queue)


@check(3, 12)
async def what_is_left_unsettled_goes_back_on_leaving(lab: Lab) -> None:
    queue = await filled(lab, 4)
    async with lab.sender.receiver(queue, max_in_flight=4) as receiver:
        taken: list[Delivery[str]] = []
        while len(taken) < 4:
            taken += await receiver.take(4 - len(taken), timeout=lab.patience)
        by_payload = {delivery.payload: delivery for delivery in taken}
        # Out of order, so that settling one must not settle those before it.
        await by_payload["waits002"].settle(ACCEPT)
        await by_payload["waits000"].settle(ACCEPT)
    await asserts_left(lab, queue, "waits001", "waits003")


@check(4, 10)
async def a_receiver_takes_no_more_than_it_may_hold(lab: Lab) -> None:
    queue = await filled(lab, 6)
    async with lab.sender.receiver(queue, max_in_flight=2) as receiver:
        held: list[Delivery[str]] = []
        while len(held) < 2:
            held += await receiver.take(5, timeout=lab.patience)
        assert len(held) == 2
        assert await receiver.take(5, timeout=lab.silence) == []
        if lab.capabilities.parted:
            # What is in its part nobody else is given.
            for delivery in held:
                await delivery.settle(ACCEPT)
            assert len(await receiver.take(5, timeout=lab.patience)) <= 2
            return
        kept = Kept(lab, queue, str)
        async with lab.application(kept.function):
            await kept.gets(4)
            await held[0].settle(ACCEPT)
            await held[1].settle(ACCEPT)
            await kept.gets_just(4)


@check(6, 7)
async def a_taker_may_retry_and_reject(lab: Lab) -> None:
    queue = await filled(lab, 1)
    async with lab.sender.receiver(queue) as receiver:
        (first,) = await receiver.take(timeout=lab.patience)
        began = lab.journal.now()
        await first.settle(Retry(after=0.2))
        (second,) = await receiver.take(timeout=2 * lab.patience)
        assert lab.journal.now() - began + lab.harness.tolerance >= 0.2
        assert (first.attempt, second.attempt) == (1, 2)
        assert first.id == second.id
        await second.settle(Reject("by hand"))
    (dead,) = await lab.dead(queue)
    assert dead.headers["msgkit-dead-reason"] == "by hand"
    await asserts_left(lab, queue)


@check(3)
async def what_was_taken_is_settled_once(lab: Lab) -> None:
    queue = await filled(lab, 1)
    async with lab.sender.receiver(queue) as receiver:
        (delivery,) = await receiver.take(timeout=lab.patience)
        await delivery.settle(ACCEPT)
        with raises(AlreadySettled):
            await delivery.settle(Retry())
    await asserts_left(lab, queue)


@check(3, 12)
async def settling_after_the_receiver_was_left_is_refused(lab: Lab) -> None:
    queue = await filled(lab, 1)
    async with lab.sender.receiver(queue) as receiver:
        (delivery,) = await receiver.take(timeout=lab.patience)
    with raises((Closed, AlreadySettled, DeliveryLost)):
        async with asyncio.timeout(lab.patience):
            await delivery.settle(ACCEPT)
    with raises(Closed):
        await receiver.take()
    await asserts_left(lab, queue, "waits000")


@check(7)
async def a_taker_is_not_given_poison(lab: Lab) -> None:
    queue = lab.queue()
    await lab.declare(queue)
    await lab.sender.send(Queue(queue.name, bytes), b"\xff", content_type="text/plain")
    await lab.sender.send(queue, "wholesome")
    async with lab.sender.receiver(queue) as receiver:
        (delivery,) = await receiver.take(timeout=lab.patience)
        await delivery.settle(ACCEPT)
    assert delivery.payload == "wholesome"
    await asserts_left(lab, queue)


@check(1, 3)
async def a_blocking_template_keeps_the_same_promises(lab: Lab) -> None:
    queue, absent = lab.queue(), lab.queue("absent")
    await lab.declare(queue)

    def block() -> list[str]:
        with SyncTemplate(lab.settings()) as template:
            receipts = template.send_many(queue, numbered("blocking", 5))
            assert len({receipt.message_id for receipt in receipts}) == 5
            with raises(SendRefused):
                template.send(absent, "astray")
            with template.receive(queue, limit=2, timeout=lab.patience) as deliveries:
                return [delivery.payload for delivery in deliveries]

    taken = await asyncio.to_thread(block)
    assert taken
    await asserts_left(lab, queue, *sorted(set(numbered("blocking", 5)) - set(taken)))
