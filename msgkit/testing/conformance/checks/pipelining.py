"""Many sends: in call order for each key, bounded in flight, and each with an outcome of its own."""

import asyncio
from collections.abc import Sequence

from msgkit.envelope import Receipt
from msgkit.errors import Closed, SendRefused
from msgkit.message import Message
from msgkit.template import Sender
from msgkit.testing.conformance.handlers import numbered
from msgkit.testing.conformance.harness import Fault
from msgkit.testing.conformance.keeping import Kept
from msgkit.testing.conformance.lab import Lab
from msgkit.testing.conformance.raising import raises
from msgkit.testing.conformance.registry import check
from msgkit.topology import Queue

__all__: list[str] = []

KEYS = ("a", "b", "c")
MANY = 150


def in_turn(keys: Sequence[str], n: int) -> list[Message[str]]:
    """Return so many messages, numbered, the keys in turn."""
    return [Message(f"{n:04}", key=keys[n % len(keys)]) for n in range(n)]


def asserts_order(kept: Kept[str]) -> None:
    for key in {message.key for message in kept.messages}:
        mine = [message.payload for message in kept.messages if message.key == key]
        assert mine == sorted(mine), f"key {key!r} came as {mine}"


def ordered(lab: Lab) -> Queue[str]:
    """Return a queue in whose order that of storing can be seen; one without where none is kept."""
    return lab.queue(ordered=not lab.keeps_no_order)


@check(1, 5)
async def awaited_sends_are_stored_in_call_order(lab: Lab) -> None:
    queue = ordered(lab)
    kept = Kept(lab, queue, str)
    async with lab.application(kept.function):
        for message in in_turn(KEYS, MANY):
            await lab.sender.send(queue, message)
        await kept.gets_just(MANY)
    if queue.ordered:
        asserts_order(kept)


@check(1, 5)
async def pipelined_sends_are_stored_in_call_order(lab: Lab) -> None:
    queue = ordered(lab)
    kept = Kept(lab, queue, str)
    async with lab.application(kept.function):
        async with lab.sender.pipeline() as pipeline:
            for message in in_turn(KEYS, MANY):
                _ = await pipeline.send(queue, message)
        await kept.gets_just(MANY)
    if queue.ordered:
        asserts_order(kept)


@check(1, 5)
async def a_list_is_stored_in_its_order(lab: Lab) -> None:
    queue = ordered(lab)
    kept = Kept(lab, queue, str)
    messages = in_turn(KEYS, MANY)
    async with lab.application(kept.function):
        receipts = await lab.sender.send_many(queue, messages)
        await kept.gets_just(MANY)
    assert [receipt.message_id for receipt in receipts] == [message.id for message in messages]
    if queue.ordered:
        asserts_order(kept)


@check(1, 5)
async def bodies_of_many_sizes_do_not_overtake_each_other(lab: Lab) -> None:
    """Where large bodies go another way than small ones, or are compressed aside."""
    queue = Queue(lab.name("sizes"), bytes, ordered=not lab.keeps_no_order)
    kept = Kept(lab, queue, bytes)
    sizes = [n * 37_003 % 200_000 + 1 for n in range(30)]
    async with lab.application(kept.function):
        await lab.sender.send_many(queue, [Message(b"x" * size, key="k") for size in sizes])
        await kept.gets_just(len(sizes))
    arrived = [len(body) for body in kept.payloads]
    assert sorted(arrived) == sorted(sizes)
    assert not queue.ordered or arrived == sizes


@check(1, needs=(Fault.SLOW,))
async def no_more_is_in_flight_than_a_pipeline_allows(lab: Lab) -> None:
    queue = lab.queue()
    kept = Kept(lab, queue, str)
    async with lab.application(kept.function):
        await lab.sender.send(queue, "warm")
        await lab.harness.slow(0.03)
        futures: list[asyncio.Future[Receipt]] = []
        most = 0
        async with lab.sender.pipeline(in_flight=3) as pipeline:
            for payload in numbered("flight", 12):
                futures.append(await pipeline.send(queue, payload))
                most = max(most, sum(not future.done() for future in futures))
        await lab.harness.slow(0)
        await kept.gets_just(13)
    assert most == 3, f"{most} were in flight, not 3"


@check(1)
async def a_pipeline_of_one_at_a_time_comes_to_an_end(lab: Lab) -> None:
    """Confirms must not wait for more sends: a publisher that gathers would stand still here."""
    queue = lab.queue()
    kept = Kept(lab, queue, str)
    async with lab.application(kept.function):
        async with lab.sender.pipeline(in_flight=1) as pipeline:
            for payload in numbered("single", 20):
                _ = await pipeline.send(queue, payload)
        await kept.gets_just(20)


@check(1)
async def a_pipeline_fails_as_a_group_and_delivers_the_rest(lab: Lab) -> None:
    queue, absent = lab.queue(), lab.queue("absent")
    kept = Kept(lab, queue, str)
    async with lab.application(kept.function):
        with raises(ExceptionGroup) as raised:
            async with lab.sender.pipeline() as pipeline:
                futures = [await pipeline.send(absent if n % 10 == 7 else queue, f"{n:02}") for n in range(30)]
        await kept.gets_just(27)
    failures = raised.error.exceptions
    assert all(isinstance(each, SendRefused) for each in failures), failures
    assert len(failures) == 3
    assert [n for n, future in enumerate(futures) if future.exception()] == [7, 17, 27]


@check(1, needs=(Fault.SLOW,))
async def leaving_a_pipeline_waits_for_every_confirmation(lab: Lab) -> None:
    queue = lab.queue()
    kept = Kept(lab, queue, str)
    async with lab.application(kept.function):
        await lab.sender.send(queue, "warm")
        await lab.harness.slow(0.1)
        async with lab.sender.pipeline() as pipeline:
            futures = [await pipeline.send(queue, each) for each in numbered("late", 10)]
            early = sum(future.done() for future in futures)
        assert all(future.done() for future in futures)
        await lab.harness.slow(0)
        await kept.gets_just(11)
    assert early < 10, "the broker was not slow"
    with raises(Closed):
        _ = await pipeline.send(queue, "after")


@check(1)
async def a_pipeline_that_is_left_by_an_error_has_sent_what_it_sent(lab: Lab) -> None:
    queue = lab.queue()
    kept = Kept(lab, queue, str)
    async with lab.application(kept.function):
        with raises(KeyError):
            async with lab.sender.pipeline() as pipeline:
                futures = [await pipeline.send(queue, each) for each in numbered("sent", 10)]
                raise KeyError
        assert all(future.done() for future in futures)
        await kept.gets_just(10)


@check(1, 5)
async def senders_of_one_client_do_not_disturb_each_others_order(lab: Lab) -> None:
    queue = ordered(lab)
    kept = Kept(lab, queue, str)

    async def sends(via: Sender, key: str) -> None:
        for n in range(40):
            await via.send(queue, f"{n:04}", key=key)

    async with lab.application(kept.function) as app:
        await asyncio.gather(
            *(sends(via, f"{key}{number}") for number, via in enumerate((app.template, lab.sender)) for key in KEYS)
        )
        await kept.gets_just(40 * 2 * len(KEYS))
    if queue.ordered:
        asserts_order(kept)
