"""What the brokers keep of a queue: how far its group is behind, and where it goes on."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Literal

from msgkit.envelope import Envelope
from msgkit.errors import UnsupportedCapability
from msgkit.spi import Depth, QueueSpec
from msgkit.values import epoch
from msgkit_rocketmq.browsing import Stretch, browse, first_since
from msgkit_rocketmq.client import brokers, offsets
from msgkit_rocketmq.client.cluster import Cluster
from msgkit_rocketmq.client.errors import Unanswered
from msgkit_rocketmq.client.handles import retry_topic
from msgkit_rocketmq.client.places import Broker, Place
from msgkit_rocketmq.client.progress import move, progress
from msgkit_rocketmq.layout import Layout
from msgkit_rocketmq.sources import Feed, feeds_of

__all__ = ["Books"]

#: So many messages that wait are looked at to tell how many of them are for the queue.
_COUNTED = 5_000
#: Seconds for a broker to put into queues what it has confirmed: one that is always behind is not waited for.
_CATCHES_UP = 2.0


class Books:
    """Seen by a client that need not consume."""

    def __init__(self, cluster: Cluster, layout: Layout) -> None:
        self._cluster = cluster
        self._layout = layout

    async def depth(self, queue: QueueSpec) -> Depth:
        """Return how much is left to be lent to a group; of much, how many messages there are at most."""
        ready = await self._counted(await self.waiting(queue))
        # Where order is kept, a group has come past what it was lent only when that is done.
        return Depth(ready=ready, unsettled=None, delayed=None, told_together=bool(queue.ordered))

    def browse(self, stretches: Mapping[Place, Stretch]) -> AsyncGenerator[Envelope]:
        """Yield what waits, oldest first."""
        return browse(self._cluster, stretches, self._layout.reader)

    async def waiting(self, queue: QueueSpec) -> Mapping[Place, Stretch]:
        """Return what a group has not been lent yet.

        :raises Refused: when a topic is not there
        """
        feeds = feeds_of(queue, self._layout).values()
        masters = await asyncio.gather(*map(self._masters, feeds))
        await self._caught_up({broker for each in masters for broker in each})
        group = self._layout.group_of(queue)
        asked = [(feed, broker) for feed, there in zip(feeds, masters, strict=True) for broker in there]
        found = await asyncio.gather(*(self._waiting_at(broker, feed, group) for feed, broker in asked))
        return {place: stretch for each in found for place, stretch in each.items()}

    async def _masters(self, feed: Feed) -> list[Broker]:
        route = await self._cluster.route(feed.topic, fresh=True)
        return sorted({place.broker for place in route.to_read})

    async def _caught_up(self, there: Iterable[Broker]) -> None:
        with suppress(Unanswered):
            await asyncio.gather(*(brokers.caught_up(self._cluster, broker, within=_CATCHES_UP) for broker in there))

    async def _waiting_at(self, broker: Broker, feed: Feed, group: str) -> Mapping[Place, Stretch]:
        # Of what comes back there may be topics with either name, or none.
        returns = [retry_topic(feed.topic, group, newer=newer) for newer in (False, True)]
        told = await asyncio.gather(
            *(progress(self._cluster, broker, group, topic) for topic in (feed.topic, *returns))
        )
        return {each.place: Stretch(each.lent, each.end, feed) for queues in told for each in queues}

    async def _counted(self, stretches: Mapping[Place, Stretch]) -> int:
        at_most = sum(max(0, stretch.end - stretch.begin) for stretch in stretches.values())
        if at_most > _COUNTED or all(stretch.feed.filter is None for stretch in stretches.values()):
            return at_most
        count = 0
        async for _ in self.browse(stretches):
            count += 1
        return count

    # -- going on elsewhere

    async def purge(self, queue: QueueSpec) -> int:
        """Have a group go on at the end; what is in hand stays there. Return how many messages it is not lent."""
        stretches = await self.waiting(queue)
        count = await self._counted(stretches)
        await self._go_on(queue, {place: stretch.end for place, stretch in stretches.items()})
        return count

    async def seek(self, queue: QueueSpec, to: Literal["earliest", "latest"] | datetime) -> int:
        """Have a group go on there; return how many messages it has before it."""
        stretches = await self.waiting(queue)
        points = {place: stretch.end for place, stretch in stretches.items()}
        if to != "latest":
            # What came back is in its own topic as well, and handed out again from there.
            own = [place for place, stretch in stretches.items() if place.topic == stretch.feed.topic]
            points.update(zip(own, await asyncio.gather(*(self._begin(place, to) for place in own)), strict=True))
        await self._go_on(queue, points)
        return sum(stretches[place].end - point for place, point in points.items())

    async def _begin(self, place: Place, to: str | datetime) -> int:
        if not isinstance(to, datetime):
            return await offsets.begin(self._cluster, place)
        time = epoch(to, "seek(to=)")
        # Brokers may tell of the last message when all are older.
        found = await offsets.at_time(self._cluster, place, time)
        return await first_since(self._cluster, place, found, time, self._layout.reader)

    async def _go_on(self, queue: QueueSpec, points: Mapping[Place, int]) -> None:
        group = self._layout.group_of(queue)
        await self._check_moves({place.broker for place in points})
        await asyncio.gather(*(move(self._cluster, place, group, offset) for place, offset in points.items()))

    async def _check_moves(self, there: Iterable[Broker]) -> None:
        for broker in there:
            if not (await brokers.settings(self._cluster, broker)).moves_groups:
                msg = f"{broker.name} moves no groups that are taking messages: set useServerSideResetOffset=true there"
                raise UnsupportedCapability(msg)
