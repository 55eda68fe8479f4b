"""Deleting what was moved on: nobody reads it again, and the brokers would keep it for ever."""

import asyncio
import logging
from asyncio import Task

from msgkit_kafka.wire.cluster import Cluster
from msgkit_kafka.wire.errors import WireError, checked
from msgkit_kafka.wire.subscriptions import Partition
from msgkit_kafka.wire.topics import DELETE_RECORDS, Cut, CutPartition, CutTopic

__all__ = ["Trimmer"]

_log = logging.getLogger("msgkit.kafka")
#: So many records of a partition are worth a question.
_WORTH = 1000
#: Milliseconds for the brokers to do it.
_PATIENCE = 5_000


class Trimmer:
    """Tries once, for so many at a time; what is not deleted now is with the next ones."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._cuts: dict[Partition, int] = {}
        self._work: set[Task[None]] = set()

    def done(self, partition: Partition, before: int) -> None:
        """Hear that nothing before an offset is needed any more."""
        # A log that is shorter than that by now was made anew.
        cut = self._cuts[partition] = min(self._cuts.get(partition, 0), before)
        if before >= cut + _WORTH:
            self._cuts[partition] = before
            work = asyncio.get_running_loop().create_task(self._delete(partition, before))
            self._work.add(work)
            work.add_done_callback(self._work.discard)

    async def _delete(self, partition: Partition, before: int) -> None:
        cut = Cut([CutTopic(partition.topic, [CutPartition(partition.number, before)])], _PATIENCE)
        try:
            leader = self._cluster.topics[partition.topic].leaders[partition.number]
            answer = await self._cluster.ask(leader, DELETE_RECORDS, cut, patience=_PATIENCE / 1000)
            for topic in answer.topics:
                for each in topic.partitions:
                    checked(each.error)
        except (WireError, KeyError) as error:
            _log.debug("what was moved on stays in %s: %s", partition.topic, error)

    async def close(self) -> None:
        for work in self._work:
            work.cancel()
        if self._work:
            await asyncio.wait(self._work)
