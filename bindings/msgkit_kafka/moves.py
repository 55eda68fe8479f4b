"""Records that take the place of others: the copies are stored and the originals are done together, or neither."""

import asyncio
import logging
from asyncio import Task
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol

from msgkit.errors import DeliveryLost, MessagingError, SendRefused, SendUnknown, Unroutable
from msgkit_kafka.blame import Blame, barred, blame
from msgkit_kafka.doubt import Doubt
from msgkit_kafka.membership import Membership
from msgkit_kafka.offsets import Point
from msgkit_kafka.publisher import Placed
from msgkit_kafka.transacting import Producers, Transacting
from msgkit_kafka.wire.records import size_of
from msgkit_kafka.wire.subscriptions import Partition

__all__ = ["Move", "Moves", "Origin"]

_log = logging.getLogger("msgkit.kafka")
#: So many in one transaction, and so many bytes of them.
_MOST, _MOST_BYTES = 1000, 8 * 1024 * 1024
#: Seconds for which a topic that nothing gets to is not tried again: others must not wait for it each time.
_BARRED = 1.0


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
        #: Those of which nobody has heard yet how they end.
        self._under_way: list[Move] = []
        self._at_once = _MOST
        #: Topics that nothing gets to, until when, and why.
        self._barred: dict[str, tuple[float, MessagingError]] = {}
        self._work: Task[None] | None = None
        self._is_closed = False

    def put(self, move: Move) -> None:
        if self._is_closed:
            _end([move], _lost())
            return
        self._waiting.append(move)
        self._begin()

    async def finish(self, patience: float) -> None:
        """Wait for those under way; what is not done after so many seconds stays where it is, and what comes later."""
        work = self._work
        try:
            if work is not None:
                await asyncio.wait([work], timeout=patience)
        finally:
            self.close()
        if work is not None:
            await asyncio.wait([work])
        self._end_all()

    def close(self) -> None:
        """Begin nothing any more."""
        self._is_closed = True
        if self._work is not None:
            self._work.cancel()

    def _begin(self) -> None:
        if self._work is None:
            self._work = asyncio.get_running_loop().create_task(self._go_on())
            self._work.add_done_callback(self._rested)

    def _rested(self, work: Task[None]) -> None:
        self._work = None
        self._is_closed = self._is_closed or work.cancelled()
        if self._is_closed:
            self._end_all()
        elif self._waiting:
            self._begin()

    def _end_all(self) -> None:
        left, self._waiting = self._waiting, deque()
        _end(left, _lost())

    async def _go_on(self) -> None:
        while self._waiting:
            try:
                if batch := self._next():
                    await self._together(batch)
            except Exception as error:  # noqa: BLE001 -- whatever it is: who waits is to hear of it, and the others go on
                _log.exception("messages are not moved for a reason that nobody foresaw")
                unknown = SendUnknown(f"it is not known whether it was moved: {error!r}")
                unknown.__cause__ = error
                self._end(unknown)
            except BaseException:
                self._put_back()
                raise

    def _next(self) -> Sequence[Move]:
        batch = self._under_way = []
        size = 0
        while self._waiting and len(batch) < self._at_once and size < _MOST_BYTES:
            move = self._waiting.popleft()
            batch.append(move)
            if (why_not := self._why_not(move)) is None:
                size += size_of(move.placed.record)
            else:
                batch.pop()
                _end([move], why_not)
        return batch

    def _why_not(self, move: Move) -> MessagingError | None:
        if not self._is_open(move):
            return _lost()
        until, why = self._barred.get(move.placed.topic, (0.0, None))
        return why if asyncio.get_running_loop().time() < until else None

    def _put_back(self) -> None:
        batch, self._under_way = self._under_way, []
        self._waiting.extendleft(reversed(batch))

    def _end(self, error: MessagingError | None) -> None:
        batch, self._under_way = self._under_way, []
        _end(batch, error)

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
                self._put_back()
            except SendUnknown as error:
                await self._found_out(error)
            except asyncio.CancelledError as error:
                if isinstance(error.__cause__, SendUnknown):
                    self._doubt()
                raise
            except SendRefused as error:
                self._refused(error)

    def _all_seen(self) -> None:
        self._at_once = min(2 * self._at_once, _MOST)
        self._end(None)

    def _settled(self, batch: Sequence[Move]) -> Sequence["_Originals"]:
        return [] if self._membership is None else [_Originals(self._membership, batch, self._is_open)]

    def _refused(self, error: SendRefused) -> None:
        if (topic := barred(error)) is not None:
            now = asyncio.get_running_loop().time()
            self._barred = {name: each for name, each in self._barred.items() if each[0] > now}
            self._barred[topic] = now + _BARRED, error
            self._put_back()
        elif len(self._under_way) > 1 and blame(error) is not Blame.TIME:
            # One of them is wrong; the others are not to suffer for it.
            self._at_once = len(self._under_way) // 2
            self._put_back()
        else:
            self._end(error)

    def _doubt(self) -> Doubt | None:
        partitions = [move.origin.partition for move in self._under_way]
        return None if self._membership is None else Doubt(self._membership, partitions)

    async def _found_out(self, error: SendUnknown) -> None:
        if (doubt := self._doubt()) is None:
            self._end(error)
        elif (done := await doubt.found_out(lambda: any(map(self._is_open, self._under_way)))) is None:
            self._end(_lost())
        else:
            batch, self._under_way = self._under_way, []
            for move in batch:
                _end([move], None if done[move.origin.partition].is_done(move.offset) else error)


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


async def _with_topics(producer: Transacting, batch: Sequence[Move]) -> list[Move]:
    missing = await producer.missing({move.placed.topic for move in batch})
    for move in batch:
        if move.placed.topic in missing:
            _end([move], Unroutable(f"topic {move.placed.topic!r} does not exist"))
    return [move for move in batch if move.placed.topic not in missing]


def _end(moves: Iterable[Move], error: MessagingError | None) -> None:
    for move in moves:
        try:
            move.end(error)
        except Exception:  # noqa: BLE001 -- the others are to hear of theirs all the same
            _log.exception("what follows from a message that was moved was not done")


def _lost() -> DeliveryLost:
    return DeliveryLost("it was taken back: its partition is another's")
