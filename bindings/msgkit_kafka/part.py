"""One partition that a consumer reads: what came of it, what is handed out, and how far it is done."""

from collections import deque
from collections.abc import Iterable, Sequence
from heapq import heappop, heappush
from typing import Self

from msgkit.spi.filtering import Filter
from msgkit_kafka.fetching import Wish
from msgkit_kafka.mapping import Source
from msgkit_kafka.offsets import Point, Standing
from msgkit_kafka.progress import Progress
from msgkit_kafka.wire.errors import BrokerError, Code, WireError
from msgkit_kafka.wire.records import Record
from msgkit_kafka.wire.subscriptions import Partition

__all__ = ["Handle", "Part"]

#: Crashes of its consumers in a row after which its messages are handed out one at a time, to find who kills them.
_SUSPICIOUS = 3
#: So many offsets are looked at so.
_LOOKED_AT = 1000
#: Deaths at which a message was handed out alone, from which on all crashes of its partition are laid on it. Of one
#: or two it may know nothing: any process may end at any time, whatever it has in hand.
_SURE = 3

#: Bytes of a record beside its value, nearly.
_ROOM = 256


class Handle:
    """Where a delivery came from."""

    __slots__ = ("part", "record", "size")

    def __init__(self, part: "Part", record: Record) -> None:
        self.part = part
        self.record = record
        self.size = len(record.value or b"")


class Part:
    """A partition, from when it is ours until it is not."""

    __slots__ = (
        "_again",
        "_alone",
        "_crashes",
        "_ready",
        "_suspected",
        "_until",
        "attempts",
        "buffered",
        "filter",
        "in_hand",
        "is_broken",
        "is_closing",
        "is_leaving",
        "is_marking",
        "order",
        "partition",
        "position",
        "progress",
        "source",
        "wish",
    )

    def __init__(
        self, partition: Partition, source: Source, taken: Filter | None, progress: Progress, *, position: int
    ) -> None:
        self.partition = partition
        self.source = source
        #: None: all of it.
        self.filter = taken
        self.progress = progress
        #: What to fetch next.
        self.position = position
        self.wish: Wish | None = None
        #: Bytes that came and are not handed out; and that are handed out and not done.
        self.buffered = self.in_hand = 0
        #: Nothing more of it is handed out; it goes to another member; it cannot be read; it is being said which
        #: message is handed out alone.
        self.is_closing = self.is_leaving = self.is_broken = self.is_marking = False
        #: Of those that are tried again where they are.
        self.attempts: dict[int, int] = {}
        #: The last order to go on elsewhere that was followed.
        self.order = ""
        self._ready: deque[Record] = deque()
        self._again: list[tuple[int, Record]] = []
        self._crashes = 0
        #: What was handed out alone when those before us died, and how often; and what is handed out alone now.
        self._suspected: tuple[int, int] | None = None
        self._alone: int | None = None
        self._until = position

    @classmethod
    def begun(cls, partition: Partition, standing: Standing, begin: int, source: Source, taken: Filter | None) -> Self:
        """Return one as its group left it, or that begins where it is said to."""
        offset, said = begin if standing.offset is None else standing.offset, standing.said
        progress = Progress(offset, said.done)
        part = cls(partition, source._replace(partition=partition.number), taken, progress, position=offset)
        if said.is_ours:
            part.order = said.order
            part.inherit(said.dirty, None if said.suspect is None else (said.suspect, said.suspect_count))
        return part

    # -- what comes, and what is handed out

    @property
    def topic(self) -> str:
        return self.partition.topic

    @property
    def is_at_work(self) -> bool:
        return not self.is_closing and not self.is_broken

    def came(self, records: Sequence[Record], position: int) -> int:
        """Take what was fetched, and from where to go on; return its bytes."""
        size = sum(_room_of(record) for record in records)
        self._ready.extend(records)
        self.buffered += size
        self.position = position
        if not records:
            self._read_up()
        return size

    def forget_waiting(self) -> int:
        """Hand out nothing that has come and was not handed out; return its bytes."""
        size, self.buffered = self.buffered, 0
        if self._ready:
            # It counts as never read: else it would pass for done.
            self.position = self._ready[0].offset
            self._ready.clear()
        self._again.clear()
        return size

    def skip_to(self, offset: int) -> int:
        """Hand out nothing that is not handed out yet and stands before an offset; return the bytes that waited."""
        for _, record in self._again:
            self.progress.done(record.offset)
        size = self.forget_waiting()
        self.position = offset
        self.progress.passed(offset)
        return size

    def is_open(self, offset: int) -> bool:
        """Is it handed out, and not done?"""
        return not self.progress.is_done(offset)

    def next(self) -> Record | None:
        """Return the next record to hand out; None when there is none, or too much is open already."""
        progress, ready = self.progress, self._ready
        while self._again:
            offset, record = heappop(self._again)
            # It may have ended with a transaction of which that was not known yet when it was given back.
            if not progress.is_done(offset):
                return record
        while ready:
            record = ready[0]
            if progress.is_done(record.offset):
                self._take_off(ready.popleft())
            elif progress.admits(record.offset) and (progress.outstanding == 0 or not self.is_watched):
                self._take_off(ready.popleft())
                progress.handed(record.offset)
                return record
            else:
                return None
        self._read_up()
        return None

    def _take_off(self, record: Record) -> None:
        self.buffered -= _room_of(record)

    def _read_up(self) -> None:
        """All that stands before where we read on was handed out, or never will be."""
        if not self._ready:
            self.progress.passed(self.position)

    def give_back(self, record: Record) -> None:
        """Hand it out again, before all that is behind it."""
        heappush(self._again, (record.offset, record))

    def done(self, record: Record) -> None:
        self.progress.done(record.offset)
        if not self._ready:
            self._read_up()

    def unreadable(self, error: WireError) -> str:
        """Say for people why it cannot be read on."""
        text = f"{self.topic}/{self.partition.number} cannot be read at offset {self.position}: {error}"
        if isinstance(error, BrokerError) and error.code is Code.OFFSET_OUT_OF_RANGE:
            text += "; its records were deleted before they were handled, or the topic was made anew: seek the queue"
        return text

    # -- who kills its processes

    @property
    def is_watched(self) -> bool:
        """Is one message handed out at a time, because something in it may kill whoever handles it?"""
        return self._crashes >= _SUSPICIOUS and self.progress.watermark < self._until

    def crashes_at(self, offset: int) -> int:
        """Return how many processes this very message has killed, as far as that is known."""
        times = self._deaths_of(offset)
        return times if times < _SURE else self._crashes

    def _deaths_of(self, offset: int) -> int:
        return self._suspected[1] if self._suspected is not None and self._suspected[0] == offset else 0

    def inherit(self, crashes: int, suspected: tuple[int, int] | None) -> None:
        """Take over after so many crashes in a row; what was alone at the last of them, and at how many it was."""
        self._crashes, self._suspected = crashes, suspected
        self._until = self.progress.watermark + _LOOKED_AT

    def suspect(self, offset: int) -> None:
        """Say that this one is the only one handed out, so that it is known if we die of it."""
        self._alone = offset

    def point(self, *, clean: bool) -> Point:
        """Return what to commit; `clean` is when nobody can die of it here any more."""
        if self._crashes and self.progress.watermark >= self._until:
            self._crashes, self._suspected, self._alone = 0, None, None
        return self._point(self.progress, clean=clean)

    def point_if_done(self, offsets: Iterable[int]) -> Point:
        """Return what to commit if some more were done."""
        progress = self.progress.clone()
        for offset in offsets:
            progress.done(offset)
        return self._point(progress, clean=False)

    def _point(self, progress: Progress, *, clean: bool) -> Point:
        dirty, at, times = (0, None, 0) if clean else (self._crashes + 1, *self._if_we_die())
        metadata = progress.metadata(dirty=dirty, suspect=at, suspect_count=times, order=self.order)
        return Point(progress.watermark, metadata)

    def _if_we_die(self) -> tuple[int | None, int]:
        """Return whom to suspect then, and of how many deaths."""
        if self._alone is None:
            return self._suspected or (None, 0)
        return self._alone, self._deaths_of(self._alone) + 1


def _room_of(record: Record) -> int:
    """Return what a record takes while it waits, nearly: many have no value at all."""
    return len(record.value or b"") + _ROOM
