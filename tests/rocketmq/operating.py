"""What tests of the client do again and again with a real broker."""

import asyncio
from collections.abc import Sequence

from msgkit_rocketmq.client import brokers, groups, topics
from msgkit_rocketmq.client.cluster import Cluster
from msgkit_rocketmq.client.handles import retry_topic
from msgkit_rocketmq.client.places import Place
from msgkit_rocketmq.client.popping import MOST, Popping, Source, wait
from msgkit_rocketmq.client.sending import Outgoing, Sent, send
from msgkit_rocketmq.client.settling import Share
from msgkit_rocketmq.client.taking import Taken

__all__ = ["PATIENCE", "bodies", "made", "new_place", "sent", "share", "taken"]

#: Seconds after which what should come will not.
PATIENCE = 30.0


async def new_place(cluster: Cluster, name: str, queues: int = 1) -> Place:
    """Make a topic, and return its first queue."""
    await topics.create(cluster, name, queues=queues)
    (broker,) = await brokers.masters(cluster)
    return Place(broker, name, 0)


async def made(cluster: Cluster, place: Place, group: str, *, in_order: bool = False) -> Source:
    """Make a group that begins at the beginning, and the topic of what comes back to it."""
    await groups.create(cluster, group, in_order=in_order)
    await topics.create(cluster, retry_topic(place.topic, group), queues=1)
    return Source(place.broker, place.topic, group, in_order=in_order)


def share(source: Source) -> Share:
    return Share(source.broker, source.topic, source.group)


async def sent(cluster: Cluster, place: Place, *bodies: bytes) -> Sequence[Sent]:
    return [await send(cluster, place, Outgoing(body, {})) for body in bodies]


async def taken(
    cluster: Cluster, source: Source, count: int = 1, *, lease: float = 60.0, most: int = MOST
) -> Sequence[Taken]:
    """Return as many messages as should come."""
    popping = Popping(cluster)
    found: list[Taken] = []
    async with asyncio.timeout(PATIENCE):
        while len(found) < count:
            found += await popping.pop(source, lease=lease, most=most)
            if len(found) < count:
                await wait(cluster, source, patience=1)
    return found


def bodies(found: Sequence[Taken]) -> list[bytes]:
    return [each.record.body for each in found]
