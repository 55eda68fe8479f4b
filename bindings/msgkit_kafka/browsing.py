"""Looking at what a group has not done: its records are read beside it, and nothing is committed."""

import asyncio
from asyncio import Future
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from msgkit.envelope import Envelope
from msgkit.spi.filtering import Filter
from msgkit.spi.merging import oldest_first
from msgkit_kafka.fetching import Fetcher, Wish
from msgkit_kafka.mapping import Source, understood
from msgkit_kafka.progress import Progress
from msgkit_kafka.wire.errors import WireError
from msgkit_kafka.wire.logs import FetchedPartition
from msgkit_kafka.wire.records import Decoded, Record
from msgkit_kafka.wire.subscriptions import Partition

__all__ = ["Stretch", "browse"]

#: What of a partition is looked at: from where on and up to where, and what of it is done.
Stretch = tuple[int, int, Progress]


async def browse(
    fetcher: Fetcher, stretches: Mapping[Partition, Stretch], topics: Mapping[str, tuple[Source, Filter | None]]
) -> AsyncGenerator[Envelope]:
    """Yield what is not done, oldest first.

    :raises WireError: when a partition cannot be read
    """
    async for envelope in oldest_first(
        [_open(fetcher, each, stretch, *topics[each.topic]) for each, stretch in sorted(stretches.items())]
    ):
        yield envelope


async def _open(
    fetcher: Fetcher, partition: Partition, stretch: Stretch, source: Source, taken: Filter | None
) -> AsyncGenerator[tuple[int, Envelope]]:
    begin, end, progress = stretch
    source = source._replace(partition=partition.number)
    async with aclosing(_records(fetcher, partition, begin, end)) as records:
        async for record in records:
            if not progress.is_done(record.offset):
                envelope = understood(record, source)
                if taken is None or taken.takes(envelope):
                    yield record.timestamp, envelope


async def _records(fetcher: Fetcher, partition: Partition, begin: int, end: int) -> AsyncGenerator[Record]:
    while begin < end:
        found = await _fetched(fetcher, partition, begin)
        for record in found.records:
            if record.offset >= end:
                return
            yield record
        begin = found.next_offset


async def _fetched(fetcher: Fetcher, partition: Partition, position: int) -> Decoded:
    came: Future[Decoded] = asyncio.get_running_loop().create_future()

    def heard(found: Decoded, _: FetchedPartition) -> None:
        if not came.done():
            came.set_result(found)

    def failed(error: WireError) -> None:
        if not came.done():
            came.set_exception(error)

    wish = Wish(partition, position, heard, failed)
    fetcher.fetch(wish)
    try:
        return await came
    finally:
        fetcher.cancel(wish)
