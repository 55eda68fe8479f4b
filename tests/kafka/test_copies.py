"""Copies that take the place of their originals, and those who wait for it."""

import pytest

from msgkit.clock import SystemClock
from msgkit.envelope import Kind
from msgkit.spi import RawDelivery
from msgkit_kafka.copies import Copies
from msgkit_kafka.mapping import Source, understood
from msgkit_kafka.part import Handle, Part
from msgkit_kafka.producing import Producer
from msgkit_kafka.progress import Progress
from msgkit_kafka.publisher import Publisher
from msgkit_kafka.wire import records
from msgkit_kafka.wire.producers import END_TRANSACTION, Answered
from tests.kafka.test_doubt import member


async def test_a_mistake_when_an_original_ends_leaves_nobody_waiting() -> None:
    def end(_: Handle) -> bool:
        raise ZeroDivisionError("a mistake of ours")

    async def no_delays() -> None: ...

    async with member() as (broker, mover):
        broker.says(END_TRANSACTION, lambda _: Answered(0, 0))
        publisher = Publisher("test", SystemClock(), Producer(mover.cluster), str, no_delays)
        copies = Copies(publisher, mover.moves, end)
        part = Part(mover.partition, Source(Kind.QUEUE, "copies", "originals", 0), None, Progress(0), position=0)
        data = records.encode([(None, b"x", (), 0)], producer=-1, epoch=-1, sequence=-1)
        (record,) = records.decode(data, position=0, committed_only=True).records
        envelope = understood(record, part.source)
        raw = RawDelivery(envelope, 1, 0, None, part, Handle(part, record))
        settled = copies.send(raw, Handle(part, record), envelope, {})
        await copies.left(part)
        with pytest.raises(ZeroDivisionError):
            await settled
