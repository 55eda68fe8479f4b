"""What the brokers keep of a queue: how far its group is behind, and where it goes on."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import datetime
from secrets import token_hex
from typing import Literal

from msgkit.envelope import Envelope
from msgkit.errors import BrokerUnavailable, TopologyMismatch
from msgkit.spi import Depth, QueueSpec
from msgkit.values import epoch
from msgkit_kafka.browsing import Stretch, browse
from msgkit_kafka.fetching import Fetcher
from msgkit_kafka.groups import Groups
from msgkit_kafka.layout import group_of, topics_of
from msgkit_kafka.membership import Membership
from msgkit_kafka.offsets import Point
from msgkit_kafka.orders import Order
from msgkit_kafka.progress import Progress
from msgkit_kafka.sources import sources_of
from msgkit_kafka.wire.cluster import Cluster
from msgkit_kafka.wire.errors import BrokerError, Code
from msgkit_kafka.wire.logs import EARLIEST, LATEST
from msgkit_kafka.wire.subscriptions import Partition

__all__ = ["Books"]

#: So many offsets that wait are looked at to tell how many messages they are.
_COUNTED = 5_000
#: The group has members, and only they may say how far it is.
_LIVES = frozenset({Code.UNKNOWN_MEMBER_ID, Code.ILLEGAL_GENERATION, Code.REBALANCE_IN_PROGRESS})
#: Seconds for the members of a group to go on elsewhere, and between two looks at whether they did.
_PATIENCE, _LOOK = 60.0, 0.1


class Books:
    """Seen by a client that need not be a member."""

    def __init__(self, cluster: Cluster, groups: Groups, fetcher: Fetcher, *, session: float) -> None:
        self._cluster = cluster
        self._groups = groups
        self._fetcher = fetcher
        self._session = session

    async def partitions(self, queue: QueueSpec) -> Sequence[Partition]:
        """Return what a queue reads.

        :raises TopologyMismatch: when it is not there
        """
        topics = topics_of(queue)
        await self._cluster.refresh(topics)
        missing = [topic for topic in topics if topic not in self._cluster.topics]
        if missing:
            raise TopologyMismatch(f"queue {queue.name!r} reads topic {missing[0]!r}, which does not exist")
        return [Partition(name, number) for name in topics for number in range(self._cluster.topics[name].size)]

    async def depth(self, queue: QueueSpec) -> Depth:
        """Return how much a group has not done; of what it has much to do, how many records there are at most."""
        stretches = await self.waiting(queue)
        ready = _records(stretches)
        if ready <= _COUNTED:
            # Not every offset is a message: transactions leave marks, and what is for others counts, too.
            ready = 0
            async for _ in self.browse(queue, stretches):
                ready += 1
        return Depth(ready=ready, unsettled=None, delayed=None, told_together=True)

    def browse(self, queue: QueueSpec, stretches: Mapping[Partition, Stretch]) -> AsyncGenerator[Envelope]:
        """Yield what waits and what is in hand, oldest first."""
        return browse(self._fetcher, stretches, sources_of(queue))

    async def waiting(self, queue: QueueSpec) -> Mapping[Partition, Stretch]:
        """Return what a group has not done yet of what it reads."""
        partitions = await self.partitions(queue)
        standings = await self._groups.standings(group_of(queue), partitions)
        ends = await self._groups.ends(partitions, LATEST)
        begins = await self._groups.ends(partitions, EARLIEST)
        found: dict[Partition, Stretch] = {}
        for each in partitions:
            offset, said = standings[each]
            progress = Progress(begins[each]) if offset is None else Progress(offset, said.done)
            found[each] = max(begins[each], progress.watermark), ends[each], progress
        return found

    # -- going on elsewhere

    async def purge(self, queue: QueueSpec) -> int:
        """Have a group go on at the end; what is in hand stays there. Return how many records it does not read."""
        stretches = await self.waiting(queue)
        await self._go_on(queue, {each: end for each, (_, end, _) in stretches.items()}, forward=True)
        return _records(stretches)

    async def seek(self, queue: QueueSpec, to: Literal["earliest", "latest"] | datetime) -> int:
        """Have a group go on there; return how many records it has before it."""
        times = {"earliest": EARLIEST, "latest": LATEST}
        time = round(epoch(to, "seek(to=)") * 1000) if isinstance(to, datetime) else times[to]
        partitions = await self.partitions(queue)
        points, ends = await self._groups.ends(partitions, time), await self._groups.ends(partitions, LATEST)
        await self._go_on(queue, points, forward=to == "latest")
        return sum(ends[each] - points[each] for each in partitions)

    async def _go_on(self, queue: QueueSpec, points: Mapping[Partition, int], *, forward: bool) -> None:
        group = group_of(queue)
        if not (await self._groups.state(group)).members:
            begun = {each: Point(offset, Progress(offset).metadata()) for each, offset in points.items()}
            try:
                await self._groups.move(group, begun)
            except BrokerError as error:
                if error.code not in _LIVES:
                    raise
            else:
                return
        await self._ordered(group, Order(token_hex(4), points, forward))

    async def _ordered(self, group: str, order: Order) -> None:
        teller = Membership(self._cluster, group, (), _Nobody(), session=self._session, order=order)
        try:
            async with asyncio.timeout(_PATIENCE):
                await teller.open()
                while not await self._is_followed(group, order):  # noqa: ASYNC110 -- other processes follow it
                    await asyncio.sleep(_LOOK)
        except TimeoutError:
            msg = (
                f"the members of group {group!r} did not go on elsewhere within {_PATIENCE:g} s: a handler may take "
                "longer, or one of them may not be of msgkit; stop them, and try again"
            )
            raise BrokerUnavailable(msg) from None
        finally:
            await teller.close()

    async def _is_followed(self, group: str, order: Order) -> bool:
        standings = await self._groups.standings(group, list(order.points))
        return all(standing.said.order == order.name for standing in standings.values())


def _records(stretches: Mapping[Partition, Stretch]) -> int:
    return sum(max(0, end - begin - progress.done_above) for begin, end, progress in stretches.values())


class _Nobody:
    """Holds nothing: who only tells others wants no partitions."""

    async def take(self, partitions: Sequence[Partition], /) -> None: ...
    async def give_up(self, partition: Partition, /) -> None: ...
    def lose(self, partitions: Sequence[Partition], why: str, /) -> None: ...
    def go_on(self, order: Order, /) -> None: ...
    def alarm(self, why: str | None, /) -> None: ...
