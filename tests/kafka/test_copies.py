"""Copies that take the place of their originals, and those who wait for it."""

import asyncio
import gc
from collections.abc import Awaitable, Callable

import pytest

from msgkit.clock import SystemClock
from msgkit.envelope import Kind
from msgkit.errors import DeliveryLost
from msgkit.spi import RawDelivery
from msgkit_kafka.copies import Copies
from msgkit_kafka.mapping import Source, understood
from msgkit_kafka.part import Handle, Part
from msgkit_kafka.producing import Producer
from msgkit_kafka.progress import Progress
from msgkit_kafka.publisher import Publisher
from msgkit_kafka.wire import records
from msgkit_kafka.wire.producers import END_TRANSACTION, Answered, End
from tests.kafka.test_doubt import ORIGINALS, Member, member
from tests.kafka.wire_broker import is_end


def copies_of(mover: Member, end: Callable[[Handle], bool], delays: Callable[[], Awaitable[None]]) -> Copies:
    return Copies(Publisher("test", SystemClock(), Producer(mover.cluster), str, delays), mover.moves, end)


def delivered() -> RawDelivery:
    part = Part(ORIGINALS, Source(Kind.QUEUE, "copies", "originals", 0), None, Progress(0), position=0)
    data = records.encode([(None, b"x", (), 0)], producer=-1, epoch=-1, sequence=-1)
    (record,) = records.decode(data, position=0, committed_only=True).records
    return RawDelivery(understood(record, part.source), 1, 0, None, part, Handle(part, record))


def send(copies: Copies, raw: RawDelivery, *, delay: float | None = None) -> "asyncio.Future[None]":
    assert isinstance(raw.handle, Handle)
    return copies.send(raw, raw.handle, raw.envelope._replace(delay=delay), {})


async def no_delays() -> None: ...


async def test_a_mistake_when_an_original_ends_leaves_nobody_waiting() -> None:
    def end(_: Handle) -> bool:
        raise ZeroDivisionError("a mistake of ours")

    async with member() as (broker, mover):
        broker.says(END_TRANSACTION, lambda _: Answered(0, 0))
        copies, raw = copies_of(mover, end, no_delays), delivered()
        settled = send(copies, raw)
        assert isinstance(raw.scope, Part)
        await copies.left(raw.scope)
        with pytest.raises(ZeroDivisionError):
            await settled


async def test_whoever_does_not_wait_for_the_end_of_copies_leaves_nothing_at_work_when_the_connections_close() -> None:
    may_go_on = asyncio.Event()

    async def wait() -> None:
        await may_go_on.wait()

    async def late(_: End) -> Answered:
        await wait()
        return Answered(0, 0)

    async with member() as (broker, mover):
        broker.says(END_TRANSACTION, late)
        copies = copies_of(mover, lambda _: True, wait)
        settled = [send(copies, delivered(), delay=delay) for delay in (None, 1.0)]
        await broker.heard(is_end)
        finishing = asyncio.create_task(copies.finish(20))
        await asyncio.sleep(0)
        finishing.cancel()
        await mover.cluster.close()
        async with asyncio.timeout(5):
            for each in settled:
                with pytest.raises(DeliveryLost):
                    await each
        may_go_on.set()


async def test_a_copy_that_fails_when_nobody_waits_for_it_is_no_complaint_of_the_loop() -> None:
    complaints: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(str(context)))
    async with member() as (broker, mover):
        broker.says(END_TRANSACTION, lambda _: Answered(0, 0))
        copies, raw = copies_of(mover, lambda _: False, no_delays), delivered()
        send(copies, raw).cancel()
        assert isinstance(raw.scope, Part)
        await copies.left(raw.scope)
        gc.collect()
    assert complaints == []
