"""How far groups have come."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from msgkit_kafka.progress import Committed, decode
from msgkit_kafka.wire.cluster import Cluster
from msgkit_kafka.wire.errors import checked
from msgkit_kafka.wire.positions import OFFSET_FETCH, AskOffsets
from msgkit_kafka.wire.subscriptions import Partition

__all__ = ["BEATING", "Point", "Standing", "offsets_of"]

#: What the connections are for over which coordinators are told and asked what nothing delays.
BEATING = "groups"


class Point(NamedTuple):
    """How far a partition has come: what is committed."""

    offset: int
    metadata: str


class Standing(NamedTuple):
    """What was committed: None where nothing was."""

    offset: int | None
    said: Committed


async def offsets_of(
    cluster: Cluster, coordinator: int, group: str, partitions: Iterable[Partition]
) -> Mapping[Partition, Standing]:
    """Return what a group has committed.

    :raises BrokerError: when that is not known at the moment
    """
    topics: dict[str, list[int]] = {}
    for each in partitions:
        topics.setdefault(each.topic, []).append(each.number)
    found = await cluster.ask(coordinator, OFFSET_FETCH, AskOffsets(group, list(topics.items())), purpose=BEATING)
    checked(found.error)
    standings: dict[Partition, Standing] = {}
    for topic in found.topics:
        for part in topic.partitions:
            checked(part.error)
            offset = part.offset if part.offset >= 0 else None
            standings[Partition(topic.name, part.number)] = Standing(offset, decode(part.metadata))
    return standings
