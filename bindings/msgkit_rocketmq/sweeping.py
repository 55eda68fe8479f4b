"""Taking away the groups of anonymous queues whose processes died: brokers keep groups for ever."""

import asyncio
from collections.abc import Collection

from msgkit_rocketmq.client import groups, topics
from msgkit_rocketmq.client.brokers import masters
from msgkit_rocketmq.client.cluster import Cluster
from msgkit_rocketmq.client.handles import retry_topic
from msgkit_rocketmq.client.progress import progress

__all__ = ["remove", "sweep"]

#: So often nobody is to be found in a group until it is taken for left, and seconds between two looks: who is away for
#: a minute keeps his queue.
_LOOKS, _PAUSE = 3, 35.0
_ANY = ""


async def sweep(cluster: Cluster, prefix: str, *, every: float = _PAUSE) -> Collection[str]:
    """Take away the groups whose names begin so and in which nobody was for a while; return which those were.

    :raises ClientError: when a broker cannot be asked
    """
    left = await _empty(cluster, prefix)
    for _ in range(1, _LOOKS):
        if left:
            await asyncio.sleep(every)
            left &= await _empty(cluster, prefix)
    for group in left:
        read: set[str] = set()
        for broker in await masters(cluster):
            read |= {each.place.topic for each in await progress(cluster, broker, group, _ANY)}
        await remove(cluster, group, read)
    return left


async def _empty(cluster: Cluster, prefix: str) -> set[str]:
    known = {name for table in (await groups.describe(cluster)).values() for name in table if name.startswith(prefix)}
    return {name for name in known if not await groups.members(cluster, name)}


async def remove(cluster: Cluster, group: str, read: Collection[str]) -> None:
    """Take away a group, and what came back to it of the topics that it has read."""
    await groups.delete(cluster, group)
    for topic in read:
        await topics.delete(cluster, retry_topic(topic, group))
