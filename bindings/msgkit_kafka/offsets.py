"""How far groups have come."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from msgkit_kafka.progress import Committed, decode
from msgkit_kafka.wire.cluster import Cluster
from msgkit_kafka.wire.errors import checked
from msgkit_kafka.wire.positions import OFFSET_FETCH, AskOffsets, Commit, CommitPartition, CommitTopic
from msgkit_kafka.wire.subscriptions import Partition

__all__ = ["BEATING", "Point", "Standing", "commit_of", "offsets_of"]

#: What the connections are for over which coordinators are told and asked what nothing delays.
BEATING = "groups"
#: The generation of who is no member.
_NOBODY = -1
#: A hundred years: where a group has come to is not to be forgotten because nobody was in it for a while.
_FOR_EVER = 100 * 365 * 24 * 3600 * 1000


class Point(NamedTuple):
    """How far a partition has come: what is committed."""

    offset: int
    metadata: str


class Standing(NamedTuple):
    """What was committed: None where nothing was."""

    offset: int | None
    said: Committed


def commit_of(group: str, points: Mapping[Partition, Point], *, generation: int = _NOBODY, member: str = "") -> Commit:
    """Return what tells the coordinator how far a group has come."""
    topics: dict[str, list[CommitPartition]] = {}
    for each, (offset, metadata) in points.items():
        topics.setdefault(each.topic, []).append(CommitPartition(each.number, offset, metadata))
    return Commit(group, generation, member, _FOR_EVER, [CommitTopic(name, parts) for name, parts in topics.items()])


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
