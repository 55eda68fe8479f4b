"""Reading the levels of delays, each while it is ours; and reading on behind what is not there any more."""

import asyncio
import logging
from asyncio import Task
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial

from msgkit_kafka.delays import wait_of
from msgkit_kafka.fetching import Fetcher, Wish
from msgkit_kafka.groups import Groups
from msgkit_kafka.offsets import Point
from msgkit_kafka.progress import Progress
from msgkit_kafka.wire.errors import BrokerError, Code, WireError
from msgkit_kafka.wire.logs import EARLIEST, FetchedPartition
from msgkit_kafka.wire.records import Decoded, Record
from msgkit_kafka.wire.subscriptions import Partition

__all__ = ["Level", "Reading"]

_log = logging.getLogger("msgkit.kafka")
#: Seconds until what cannot be read is tried again.
_LATER = 10.0
#: So many that are not due yet are enough to have read.
_ENOUGH = 1000


class Level:
    """A partition of a level, while it is ours."""

    def __init__(self, partition: Partition, offset: int) -> None:
        self.partition = partition
        self.progress = Progress(offset)
        self.position = offset
        self.wait = wait_of(partition.topic)
        self.ready: deque[Record] = deque()
        self.under_way = 0
        self.wish: Wish | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.is_closing = False
        self.idle = asyncio.Event()
        self.idle.set()
        #: Must somebody look first where it can be read on?
        self.is_stuck = False

    def is_open(self, offset: int) -> bool:
        return not self.progress.is_done(offset)

    def point_if_done(self, offsets: Iterable[int]) -> Point:
        progress = self.progress.clone()
        for offset in offsets:
            progress.done(offset)
        return Point(progress.watermark, progress.metadata())


class Reading:
    """All reading of levels.

    `on_read` hears when there is more of one, or nothing where more was thought to be; `on_anew` when there is another
    in its place, and where that begins.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        groups: Groups,
        on_read: Callable[[Level, Decoded | None], None],
        on_anew: Callable[[Level, int], None],
    ) -> None:
        self._fetcher = fetcher
        self._groups = groups
        self._on_read = on_read
        self._on_anew = on_anew
        self._loop = asyncio.get_running_loop()
        self._looking: set[Task[None]] = set()

    def read_on(self, level: Level) -> None:
        if level.wish is None and not level.is_stuck and not level.is_closing and len(level.ready) < _ENOUGH:
            came, failed = partial(self._came, level), partial(self._failed, level)
            level.wish = Wish(level.partition, level.position, came, failed)
            self._fetcher.fetch(level.wish)

    def stop(self, level: Level) -> None:
        level.is_closing = True
        if level.ready:
            # It counts as never read: else it would pass for moved on.
            level.position = level.ready[0].offset
            level.ready.clear()
        if level.wish is not None:
            self._fetcher.cancel(level.wish)
            level.wish = None
        if level.timer is not None:
            level.timer.cancel()

    async def close(self) -> None:
        for looking in self._looking:
            looking.cancel()
        if self._looking:
            await asyncio.wait(self._looking)

    def _came(self, level: Level, found: Decoded, _: FetchedPartition) -> None:
        level.wish = None
        level.position = found.next_offset
        level.ready.extend(found.records)
        self._on_read(level, found)
        self.read_on(level)

    def _failed(self, level: Level, error: WireError) -> None:
        level.wish, level.is_stuck = None, True
        if isinstance(error, BrokerError) and error.code is Code.OFFSET_OUT_OF_RANGE:
            looking = self._loop.create_task(self._go_past(level))
            self._looking.add(looking)
            looking.add_done_callback(self._looking.discard)
        else:
            self._cannot_read(level, error)
            self._loop.call_later(_LATER, self._try_again, level)

    def _cannot_read(self, level: Level, error: Exception) -> None:
        _log.error("%s cannot be read at offset %d: %s", level.partition.topic, level.position, error)

    def _try_again(self, level: Level) -> None:
        level.is_stuck = False
        self.read_on(level)

    async def _go_past(self, level: Level) -> None:
        """Go on where the log begins by now: somebody has deleted what was not moved on, or made it anew."""
        while not level.is_closing:
            try:
                begin = (await self._groups.ends([level.partition], EARLIEST))[level.partition]
            except (WireError, OSError, KeyError) as unknown:
                # It is not read before that is known: it may have grown past this place, and it would pass for read.
                self._cannot_read(level, unknown)
                await asyncio.sleep(_LATER)
            else:
                self._go_on_at(level, begin)
                return

    def _go_on_at(self, level: Level, begin: int) -> None:
        if level.is_closing:
            return
        if begin > level.position:
            text = (
                "%s begins at offset %d by now, not at %d: up to %d delayed messages were deleted there, and are lost"
            )
            _log.warning(text, level.partition.topic, begin, level.position, begin - level.position)
            level.position, level.is_stuck = begin, False
            self._on_read(level, None)
            self.read_on(level)
        else:
            text = (
                "%s ended before offset %d, up to which it was read: it was made anew or cut short, which may lose or "
                "double delayed messages; it is read again from offset %d, where it begins"
            )
            _log.warning(text, level.partition.topic, level.position, begin)
            self.stop(level)
            self._on_anew(level, begin)
