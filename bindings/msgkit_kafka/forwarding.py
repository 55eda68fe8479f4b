"""Moving delayed records on: from level to level, and to where they are for when they are due."""

import asyncio
import logging
from asyncio import Future
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import isfinite

from msgkit.clock import Clock
from msgkit.errors import DeliveryLost, MessagingError
from msgkit.spi.addresses import addressed
from msgkit_kafka.blame import Blame, blame, set_aside_for
from msgkit_kafka.committing import Commits
from msgkit_kafka.delays import GROUP_OF_DELAYS, LONGEST, SHORTEST, UNDELIVERABLE, Clocks, level_for, level_forms
from msgkit_kafka.fetching import Fetcher
from msgkit_kafka.groups import Groups
from msgkit_kafka.levels import Level, Reading
from msgkit_kafka.lines import Stored
from msgkit_kafka.mapping import DUE, REFUSALS, WAIT, WHY, sent_on, told
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
from msgkit_kafka.wire.errors import BrokerError, Code
from msgkit_kafka.wire.logs import EARLIEST
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
#: Seconds between two words on what waits.
_SELDOM = 10.0
#: It takes a person.
_FORBIDDEN = (
    Code.TOPIC_AUTHORIZATION_FAILED,
    Code.GROUP_AUTHORIZATION_FAILED,
    Code.CLUSTER_AUTHORIZATION_FAILED,
    Code.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
)
_MOST_OF_A_REASON, _MOST_DIGITS = 500, 9
#: So many on their way from one topic at once.
_MOST = 1000
#: A record that says nothing but what time it is by the broker's clock.
_WHAT_TIME = "msgkit-what-time"
_APPENDED = 1
#: What is left of a delay, in seconds, that is none any more.
_NOTHING = 0.001

_Failed = Callable[[Level, Record, MessagingError], None]


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
        self._producer = producer
        self._clock = clock
        self._clocks = Clocks()
        self._groups = Groups(cluster)
        self._loop = asyncio.get_running_loop()
        self._levels: dict[Partition, Level] = {}
        self._is_closing = False
        #: Destinations whose messages wait, and until when nothing is said of it again.
        self._told: dict[str, float] = {}
        topics = [form.name for form in level_forms() if form.name != UNDELIVERABLE]
        self._membership = Membership(cluster, GROUP_OF_DELAYS, topics, self, session=session)
        self._commits = Commits(cluster, self._membership, self._point)
        self._trimmer = Trimmer(cluster)
        self._reading = Reading(fetcher, self._groups, self._came, self._begin_anew)
        self._moves = Moves(producers, self._membership, self._is_ours, self._commits.alone)

    async def open(self) -> None:
        await self._membership.open()

    async def close(self) -> None:
        """Move nothing on any more; others do."""
        self._is_closing = True
        for level in self._levels.values():
            self._reading.stop(level)
        await self._reading.close()
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
            level = Level(each, begins[each] if offset is None else offset)
            if offset is not None:
                level.progress = Progress(offset, said.done)
            self._levels[each] = level
            if not self._clocks.knows(each.topic):
                # What it answers tells how late it is there.
                asked: NewRecord = (None, b"", [(_WHAT_TIME, b"")], 0)
                self._producer.write(each.topic, asked, each.number).add_done_callback(
                    partial(self._told_the_time, each.topic)
                )
            self._reading.read_on(level)

    async def give_up(self, partition: Partition, /) -> None:
        level = self._levels.get(partition)
        if level is None:
            return
        self._reading.stop(level)
        await level.idle.wait()
        await self._commits.finish([partition], _PATIENCE)
        self._levels.pop(partition, None)

    def lose(self, partitions: Sequence[Partition], why: str, /) -> None:  # noqa: ARG002 -- the holder's shape
        self._commits.forget(partitions)
        for each in partitions:
            level = self._levels.pop(each, None)
            if level is not None:
                self._reading.stop(level)

    def go_on(self, order: Order, /) -> None:  # noqa: ARG002 -- the holder's shape
        _log.error("somebody wants delayed messages to go on elsewhere, which would lose or double them")

    def alarm(self, why: str | None, /) -> None:
        if why is not None:
            _log.error("delayed messages are not moved on here: %s", why)

    def _point(self, partition: Partition) -> Point | None:
        level = self._levels.get(partition)
        return None if level is None else Point(level.progress.watermark, level.progress.metadata())

    # -- reading

    def _came(self, level: Level, found: Decoded | None) -> None:
        if found is None:
            self._commits.note(level.partition)
        elif found.records and found.records[-1].timestamp_type == _APPENDED:
            self._clocks.seen(level.partition.topic, found.records[-1].timestamp / 1000, self._clock.steady())
        self._move(level)

    def _begin_anew(self, level: Level, begin: int) -> None:
        if self._is_ours(level):
            # Another one, so that what is under way from the former says nothing of what stands there now.
            self._levels[level.partition] = anew = Level(level.partition, begin)
            self._commits.note(level.partition)
            self._reading.read_on(anew)

    def _told_the_time(self, topic: str, stored: "Future[Stored]") -> None:
        if not stored.cancelled() and stored.exception() is None and stored.result().appended >= 0:
            self._clocks.seen(topic, stored.result().appended, self._clock.steady())
        for level in self._levels.values():
            if level.partition.topic == topic:
                self._move(level)

    # -- moving on

    def _move(self, level: Level) -> None:
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

    def _due_in(self, level: Level, record: Record) -> float:
        return min(level.wait, _waiting(record)) if level.wait <= SHORTEST else level.wait

    def _forward(self, level: Level, record: Record, now: float) -> None:
        appended = self._clocks.ours(level.partition.topic, record.timestamp / 1000)
        left = _waiting(record) - (now - appended)
        due = told(record.headers, DUE) or ""
        if left > _NOTHING:
            self._wait_on(level, record, left, told(record.headers, REFUSALS))
        elif (place := addressed(due)) is not None:
            self._write(level, record, place[1], {}, self._not_taken)
        else:
            self._put_away(level, record, f"{due!r} is no destination")

    def _wait_on(self, level: Level, record: Record, seconds: float, refusals: str | None) -> None:
        said = {DUE: told(record.headers, DUE) or "", WAIT: repr(seconds)}
        if refusals:
            said[REFUSALS] = refusals
        self._write(level, record, level_for(seconds), said, self._not_moved)

    def _write(self, level: Level, record: Record, topic: str, said: Mapping[str, str], failed: _Failed) -> None:
        copy: NewRecord = (record.key, record.value, sent_on(record.headers, said), int(self._clock.now() * 1000))
        level.under_way += 1
        level.idle.clear()
        ended = partial(self._forwarded, level, record, failed)
        self._moves.put(Move(Placed(topic, copy, None), level, record.offset, ended))

    def _forwarded(self, level: Level, record: Record, failed: _Failed, error: MessagingError | None) -> None:
        level.under_way -= 1
        if error is None:
            level.progress.done(record.offset)
            if self._is_ours(level):
                # Brokers keep what is committed with a transaction for a while only.
                self._commits.note(level.partition)
                self._trimmer.done(level.partition, level.progress.watermark)
        elif self._is_ours(level) and not level.is_closing and not isinstance(error, DeliveryLost):
            failed(level, record, error)
        if level.under_way == 0:
            level.idle.set()
        self._move(level)
        self._reading.read_on(level)

    # -- what is not taken

    def _not_taken(self, level: Level, record: Record, error: MessagingError) -> None:
        """Have a record wait on among the delayed ones if it is refused where it goes: nothing waits behind it."""
        why = blame(error)
        if why is Blame.TIME:
            self._not_moved(level, record, error)
            return
        due, refusals = told(record.headers, DUE) or "", _refusals(record, why)
        wait = set_aside_for(why, refusals)
        if wait is None:
            self._put_away(level, record, str(error))
        else:
            # Another of those who move records on may be permitted to: it waits for him, or for the permission.
            self._tell(logging.INFO if why is Blame.RECORD else logging.ERROR, due, error)
            self._wait_on(level, record, wait, f"{refusals + 1} {why.name}")

    def _put_away(self, level: Level, record: Record, why: str) -> None:
        due = told(record.headers, DUE) or ""
        text = "a message that is due at %s has nowhere to go, and lies in topic %r now: %s"
        _log.error(text, due, UNDELIVERABLE, why)
        self._write(level, record, UNDELIVERABLE, {DUE: due, WHY: why[:_MOST_OF_A_REASON]}, self._not_moved)

    def _not_moved(self, level: Level, record: Record, error: MessagingError) -> None:
        """Try again, for ever: it is not the record's fault."""
        cause = error.__cause__
        is_forbidden = isinstance(cause, BrokerError) and cause.code in _FORBIDDEN
        is_wrong = is_forbidden or blame(error) is Blame.UNFORESEEN
        self._tell(logging.ERROR if is_wrong else logging.INFO, told(record.headers, DUE) or "", error)
        self._loop.call_later(_LATER_STILL if is_forbidden else _LATER, self._forward_again, level, record)

    def _forward_again(self, level: Level, record: Record) -> None:
        if self._is_ours(level) and not level.is_closing:
            self._forward(level, record, self._clock.steady())

    def _tell(self, level: int, due: str, error: MessagingError) -> None:
        """Say why something waits: of all that is for one destination seldom."""
        now = self._loop.time()
        if now >= self._told.get(due, now):
            self._told = {each: until for each, until in self._told.items() if until > now}
            self._told[due] = now + _SELDOM
            _log.log(level, "what is due at %s waits on: %s", due, error)

    def _is_ours(self, level: Origin) -> bool:
        return self._levels.get(level.partition) is level


def _refusals(record: Record, why: Blame) -> int:
    """Return how often it was due and refused where it goes, for the same reason each time since it was another."""
    count, _, last = (told(record.headers, REFUSALS) or "").partition(" ")
    is_count = count.isascii() and count.isdigit() and len(count) <= _MOST_DIGITS
    return int(count) if is_count and last == why.name else 0


def _waiting(record: Record) -> float:
    """Return how long a record was to wait when it was appended."""
    try:
        wait = float(told(record.headers, WAIT) or 0)
    except ValueError:
        return 0.0
    # Whoever says what is no length of time has it at once.
    return min(max(0.0, wait), LONGEST) if isfinite(wait) else 0.0
