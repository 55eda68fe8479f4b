"""Groups and partitions, seen from outside: how far they have come, where they end, and to move them."""

import asyncio
from collections.abc import Mapping, Sequence

from msgkit.spi.pauses import pause
from msgkit_kafka.offsets import BEATING, Point, Standing, commit_of, offsets_of
from msgkit_kafka.wire.cluster import Cluster
from msgkit_kafka.wire.errors import BrokerError, Code, ConnectionLost, NotWritten, checked
from msgkit_kafka.wire.groups import DESCRIBE_GROUPS, GROUP, DescribeGroups, GroupState
from msgkit_kafka.wire.logs import LIST_OFFSETS, ListOffsets, Seek, SeekTopic
from msgkit_kafka.wire.positions import OFFSET_COMMIT
from msgkit_kafka.wire.subscriptions import Partition

__all__ = ["Groups", "state_of"]

_ANY_EPOCH = -1
_COMMITTED = 1
#: So often something that passes is asked again.
_TRIES = 12


class Groups:
    """Questions that are asked again while the answer is that somebody else is to be asked, or later."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def standings(self, group: str, partitions: Sequence[Partition]) -> Mapping[Partition, Standing]:
        """Return how far a group has come."""
        for failures in range(1, _TRIES):
            try:
                return await offsets_of(self._cluster, await self._coordinator(group), group, partitions)
            except (BrokerError, ConnectionLost) as error:
                await _again(error, failures)
        return await offsets_of(self._cluster, await self._coordinator(group), group, partitions)

    async def state(self, group: str) -> GroupState:
        """Return who is in a group."""
        for failures in range(1, _TRIES):
            try:
                return await state_of(self._cluster, await self._coordinator(group), group)
            except (BrokerError, ConnectionLost) as error:
                await _again(error, failures)
        return await state_of(self._cluster, await self._coordinator(group), group)

    async def move(self, group: str, points: Mapping[Partition, Point]) -> None:
        """Have a group without members go on from there.

        :raises BrokerError: when it has members
        """
        commit = commit_of(group, points)
        for failures in range(1, _TRIES + 1):
            try:
                answer = await self._cluster.ask(await self._coordinator(group), OFFSET_COMMIT, commit)
                for topic in answer.topics:
                    for result in topic.partitions:
                        checked(result.error, f"{topic.name}/{result.number}")
            except (BrokerError, ConnectionLost) as error:
                if failures == _TRIES:
                    raise
                await _again(error, failures)
            else:
                return

    async def _coordinator(self, group: str) -> int:
        return await self._cluster.coordinator(group, GROUP)

    async def ends(self, partitions: Sequence[Partition], time: int) -> dict[Partition, int]:
        """Return offsets: by `LATEST`, `EARLIEST`, or the first that is not older than so many milliseconds since 1970.

        Where nothing is so young, it is the end.
        """
        found: dict[Partition, int] = {}
        left = set(partitions)
        for failures in range(1, _TRIES + 1):
            try:
                await self._ask_ends(sorted(left), time, found)
            except (BrokerError, ConnectionLost) as error:
                if failures == _TRIES:
                    raise
                await _again(error, failures)
            left -= found.keys()
            if not left:
                break
            await self._cluster.refresh(sorted({each.topic for each in left}))
        return found

    async def _ask_ends(self, partitions: Sequence[Partition], time: int, found: dict[Partition, int]) -> None:
        by_leader: dict[int, dict[str, list[Seek]]] = {}
        for each in partitions:
            leader = self._leader(each)
            by_leader.setdefault(leader, {}).setdefault(each.topic, []).append(Seek(each.number, _ANY_EPOCH, time))
        for leader, topics in by_leader.items():
            if leader < 0:
                raise NotWritten(f"nobody leads {', '.join(topics)} at the moment")
            question = ListOffsets(-1, _COMMITTED, [SeekTopic(name, seeks) for name, seeks in topics.items()])
            answer = await self._cluster.ask(leader, LIST_OFFSETS, question)
            for topic in answer.topics:
                for sought in topic.partitions:
                    checked(sought.error, f"{topic.name}/{sought.number}")
                    if sought.offset >= 0:
                        found[Partition(topic.name, sought.number)] = sought.offset
        missing = [each for each in partitions if each not in found]
        if missing and time >= 0:
            found.update(await self.ends(missing, -1))

    def _leader(self, partition: Partition) -> int:
        topic = self._cluster.topics.get(partition.topic)
        return -1 if topic is None or partition.number >= topic.size else topic.leaders[partition.number]


async def state_of(cluster: Cluster, coordinator: int, group: str) -> GroupState:
    """Return who is in a group.

    :raises BrokerError: when that is not known at the moment
    """
    found = await cluster.ask(coordinator, DESCRIBE_GROUPS, DescribeGroups([group]), purpose=BEATING)
    (state,) = found.groups
    if state.error != Code.GROUP_ID_NOT_FOUND:
        checked(state.error)
    return state


async def _again(error: BrokerError | ConnectionLost, failures: int) -> None:
    # Of what was made just now its leader, or the coordinator of a group, may hear later than whoever told of it.
    if isinstance(error, BrokerError) and not error.passes and error.code != Code.UNKNOWN_TOPIC_OR_PARTITION:
        raise error
    await asyncio.sleep(pause(min(failures, 4)))
