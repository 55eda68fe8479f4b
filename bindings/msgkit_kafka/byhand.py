"""Reading all partitions of some topics, by hand: no group knows of it, and nothing is left behind."""

import asyncio
import logging
from asyncio import Task
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext

from msgkit_kafka.groups import Groups
from msgkit_kafka.holder import Holder
from msgkit_kafka.offsets import Standing
from msgkit_kafka.progress import Committed
from msgkit_kafka.wire.cluster import Cluster
from msgkit_kafka.wire.errors import WireError
from msgkit_kafka.wire.logs import LATEST
from msgkit_kafka.wire.subscriptions import Partition

__all__ = ["ByHand", "NoCommits"]

_log = logging.getLogger("msgkit.kafka")
#: Seconds between two looks at whether a topic has grown.
_GROWS = 30.0


class ByHand:
    """Stands where a membership does, of a group that nobody else is in."""

    group = ""
    is_well = True

    def __init__(self, cluster: Cluster, topics: Sequence[str], holder: Holder) -> None:
        self._cluster = cluster
        self._topics = topics
        self._holder = holder
        self._owned: set[Partition] = set()
        #: Where those begin that were there when it began.
        self._begins: Mapping[Partition, int] = {}
        self._task: Task[None] | None = None
        self._is_closed = False

    async def open(self) -> None:
        """Read from the end as it is now."""
        self._begins = await Groups(self._cluster).ends(self._partitions(), LATEST)
        await self._take()
        if not self._is_closed:
            self._task = asyncio.get_running_loop().create_task(self._grow())

    async def standings(self, partitions: Sequence[Partition]) -> Mapping[Partition, Standing]:
        # What came later is read from its beginning.
        return {each: Standing(self._begins.get(each, 0), Committed()) for each in partitions}

    def look(self) -> None:
        """Nobody takes anything away here."""

    async def close(self) -> None:
        self._is_closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _partitions(self) -> list[Partition]:
        known = self._cluster.topics
        return [Partition(name, number) for name in self._topics if name in known for number in range(known[name].size)]

    async def _take(self) -> None:
        new = [each for each in self._partitions() if each not in self._owned]
        if new:
            await self._holder.take(new)
        self._owned.update(new)

    async def _grow(self) -> None:
        while True:
            await asyncio.sleep(_GROWS)
            try:
                await self._cluster.refresh(self._topics)
                await self._take()
            except WireError as error:
                _log.debug("it is not known whether %s have grown: %s", ", ".join(self._topics), error)


class NoCommits:
    """Stands where commits do: there is nobody to be told."""

    def note(self, partition: Partition) -> None: ...
    async def flush(self, also: Sequence[Partition] = ()) -> None: ...
    async def finish(self, partitions: Sequence[Partition], within: float) -> None: ...
    def alone(self) -> AbstractAsyncContextManager[object]:
        return nullcontext()

    def forget(self, partitions: Sequence[Partition]) -> None: ...
    async def close(self) -> None: ...
