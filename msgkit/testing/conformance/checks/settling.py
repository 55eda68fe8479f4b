"""Deliveries in a handler's hands: settled once, late or never, answered, and told the truth."""

import asyncio
from collections.abc import Callable

from msgkit.errors import AlreadySettled, Closed, ConfigurationError, DeliveryLost
from msgkit.listener import listener
from msgkit.message import Delivery, Message
from msgkit.policy import Backoff
from msgkit.settlement import ACCEPT, Reject, Retry
from msgkit.testing.conformance.handlers import numbered
from msgkit.testing.conformance.keeping import Kept
from msgkit.testing.conformance.lab import Lab
from msgkit.testing.conformance.raising import raises
from msgkit.testing.conformance.registry import check

__all__: list[str] = []

SOON = Backoff(4, first=0.02, jitter=0)


class Hands:
    """Deliveries that handlers leave to whoever asks."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self.held: dict[str, Delivery[str]] = {}

    def take(self, delivery: Delivery[str]) -> None:
        self.held[delivery.payload] = delivery
        self._lab.journal.pulse()

    async def hold(self, n: int) -> None:
        await self._lab.until(lambda: len(self.held) >= n, f"{n} deliveries in hand")


@check(3)
async def a_delivery_is_settled_once(lab: Lab) -> None:
    queue = lab.queue()
    errors: list[Exception] = []

    @listener(queue)
    async def settles(delivery: Delivery[str]) -> None:
        await delivery.settle(ACCEPT)
        try:
            await delivery.settle(Retry())
        except AlreadySettled as error:
            errors.append(error)
        lab.journal.pulse()

    async with lab.application(settles):
        await lab.sender.send(queue, "once")
        await lab.until(lambda: len(errors) == 1, "the second settlement refused")
        await lab.until(lambda: lab.is_settled(queue), "the first one kept")
        await lab.quiet()
    assert len(errors) == 1


@check(3, 6, 7)
async def a_handler_may_retry_and_reject_by_hand(lab: Lab) -> None:
    queue = lab.queue()
    attempts: list[tuple[str, int]] = []

    @listener(queue, retry=SOON)
    async def settles(delivery: Delivery[str]) -> None:
        attempts.append((delivery.payload, delivery.attempt))
        if delivery.payload == "bad":
            await delivery.settle(Reject("by hand"))
        elif delivery.attempt == 1:
            await delivery.settle(Retry(after=0.1))

    async with lab.application(settles):
        await lab.sender.send_many(queue, ["bad", "again"])
        (dead,) = await lab.dead(queue)
        await lab.until(lambda: ("again", 2) in attempts, "the second attempt")
        await lab.until(lambda: lab.is_settled(queue), "all settled")
        await lab.quiet()
    assert (dead.payload, dead.headers["msgkit-dead-reason"]) == (b"bad", "by hand")
    assert sorted(attempts) == [("again", 1), ("again", 2), ("bad", 1)]


@check(3, 10)
async def what_is_kept_open_stays_unsettled_until_it_is_settled(lab: Lab) -> None:
    queue = lab.queue()
    hands = Hands(lab)

    @listener(queue, settle="later", max_in_flight=4)
    async def keeps(delivery: Delivery[str]) -> None:
        hands.take(delivery)

    async with lab.application(keeps):
        await lab.sender.send_many(queue, numbered("open", 3))
        await hands.hold(3)
        await lab.quiet()
        depth = await lab.depth(queue)
        assert depth is None or depth.agrees(ready=0, unsettled=3)
        # Out of order, and long after its handler has returned.
        for payload in ("open002", "open000", "open001"):
            await hands.held[payload].settle(ACCEPT)
        await lab.until(lambda: lab.is_settled(queue), "all settled")
        await lab.quiet()
    assert len(hands.held) == 3


@check(10)
async def what_is_kept_open_is_bounded_by_what_may_be_in_flight(lab: Lab) -> None:
    queue = lab.queue()
    hands = Hands(lab)

    @listener(queue, settle="later", max_in_flight=3)
    async def keeps(delivery: Delivery[str]) -> None:
        hands.take(delivery)

    async with lab.application(keeps):
        await lab.sender.send_many(queue, numbered("open", 6))
        await hands.hold(3)
        await lab.quiet()
        assert len(hands.held) == 3, "more was taken than may be in flight"
        for delivery in list(hands.held.values()):
            await delivery.settle(ACCEPT)
        await hands.hold(6)
        for delivery in list(hands.held.values())[3:]:
            await delivery.settle(ACCEPT)
        await lab.until(lambda: lab.is_settled(queue), "all settled")


@check(6, 12)
async def what_nobody_settled_goes_back_uncounted_at_stop(lab: Lab) -> None:
    queue = lab.queue()
    hands = Hands(lab)

    @listener(queue, settle="later")
    async def keeps(delivery: Delivery[str]) -> None:
        hands.take(delivery)

    async with lab.application(keeps, settings=lab.harness.settings(drain=0.1)):
        await lab.sender.send_many(queue, numbered("open", 2))
        await hands.hold(2)
        await hands.held["open000"].settle(ACCEPT)
    with raises((AlreadySettled, Closed, DeliveryLost)):
        async with asyncio.timeout(lab.patience):
            await hands.held["open001"].settle(ACCEPT)
    kept = Kept(lab, queue, str)
    async with lab.application(kept.function):
        (message,) = await kept.gets_just(1)
    assert (message.payload, message.attempt) == ("open001", 1)


@check(3)
async def a_settlement_that_was_awaited_has_reached_the_broker(lab: Lab) -> None:
    queue = lab.queue()
    unsettled: list[int] = []

    @listener(queue)
    async def settles(delivery: Delivery[str]) -> None:
        await delivery.settle(ACCEPT)
        depth = await lab.depth(queue)
        unsettled.append(0 if depth is None else depth.ready + (depth.unsettled or 0))
        lab.journal.pulse()

    async with lab.application(settles):
        for n in range(5):
            await lab.sender.send(queue, f"one by one {n}")
            await lab.until(_longer(unsettled, n), "the message handled")
    if lab.capabilities.settle_window == 0:
        assert unsettled == [0] * 5


@check(15)
async def a_delivery_that_nobody_asked_with_has_nobody_to_answer(lab: Lab) -> None:
    queue = lab.queue()
    errors: list[ConfigurationError] = []

    @listener(queue)
    async def answers(delivery: Delivery[str]) -> None:
        try:
            await delivery.reply("to whom?")
        except ConfigurationError as error:
            errors.append(error)
        lab.journal.pulse()

    async with lab.application(answers):
        await lab.sender.send(queue, "told, not asked")
        await lab.until(lambda: len(errors) == 1, "an error")
        await lab.until(lambda: lab.is_settled(queue), "the message accepted on return")


@check(3, 12)
async def handlers_of_a_stopped_application_settle_nothing_any_more(lab: Lab) -> None:
    queue = lab.queue()
    gate = lab.gate()
    ended: list[str] = []

    @listener(queue)
    async def stubborn(delivery: Delivery[str]) -> None:
        try:
            await gate(delivery)
        finally:
            try:
                async with asyncio.timeout(lab.patience):
                    await delivery.settle(ACCEPT)
                ended.append("settled")
            except (AlreadySettled, Closed, DeliveryLost):
                ended.append("refused")

    async with lab.application(stubborn, settings=lab.harness.settings(drain=0.1)):
        await lab.sender.send(queue, "cut off")
        await lab.reached(gate)
    await lab.until(lambda: len(ended) == 1, "the handler at its end")
    kept = Kept(lab, queue, str)
    async with lab.application(kept.function):
        await lab.sender.send(queue, "sentinel")
        await kept.gets_just(2 if ended == ["refused"] else 1)


@check(11)
async def a_message_and_its_delivery_say_the_same(lab: Lab) -> None:
    queue = lab.queue()
    seen: list[Message[str]] = []

    @listener(queue)
    async def looks(delivery: Delivery[str]) -> None:
        seen.append(delivery)
        lab.journal.pulse()

    async with lab.application(looks):
        receipt = await lab.sender.send(queue, "x", key="k", subject="s", headers={"h": b"\x00"})
        await lab.until(lambda: len(seen) == 1, "the delivery")
    (message,) = seen
    assert (message.id, message.payload) == (receipt.message_id, "x")
    assert (message.key, message.subject, message.attempt) == ("k", "s", 1)
    assert dict(message.headers) == {"h": b"\x00"}


def _longer(found: list[int], n: int) -> Callable[[], bool]:
    return lambda: len(found) > n
