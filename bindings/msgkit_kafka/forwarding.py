"""Moving delayed records on: from level to level, and to where they are for when they are due."""

import asyncio
import logging
from asyncio import Future
from collections import deque
from collections.abc import Iterable, Sequence
from functools import partial

from msgkit.clock import Clock
from msgkit.errors import DeliveryLost, MessagingError, Unroutable
from msgkit.spi.addresses import addressed
from msgkit_kafka.committing import Commits
from msgkit_kafka.delays import GROUP_OF_DELAYS, SHORTEST, UNDELIVERABLE, Clocks, level_for, level_forms, wait_of
from msgkit_kafka.fetching import Fetcher, Wish
from msgkit_kafka.groups import Groups
from msgkit_kafka.lines import Stored
from msgkit_kafka.mapping import DUE, WAIT, sent_on, told
from msgkit_kafka.membership import Membership
from msgkit_kafka.moves import Move, Moves, Origin
from msgkit_kafka.offsets import Point
from msgkit_kafka.orders import Order
from msgkit_kafka.producing import Producer
from msgkit_kafka.progress import Progress
from msgkit_kafka.publisher import Placed
from msgkit_kafka.transacting import Producers
from msgkit_kafka.trimming import Trimmer
from msgkit_kafka.wire.cluster import Cluster
from msgkit_kafka.wire.errors import BrokerError, Code, WireError
from msgkit_kafka.wire.logs import EARLIEST, FetchedPartition
from msgkit_kafka.wire.records import Decoded, NewRecord, Record
from msgkit_kafka.wire.subscriptions import Partition

__all__ = ["Forwarder"]

_log = logging.getLogger("msgkit.kafka")
#: Seconds for what is on its way to be confirmed when we leave, and then to be committed.
_PATIENCE = 5.0
#: Seconds until what could not be moved on is tried again.
_LATER = 1.0
#: The same where it takes a person.
_LATER_STILL = 10.0
#: Seconds for a topic that is not there to appear: brokers hear of a new one by and by.
_TO_APPEAR = 10.0
_FORBIDDEN = (Code.TOPIC_AUTHORIZATION_FAILED, Code.TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
#: So many on their way from one topic at once.
_MOST = 1000
#: A record that says nothing but what time it is by the broker's clock.
_WHAT_TIME = "msgkit-what-time"
_APPENDED = 1
#: What is left of a delay, in seconds, that is none any more.
_NOTHING = 0.001


class _Level:
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
        #: Offsets of what has nowhere to go, and since when that is known.
        self.homeless: dict[int, float] = {}

    def is_open(self, offset: int) -> bool:
        return not self.progress.is_done(offset)

    def point_if_done(self, offsets: Iterable[int]) -> Point:
        progress = self.progress.clone()
        for offset in offsets:
            progress.done(offset)
        return Point(progress.watermark, progress.metadata())


class Forwarder:
    """One member of the group that moves records on."""

    def __init__(
        self,
        cluster: Cluster,
        fetcher: Fetcher,
        producer: Producer,
        producers: Producers,
        clock: Clock,
        *,
        session: float,
    ) -> None:
        self._cluster = cluster
        self._fetcher = fetcher
        self._producer = producer
        self._clock = clock
        self._clocks = Clocks()
        self._groups = Groups(cluster)
        self._loop = asyncio.get_running_loop()
        self._levels: dict[Partition, _Level] = {}
        self._is_closing = False
        topics = [form.name for form in level_forms() if form.name != UNDELIVERABLE]
        self._membership = Membership(cluster, GROUP_OF_DELAYS, topics, self, session=session)
        self._commits = Commits(cluster, self._membership, self._point)
        self._trimmer = Trimmer(cluster)
        self._moves = Moves(producers, self._membership, self._is_ours, self._commits.alone)

    async def open(self) -> None:
        await self._membership.open()

    async def close(self) -> None:
        """Move nothing on any more; others do."""
        self._is_closing = True
        for level in self._levels.values():
            self._stop(level)
        await self._moves.finish(_PATIENCE)
        await self._commits.finish(tuple(self._levels), _PATIENCE)
        await self._commits.close()
        await self._trimmer.close()
        await self._membership.close()

    # -- for the membership

    async def take(self, partitions: Sequence[Partition], /) -> None:
        standings = await self._membership.standings(partitions)
        new = [each for each in partitions if standings[each].offset is None]
        begins = await self._groups.ends(new, EARLIEST) if new else {}
        for each in partitions:
            offset, said = standings[each]
            if self._is_closing:
                # What came now would not be committed any more.
                break
            level = _Level(each, begins[each] if offset is None else offset)
            if offset is not None:
                level.progress = Progress(offset, said.done)
            self._levels[each] = level
            if not self._clocks.knows(each.topic):
                # What it answers tells how late it is there.
                asked: NewRecord = (None, b"", [(_WHAT_TIME, b"")], 0)
                self._producer.write(each.topic, asked, each.number).add_done_callback(
                    partial(self._told_the_time, each.topic)
                )
            self._read_on(level)

    async def give_up(self, partition: Partition, /) -> None:
        level = self._levels.get(partition)
        if level is None:
            return
        self._stop(level)
        await level.idle.wait()
        await self._commits.finish([partition], _PATIENCE)
        self._levels.pop(partition, None)

    def lose(self, partitions: Sequence[Partition], why: str, /) -> None:  # noqa: ARG002 -- the holder's shape
        self._commits.forget(partitions)
        for each in partitions:
            level = self._levels.pop(each, None)
            if level is not None:
                self._stop(level)

    def go_on(self, order: Order, /) -> None:  # noqa: ARG002 -- the holder's shape
        _log.error("somebody wants delayed messages to go on elsewhere, which would lose or double them")

    def alarm(self, why: str | None, /) -> None:
        if why is not None:
            _log.error("delayed messages are not moved on here: %s", why)

    def _point(self, partition: Partition) -> Point | None:
        level = self._levels.get(partition)
        return None if level is None else Point(level.progress.watermark, level.progress.metadata())

    # -- reading

    def _stop(self, level: _Level) -> None:
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

    def _read_on(self, level: _Level) -> None:
        if level.wish is None and not level.is_closing and len(level.ready) < _MOST:

            def came(found: Decoded, _: FetchedPartition) -> None:
                level.wish = None
                self._came(level, found)

            def failed(error: WireError) -> None:
                level.wish = None
                _log.error("%s cannot be read at offset %d: %s", level.partition.topic, level.position, error)
                self._loop.call_later(_LATER_STILL, self._read_on, level)

            level.wish = Wish(level.partition, level.position, came, failed)
            self._fetcher.fetch(level.wish)

    def _came(self, level: _Level, found: Decoded) -> None:
        level.position = found.next_offset
        now = self._clock.steady()
        if found.records and found.records[-1].timestamp_type == _APPENDED:
            self._clocks.seen(level.partition.topic, found.records[-1].timestamp / 1000, now)
        level.ready.extend(found.records)
        self._move(level)
        self._read_on(level)

    def _told_the_time(self, topic: str, stored: "Future[Stored]") -> None:
        if not stored.cancelled() and stored.exception() is None and stored.result().appended >= 0:
            self._clocks.seen(topic, stored.result().appended, self._clock.steady())
        for level in self._levels.values():
            if level.partition.topic == topic:
                self._move(level)

    # -- moving on

    def _move(self, level: _Level) -> None:
        """Move on what has waited long enough, and come back when the next one has."""
        if level.timer is not None:
            level.timer.cancel()
            level.timer = None
        topic, progress = level.partition.topic, level.progress
        while level.ready and level.under_way < _MOST and not level.is_closing:
            record = level.ready[0]
            offset = record.offset
            if not progress.admits(offset):
                return
            if progress.is_done(offset) or told(record.headers, DUE) is None:
                level.ready.popleft()
                progress.handed(offset)
                progress.done(offset)
                self._commits.note(level.partition)
                continue
            if not self._clocks.knows(topic):
                return
            now = self._clock.steady()
            over = self._clocks.ours(topic, record.timestamp / 1000 + self._due_in(level, record))
            if over > now:
                level.timer = self._loop.call_later(over - now, self._move, level)
                return
            level.ready.popleft()
            progress.handed(offset)
            self._forward(level, record, now)
        if not level.ready:
            progress.passed(level.position)

    def _due_in(self, level: _Level, record: Record) -> float:
        return min(level.wait, _waiting(record)) if level.wait <= SHORTEST else level.wait

    def _forward(self, level: _Level, record: Record, now: float) -> None:
        appended = self._clocks.ours(level.partition.topic, record.timestamp / 1000)
        left = _waiting(record) - (now - appended)
        if left > _NOTHING:
            next_topic = level_for(left)
            headers = sent_on(record.headers, {DUE: told(record.headers, DUE) or "", WAIT: repr(left)})
        else:
            headers = sent_on(record.headers, {})
            _, next_topic = addressed(told(record.headers, DUE)) or (None, UNDELIVERABLE)
        self._write(level, record, next_topic, (record.key, record.value, headers, int(self._clock.now() * 1000)))

    def _write(self, level: _Level, record: Record, topic: str, copy: NewRecord) -> None:
        level.under_way += 1
        level.idle.clear()
        ended = partial(self._forwarded, level, record)
        self._moves.put(Move(Placed(topic, copy, None), level, record.offset, ended))

    def _forwarded(self, level: _Level, record: Record, error: MessagingError | None) -> None:
        level.under_way -= 1
        if error is None:
            level.homeless.pop(record.offset, None)
            level.progress.done(record.offset)
            # Brokers keep what is committed with a transaction for a while only.
            self._commits.note(level.partition)
            self._trimmer.done(level.partition, level.progress.watermark)
        elif not isinstance(error, DeliveryLost):
            self._failed(level, record, error)
        if level.under_way == 0:
            level.idle.set()
        self._move(level)
        self._read_on(level)

    def _failed(self, level: _Level, record: Record, error: MessagingError) -> None:
        cause, due = error.__cause__, told(record.headers, DUE)
        is_forbidden = isinstance(cause, BrokerError) and cause.code in _FORBIDDEN
        is_final = isinstance(error, Unroutable) or (isinstance(cause, BrokerError) and not cause.passes)
        now = self._loop.time()
        if is_final and not is_forbidden and now >= level.homeless.setdefault(record.offset, now) + _TO_APPEAR:
            text = "a message that is due at %s has nowhere to go, and lies in topic %r now: %s"
            _log.error(text, due, UNDELIVERABLE, error)
            self._write(level, record, UNDELIVERABLE, (record.key, record.value, list(record.headers), 0))
        elif self._is_ours(level) and not level.is_closing:
            # Another of those who move records on may be permitted to: it waits for him, or for the permission.
            _log.log(logging.ERROR if is_forbidden else logging.INFO, "what is due at %s waits on: %s", due, error)
            self._loop.call_later(_LATER_STILL if is_forbidden else _LATER, self._forward_again, level, record)

    def _forward_again(self, level: _Level, record: Record) -> None:
        if self._is_ours(level) and not level.is_closing:
            self._forward(level, record, self._clock.steady())

    def _is_ours(self, level: Origin) -> bool:
        return self._levels.get(level.partition) is level


def _waiting(record: Record) -> float:
    """Return how long a record was to wait when it was appended."""
    try:
        return max(0.0, float(told(record.headers, WAIT) or 0))
    except ValueError:
        return 0.0
