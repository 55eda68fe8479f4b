"""Records that take the place of others: the copies are stored and the originals are done together, or neither."""

import asyncio
from asyncio import Task
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol

from msgkit.errors import DeliveryLost, MessagingError, SendRefused, SendUnknown, Unroutable
from msgkit.spi.pauses import pause
from msgkit_kafka.membership import Membership
from msgkit_kafka.offsets import Point
from msgkit_kafka.progress import Progress
from msgkit_kafka.publisher import Placed
from msgkit_kafka.transacting import Producers, Transacting
from msgkit_kafka.wire.errors import BrokerError, WireError
from msgkit_kafka.wire.records import size_of
from msgkit_kafka.wire.subscriptions import Partition

__all__ = ["Move", "Moves", "Origin"]

#: So many in one transaction, and so many bytes of them.
_MOST, _MOST_BYTES = 1000, 8 * 1024 * 1024
_TRIES = 8


class Origin(Protocol):
    """A partition that originals are in, for as long as it is ours."""

    @property
    def partition(self) -> Partition: ...
    def is_open(self, offset: int, /) -> bool: ...
    def point_if_done(self, offsets: Iterable[int], /) -> Point: ...


class Move(NamedTuple):
    """One of them. `end` hears in the end: None when it is done, or why it is not."""

    placed: Placed
    origin: Origin
    offset: int
    end: Callable[[MessagingError | None], None]


class Moves:
    """Those of one member of a group."""

    def __init__(
        self,
        producers: Producers,
        membership: Membership | None,
        is_ours: Callable[[Origin], bool],
        alone: Callable[[], AbstractAsyncContextManager[object]],
    ) -> None:
        """Move records; `alone` keeps others from committing meanwhile. Without a membership nothing is committed."""
        self._producers = producers
        self._membership = membership
        self._is_ours = is_ours
        self._alone = alone
        self._waiting: deque[Move] = deque()
        self._under_way: Sequence[Move] = ()
        self._at_once = _MOST
        self._work: Task[None] | None = None

    def put(self, move: Move) -> None:
        self._waiting.append(move)
        if self._work is None:
            self._work = asyncio.get_running_loop().create_task(self._go_on())

    @property
    def is_idle(self) -> bool:
        return self._work is None

    async def finish(self, patience: float) -> None:
        """Wait for those under way; what is not done after so many seconds stays where it is."""
        work = self._work
        if work is not None:
            await asyncio.wait([work], timeout=patience)
            work.cancel()
            await asyncio.wait([work])
        left, self._waiting = self._waiting, deque()
        for move in left:
            move.end(_lost())

    async def _go_on(self) -> None:
        try:
            while self._waiting:
                batch = self._under_way = self._next()
                try:
                    if batch:
                        await self._together(batch)
                except BaseException:
                    self._waiting.extendleft(reversed(self._under_way))
                    raise
        finally:
            self._work = None

    def _next(self) -> Sequence[Move]:
        batch: list[Move] = []
        size = 0
        while self._waiting and len(batch) < self._at_once and size < _MOST_BYTES:
            move = self._waiting.popleft()
            if self._is_open(move):
                batch.append(move)
                size += size_of(move.placed.record)
            else:
                move.end(_lost())
        self._at_once = _MOST
        return batch

    def _is_open(self, move: Move) -> bool:
        return self._is_ours(move.origin) and move.origin.is_open(move.offset)

    async def _together(self, batch: Sequence[Move]) -> None:
        async with self._alone():
            try:
                with self._producers.one() as producer:
                    batch = self._under_way = await _with_topics(producer, batch)
                    if batch:
                        await producer.commit([move.placed for move in batch], self._settled(batch), self._all_seen)
            except DeliveryLost:
                # Some of them are another's by now.
                self._waiting.extendleft(reversed(batch))
            except SendUnknown as error:
                await self._found_out(batch, error)
            except SendRefused as error:
                self._refused(batch, error)

    def _all_seen(self) -> None:
        batch, self._under_way = self._under_way, ()
        for move in batch:
            move.end(None)

    def _settled(self, batch: Sequence[Move]) -> Sequence["_Originals"]:
        return [] if self._membership is None else [_Originals(self._membership, batch, self._is_open)]

    def _refused(self, batch: Sequence[Move], error: SendRefused) -> None:
        is_final = isinstance(error.__cause__, BrokerError) and not error.__cause__.passes
        if is_final and len(batch) > 1:
            # One of them is wrong; the others are not to suffer for it.
            self._at_once = 1
            self._waiting.extendleft(reversed(batch))
        else:
            for move in batch:
                move.end(error)

    async def _found_out(self, batch: Sequence[Move], error: SendUnknown) -> None:
        """See by what the group has done whether it was committed: that is seen together, too."""
        membership = self._membership
        done: Mapping[Partition, Progress] = {}
        if membership is not None:
            done = await _done_in(membership, {move.origin.partition for move in batch})
        for move in batch:
            progress = done.get(move.origin.partition)
            move.end(None if progress is not None and progress.is_done(move.offset) else error)


class _Originals:
    """What is done when a transaction is."""

    def __init__(self, membership: Membership, moves: Sequence[Move], is_open: Callable[[Move], bool]) -> None:
        self.membership = membership
        self._moves = moves
        self._is_open = is_open

    def points(self) -> Mapping[Partition, Point]:
        ended: dict[Origin, list[int]] = {}
        for move in self._moves:
            if not self._is_open(move):
                raise _lost()
            ended.setdefault(move.origin, []).append(move.offset)
        return {origin.partition: origin.point_if_done(offsets) for origin, offsets in ended.items()}


async def _with_topics(producer: Transacting, batch: Sequence[Move]) -> Sequence[Move]:
    missing = await producer.missing({move.placed.topic for move in batch})
    for move in batch:
        if move.placed.topic in missing:
            move.end(Unroutable(f"topic {move.placed.topic!r} does not exist"))
    return [move for move in batch if move.placed.topic not in missing]


async def _done_in(membership: Membership, partitions: Iterable[Partition]) -> Mapping[Partition, Progress]:
    """Return what is done, as far as it can be found out."""
    for failures in range(_TRIES):
        try:
            standings = await membership.standings(sorted(partitions))
        except WireError:
            await asyncio.sleep(pause(failures))
        else:
            return {
                each: Progress(standing.offset, standing.said.done)
                for each, standing in standings.items()
                if standing.offset is not None
            }
    return {}


def _lost() -> DeliveryLost:
    return DeliveryLost("it was taken back: its partition is another's")
