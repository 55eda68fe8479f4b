"""Telling the group's coordinator how far a member has come: soon after anything is done, one question at a time."""

import asyncio
import logging
from asyncio import Task
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from msgkit.spi.pauses import pause
from msgkit_kafka.membership import Membership
from msgkit_kafka.offsets import BEATING, Point, commit_of
from msgkit_kafka.wire.cluster import Cluster
from msgkit_kafka.wire.errors import BrokerError, Code, NotWritten, WireError
from msgkit_kafka.wire.positions import OFFSET_COMMIT
from msgkit_kafka.wire.subscriptions import Partition

__all__ = ["Commits"]

_log = logging.getLogger("msgkit.kafka")
#: Seconds from when something is done until it is committed, together with what is done meanwhile.
_SOON = 0.1
#: Seconds for a generation to begin, in which all of its members may have to join again.
_PATIENCE = 30.0


class Commits:
    """What one member has to commit. `point` tells how far a partition has come, when it is asked."""

    def __init__(self, cluster: Cluster, membership: Membership, point: Callable[[Partition], Point | None]) -> None:
        self._cluster = cluster
        self._membership = membership
        self._point = point
        self._loop = asyncio.get_running_loop()
        self._dirty: set[Partition] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._task: Task[None] | None = None
        self._turn = asyncio.Lock()

    def note(self, partition: Partition) -> None:
        """Commit it soon."""
        self._dirty.add(partition)
        if self._timer is None and self._task is None:
            self._timer = self._loop.call_later(_SOON, self._begin)

    def _begin(self) -> None:
        self._timer = None
        self._task = self._loop.create_task(self._go_on())

    async def _go_on(self) -> None:
        failures = 0
        try:
            while self._dirty:
                try:
                    await self.flush()
                    failures = 0
                except (WireError, TimeoutError) as error:
                    failures += 1
                    _log.log(
                        logging.WARNING if failures == 5 else logging.DEBUG,  # noqa: PLR2004 -- once, when it lasts
                        "what group %r has done is not committed yet: %s",
                        self._membership.group,
                        error,
                    )
                    await asyncio.sleep(pause(failures))
        finally:
            self._task = None

    async def flush(self, also: Sequence[Partition] = ()) -> None:
        """Commit now what is not committed; what is not ours any more is left out.

        :raises BrokerError: when it is not taken
        """
        self._dirty.update(also)
        async with self._turn:
            if not self._dirty:
                return
            async with asyncio.timeout(_PATIENCE):
                await self._membership.begun()
            partitions, self._dirty = self._dirty, set()
            sure = sorted(partitions - self._membership.in_doubt)
            points = {each: point for each in sure if (point := self._point(each)) is not None}
            if not points:
                return
            try:
                await self._commit(points)
            except BaseException:
                self._dirty.update(partitions)
                raise

    async def finish(self, partitions: Sequence[Partition], within: float) -> None:
        """Commit these now, and again while that fails, for so many seconds."""
        failures, why = 0, "nobody answers"
        try:
            async with asyncio.timeout(within):
                while True:
                    try:
                        await self.flush(partitions)
                    except WireError as error:
                        failures, why = failures + 1, str(error)
                        await asyncio.sleep(pause(min(failures, 3)))
                    else:
                        return
        except TimeoutError:
            text = "what was done last of group %r could not be committed, and comes again: %s"
            _log.warning(text, self._membership.group, why)

    async def _commit(self, points: Mapping[Partition, Point]) -> None:
        membership = self._membership
        if not membership.is_in:
            # Whoever is nobody may commit to a group that has no members.
            raise NotWritten(f"not a member of group {membership.group!r} at the moment")
        commit = commit_of(membership.group, points, generation=membership.generation, member=membership.member)
        coordinator = await membership.coordinator()
        try:
            answer = await self._cluster.ask(coordinator, OFFSET_COMMIT, commit, purpose=BEATING)
        except WireError:
            membership.coordinator_lost()
            raise
        for topic in answer.topics:
            for result in topic.partitions:
                if result.error:
                    membership.refused(Code(result.error))
                    raise BrokerError(Code(result.error), f"{topic.name}/{result.number}")

    def alone(self) -> AbstractAsyncContextManager[object]:
        """Keep everything from being committed for the length of a block."""
        return self._turn

    def forget(self, partitions: Iterable[Partition]) -> None:
        self._dirty.difference_update(partitions)

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
