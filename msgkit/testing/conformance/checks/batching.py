"""Batches: full or in time, and each message of one ends for itself."""

from collections.abc import Sequence

from msgkit.listener import Batch, listener
from msgkit.message import Message
from msgkit.policy import Backoff
from msgkit.settlement import ACCEPT, Reject, Retry, Settlement
from msgkit.testing.conformance.handlers import Boom, numbered
from msgkit.testing.conformance.lab import Lab
from msgkit.testing.conformance.registry import check
from msgkit.topology import Queue

__all__: list[str] = []

SOON = Backoff(4, first=0.02, jitter=0)


async def accept(_: Sequence[Message[str]]) -> None:
    """Accept all of it."""


@check(10)
async def a_full_batch_is_handled_at_once(lab: Lab) -> None:
    """Credit for just one batch is enough for one: what a binding keeps back never fills it."""
    queue = lab.queue()
    sizes: list[int] = []

    async def counts(messages: Sequence[Message[str]]) -> None:
        sizes.append(len(messages))

    handler = lab.handler(queue, batched=True)
    handler.does_batches(Batch(10, within=20 * lab.patience), counts, max_in_flight=10)
    async with lab.application(handler):
        await lab.send_all(queue, numbered("full", 30))
        await lab.accepts(handler, 30)
    assert sizes == [10, 10, 10]


@check(10)
async def a_batch_that_does_not_fill_is_handled_in_time(lab: Lab) -> None:
    queue = lab.queue()
    handler = lab.handler(queue, batched=True).does_batches(Batch(100, within=0.2), accept)
    async with lab.application(handler):
        began = lab.journal.now()
        await lab.send_all(queue, numbered("few", 3))
        await lab.accepts(handler, 3)
    first = min(seen.began for seen in handler.seen)
    assert 0.2 <= first - began + lab.harness.tolerance < 0.2 + lab.patience


@check(3, 6, 7)
async def each_message_of_a_batch_ends_for_itself(lab: Lab) -> None:
    queue = lab.queue()

    async def mixes(messages: Sequence[Message[str]]) -> list[Settlement]:
        return [ends(message) for message in messages]

    def ends(message: Message[str]) -> Settlement:
        if message.payload.startswith("reject"):
            return Reject("one of many")
        if message.payload.startswith("retry") and message.attempt == 1:
            return Retry()
        return ACCEPT

    handler = lab.handler(queue, retry=SOON, batched=True)
    handler.does_batches(Batch(9, within=0.2), mixes)
    async with lab.application(handler):
        for number in range(3):
            for kind in ("accept", "retry", "reject"):
                await lab.send(queue, f"{kind}{number}")
        await lab.accepts(handler, 6)
        dead = await lab.dead(queue, 3)
        await lab.quiet(handler)
    assert {letter.payload[:6] for letter in dead} == {b"reject"}
    assert all(letter.headers["msgkit-dead-reason"] == "one of many" for letter in dead)


@check(3, 6)
async def one_failure_in_a_batch_repeats_no_other_message(lab: Lab) -> None:
    queue = lab.queue()

    async def third_fails(messages: Sequence[Message[str]]) -> list[Settlement]:
        return [Retry() if (message.payload, message.attempt) == ("five002", 1) else ACCEPT for message in messages]

    handler = lab.handler(queue, retry=SOON, batched=True)
    handler.does_batches(Batch(5, within=0.2), third_fails)
    async with lab.application(handler):
        await lab.send_all(queue, numbered("five", 5))
        await lab.accepts(handler, 5)
        await lab.quiet(handler)
    assert sorted(handler.payloads) == sorted([*numbered("five", 5), "five002"])


@check(6, 7)
async def a_batch_that_raises_is_tried_again_whole_and_then_given_up(lab: Lab) -> None:
    queue = lab.queue()

    async def fails(_: Sequence[Message[str]]) -> None:
        raise Boom

    handler = lab.handler(queue, retry=Backoff(2, first=0.02), batched=True)
    handler.does_batches(Batch(4, within=0.1), fails)
    async with lab.application(handler):
        await lab.send_all(queue, numbered("all", 4))
        dead = await lab.dead(queue, 4)
        await lab.quiet(handler)
    assert sorted(letter.payload.decode() for letter in dead) == numbered("all", 4)
    for payload in numbered("all", 4):
        assert handler.attempts(payload) == [1, 2]


@check(7)
async def poison_in_a_batch_is_a_dead_letter_alone(lab: Lab) -> None:
    queue = lab.queue()
    handler = lab.handler(queue, batched=True).does_batches(Batch(5, within=0.2), accept)
    async with lab.application(handler):
        await lab.send_all(queue, ["a", "b"])
        await lab.send_poison(queue, b"\xff", content_type="text/plain")
        await lab.send_all(queue, ["c", "d"])
        await lab.accepts(handler, 4)
        (dead,) = await lab.dead(queue)
        await lab.quiet(handler)
    assert dead.payload == b"\xff"
    assert sorted(handler.payloads) == ["a", "b", "c", "d"]


@check(9)
async def what_expired_is_in_no_batch(lab: Lab) -> None:
    queue = lab.queue()
    await lab.declare(queue)
    await lab.send_all(queue, numbered("old", 3), ttl=0.05)
    await lab.send_all(queue, numbered("fresh", 3))
    await lab.quiet(seconds=0.1)
    handler = lab.handler(queue, batched=True).does_batches(Batch(6, within=0.1), accept)
    async with lab.application(handler):
        await lab.accepts(handler, 3)
        await lab.quiet(handler)
    assert sorted(handler.payloads) == numbered("fresh", 3)


@check(10)
async def batches_of_payloads_may_be_handled_in_a_thread(lab: Lab) -> None:
    queue: Queue[str] = lab.queue()
    batches: list[list[str]] = []

    @listener(queue, batch=Batch(5, within=0.1))
    def stores(rows: list[str]) -> None:
        batches.append(rows)
        lab.journal.pulse()

    async with lab.application(stores):
        await lab.sender.send_many(queue, numbered("row", 10))
        await lab.until(lambda: sum(map(len, batches)) >= 10, "all rows stored")
        await lab.until(lambda: lab.is_settled(queue), "all settled")
    assert sorted(row for batch in batches for row in batch) == numbered("row", 10)


@check(12)
async def a_batch_that_is_still_gathered_goes_back_at_stop(lab: Lab) -> None:
    queue = lab.queue()
    handler = lab.handler(queue, "gathers", batched=True)
    handler.does_batches(Batch(10, within=20 * lab.patience), accept)
    async with lab.application(handler):
        await lab.send_all(queue, numbered("early", 4))
        await lab.quiet()
    heir = lab.handler(queue, "heir", batched=True).does_batches(Batch(10, within=0.05), accept)
    async with lab.application(heir):
        await lab.accepts(heir, 4)
    assert handler.payloads == []
    assert all(seen.attempt == 1 for seen in heir.seen)
