"""Looking at what a group has not been lent: its topics are read beside it, and nothing is taken."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import NamedTuple

from msgkit.envelope import Envelope
from msgkit.spi.merging import oldest_first
from msgkit_rocketmq.client import groups
from msgkit_rocketmq.client.cluster import Cluster
from msgkit_rocketmq.client.codes import Response
from msgkit_rocketmq.client.errors import Refused
from msgkit_rocketmq.client.places import Place
from msgkit_rocketmq.client.pulling import Pulled, pull
from msgkit_rocketmq.client.records import Record
from msgkit_rocketmq.mapping import understood
from msgkit_rocketmq.sources import Feed

__all__ = ["Stretch", "browse", "first_since"]


class Stretch(NamedTuple):
    """What of a place is looked at: from where on and up to where, and what it feeds."""

    begin: int
    end: int
    feed: Feed


async def browse(cluster: Cluster, stretches: Mapping[Place, Stretch], reader: str) -> AsyncGenerator[Envelope]:
    """Yield what is there of a queue, oldest first.

    :param reader: the group on whose behalf it is read; it takes nothing
    :raises ClientError: when a place cannot be read
    """
    rows = [_envelopes(cluster, place, stretch, reader) for place, stretch in sorted(stretches.items())]
    async with aclosing(oldest_first(rows)) as found:
        async for envelope in found:
            yield envelope


async def _envelopes(
    cluster: Cluster, place: Place, stretch: Stretch, reader: str
) -> AsyncIterator[tuple[int, Envelope]]:
    async for record in _records(cluster, place, stretch, reader):
        if record.trouble is None:
            envelope = understood(record, stretch.feed.addressee, record.returned)
            if stretch.feed.takes(envelope):
                yield record.stored, envelope


async def _records(cluster: Cluster, place: Place, stretch: Stretch, reader: str) -> AsyncIterator[Record]:
    offset = stretch.begin
    while offset < stretch.end:
        found = await _pulled(cluster, place, offset, reader)
        for record in found.records:
            if record.offset >= stretch.end:
                return
            yield record
        if found.next <= offset:
            return
        offset = found.next


async def first_since(cluster: Cluster, place: Place, offset: int, time: float, reader: str) -> int:
    """Return where the first message is, at an offset or behind it, that was not stored before a time."""
    while True:
        found = await _pulled(cluster, place, offset, reader)
        for record in found.records:
            if record.stored >= int(time * 1000):
                return record.offset
        if found.next <= offset or not found.records:
            return found.next
        offset = found.next


async def _pulled(cluster: Cluster, place: Place, offset: int, reader: str) -> Pulled:
    try:
        return await pull(cluster, place, offset, group=reader)
    except Refused as error:
        if error.code != Response.SUBSCRIPTION_GROUP_NOT_EXIST:
            raise
    # Where brokers make no groups by themselves.
    await groups.create(cluster, reader)
    return await pull(cluster, place, offset, group=reader)
