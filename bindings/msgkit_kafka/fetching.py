"""Reading partitions: who wants records says from where, and is told once, when there are some.

A broker holds back its answer until something is there. So those who wait are asked for together, and who comes later
is asked for over another connection, until they meet again.
"""

import asyncio
import logging
from asyncio import Future, Task
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

from msgkit.spi.pauses import pause
from msgkit_kafka.wire.cluster import Cluster
from msgkit_kafka.wire.connection import Connection
from msgkit_kafka.wire.errors import BrokerError, Code, Garbled, WireError
from msgkit_kafka.wire.logs import FETCH, Fetch, Fetched, FetchedPartition, FetchPartition, FetchTopic
from msgkit_kafka.wire.records import Decoded, decode
from msgkit_kafka.wire.subscriptions import Partition

__all__ = ["Fetcher", "Wish"]

_log = logging.getLogger("msgkit.kafka")
#: Milliseconds for which a broker may hold back its answer.
_WAIT = 500
#: Bytes of an answer, in all and of one partition; a batch that is larger comes nevertheless.
_ALL, _EACH = 8 * 1024 * 1024, 1024 * 1024
#: Connections to one broker.
_MOST = 4
#: As of now, whoever leads.
_ANY_EPOCH = -1
_COMMITTED = 1
#: Looks after which the pause between two grows no longer, and after which it is said that a topic is not there.
_MANY, _ENOUGH = 4, 5
#: Seconds for which a replica nearby is read from, until its leader is asked again for one.
_NEARBY = 300.0
_NOT_THERE = frozenset({Code.UNKNOWN_TOPIC_OR_PARTITION, Code.UNKNOWN_TOPIC_ID})


@dataclass(slots=True, eq=False)
class Wish:
    """Records of one partition, from an offset on; granted once."""

    partition: Partition
    position: int
    on_records: Callable[[Decoded, FetchedPartition], None]
    #: Hears that there will never be any.
    on_failed: Callable[[WireError], None]
    most_bytes: int = _EACH
    is_asked: bool = False
    #: How often in a row it could not be read, and is it asked for only later for that?
    missed: int = 0
    is_aside: bool = False

    @property
    def is_due(self) -> bool:
        return not self.is_asked and not self.is_aside


class Fetcher:
    """All reading of one client."""

    def __init__(self, cluster: Cluster, *, rack: str = "") -> None:
        self._cluster = cluster
        self._rack = rack
        self._loop = asyncio.get_running_loop()
        self._wishes: dict[Wish, None] = {}
        #: Connections that wait for an answer.
        self._busy: set[Connection] = set()
        #: Replicas that leaders want to be read from, and until when.
        self._nearby: dict[Partition, tuple[int, float]] = {}
        self._opening: dict[tuple[int, int], Task[None]] = {}
        self._mending: Task[None] | None = None
        self._is_scheduled = False
        self._closed = False

    def fetch(self, wish: Wish) -> None:
        self._wishes[wish] = None
        self._schedule()

    def cancel(self, wish: Wish) -> None:
        """Grant it no more."""
        self._wishes.pop(wish, None)

    async def close(self) -> None:
        self._closed = True
        self._wishes.clear()
        tasks = [*self._opening.values(), *([self._mending] if self._mending is not None else [])]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    # -- asking: once for all that is wished in one turn of the loop

    def _schedule(self) -> None:
        if not self._is_scheduled and not self._closed:
            self._is_scheduled = True
            self._loop.call_soon(self._ask)

    def _ask(self) -> None:
        self._is_scheduled = False
        by_leader: dict[int, list[Wish]] = {}
        for wish in self._wishes:
            if wish.is_due:
                by_leader.setdefault(self._leader(wish), []).append(wish)
        for leader, wishes in by_leader.items():
            if leader < 0:
                self._put_off(wishes)
                self._mend()
            elif (connection := self._free(leader)) is not None:
                self._ask_for(connection, wishes)

    def _leader(self, wish: Wish) -> int:
        topic = self._cluster.topics.get(wish.partition.topic)
        number = wish.partition.number
        node, until = self._nearby.get(wish.partition, (-1, 0.0))
        if node in self._cluster.nodes and self._loop.time() < until:
            return node
        return -1 if topic is None or number >= topic.size else topic.leaders[number]

    def _free(self, leader: int) -> Connection | None:
        """Return a connection that waits for nothing, or see to it that there is one soon."""
        for number in range(_MOST):
            connection = self._cluster.connected(leader, _purpose(number))
            if connection is None:
                self._open(leader, number)
                return None
            if connection not in self._busy:
                return connection
        return None

    def _ask_for(self, connection: Connection, wishes: Sequence[Wish]) -> None:
        asked: dict[Partition, list[Wish]] = {}
        topics: dict[str, list[FetchPartition]] = {}
        for wish in wishes:
            others = asked.setdefault(wish.partition, [])
            if not others:
                part = FetchPartition(wish.partition.number, _ANY_EPOCH, wish.position, -1, wish.most_bytes)
                topics.setdefault(wish.partition.topic, []).append(part)
            elif wish.position != others[0].position:
                # Of a partition that several read, one place is asked for at a time.
                continue
            others.append(wish)
            wish.is_asked = True
        question = Fetch(
            replica=-1,
            most_wait=_WAIT,
            least_bytes=1,
            most_bytes=_ALL,
            isolation=_COMMITTED,
            session=0,
            session_epoch=-1,
            topics=[FetchTopic(name, parts) for name, parts in topics.items()],
            forgotten=(),
            rack=self._rack,
        )
        self._busy.add(connection)
        answer = connection.ask(FETCH, question, patience=_WAIT / 1000)
        answer.add_done_callback(lambda done: self._answered(connection, asked, done))
        if sum(map(len, asked.values())) < len(wishes):
            self._schedule()

    # -- what the broker answers

    def _answered(self, connection: Connection, asked: dict[Partition, list[Wish]], answer: "Future[Fetched]") -> None:
        self._busy.discard(connection)
        for wish in chain(*asked.values()):
            wish.is_asked = False
            if wish in self._wishes:
                # Behind those that have not been asked for yet, of whom there may be more than connections.
                del self._wishes[wish]
                self._wishes[wish] = None
        if answer.exception() is not None:
            for partition, wishes in asked.items():
                self._nearby.pop(partition, None)
                self._put_off(wish for wish in wishes if wish in self._wishes)
            self._mend()
            return
        for topic in answer.result().topics:
            for each in topic.partitions:
                wishes = [wish for wish in asked.get(Partition(topic.name, each.number), ()) if wish in self._wishes]
                if wishes:
                    self._came(wishes, each)
        self._schedule()

    def _came(self, wishes: Sequence[Wish], came: FetchedPartition) -> None:
        partition = wishes[0].partition
        if came.error != Code.NONE:
            is_nearby = self._nearby.pop(partition, None) is not None
            for wish in wishes:
                self._wrong(wish, BrokerError(Code(came.error)), is_nearby=is_nearby)
            return
        for wish in wishes:
            wish.missed = 0
        if came.records:
            self._granted(wishes, came, came.records)
        elif came.preferred >= 0:
            self._nearby[partition] = came.preferred, self._loop.time() + _NEARBY

    def _granted(self, wishes: Sequence[Wish], came: FetchedPartition, records: memoryview) -> None:
        position = wishes[0].position
        try:
            found = decode(records, position=position, aborted=came.aborted, committed_only=True)
        except Garbled as error:
            for wish in wishes:
                self._failed(wish, error)
            return
        if found.next_offset > position:
            for wish in wishes:
                # Whoever hears of it may take back what another one wants.
                if self._wishes.pop(wish, wish) is None:
                    wish.on_records(found, came)

    def _wrong(self, wish: Wish, error: BrokerError, *, is_nearby: bool) -> None:
        if is_nearby:
            # That one is behind, or follows no more: the leader knows.
            self._put_off([wish])
        elif error.passes or error.code in _NOT_THERE:
            # A new one is not known everywhere at once, and one that was deleted may be made again.
            self._put_off([wish])
            self._mend()
        else:
            self._failed(wish, error)

    def _failed(self, wish: Wish, error: WireError) -> None:
        if self._wishes.pop(wish, wish) is None:
            wish.on_failed(error)

    # -- trouble

    def _put_off(self, wishes: Iterable[Wish]) -> None:
        """Ask for these after a pause; for others nobody waits for that."""
        for wish in wishes:
            wish.missed += 1
            wish.is_aside = True
            self._loop.call_later(pause(min(wish.missed, _MANY)), self._take_up, wish)
            topic = wish.partition.topic
            if wish.missed == _ENOUGH and topic not in self._cluster.topics:
                _log.error("topic %r is not there; it is read as soon as it is", topic)

    def _take_up(self, wish: Wish) -> None:
        wish.is_aside = False
        self._schedule()

    def _open(self, leader: int, number: int) -> None:
        at = leader, number
        if at not in self._opening and not self._closed:
            self._opening[at] = opening = self._loop.create_task(self._opened(leader, number))
            opening.add_done_callback(lambda _: self._opening.pop(at, None))

    async def _opened(self, leader: int, number: int) -> None:
        try:
            await self._cluster.connection(leader, _purpose(number))
        except WireError as error:
            _log.debug("broker %d cannot be read from: %s", leader, error)
            self._put_off([wish for wish in self._wishes if wish.is_due and self._leader(wish) == leader])
            self._nearby = {each: there for each, there in self._nearby.items() if there[0] != leader}
            self._mend()
        else:
            self._schedule()

    def _mend(self) -> None:
        if self._mending is None and not self._closed:
            self._mending = self._loop.create_task(self._mended())

    async def _mended(self) -> None:
        """Find out who leads now; not in a hurry, since others look, too."""
        failures = 1
        try:
            await asyncio.sleep(pause(0))
            while not self._closed:
                try:
                    await self._cluster.refresh(sorted({wish.partition.topic for wish in self._wishes}))
                except WireError:
                    failures += 1
                    await asyncio.sleep(pause(failures))
                else:
                    return
        finally:
            self._mending = None
            self._schedule()


def _purpose(number: int) -> str:
    return f"reading {number}"
