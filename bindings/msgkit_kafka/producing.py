"""Records on their way to their partitions: in order, each once, however often a broker is lost meanwhile.

A partition takes one batch at a time. A batch that the broker may have is sent again under the numbers that it had,
until it is known what became of it: the broker takes no batch a second time.
"""

import asyncio
from asyncio import Future, Task
from collections import deque
from collections.abc import Sequence

from msgkit.spi.partitioning import partition_of
from msgkit.spi.pauses import pause
from msgkit_kafka.lines import Batch, Identity, InDoubt, Line, NoSuchTopic, Stored, Write, fail, give_up, texts
from msgkit_kafka.wire.cluster import Cluster
from msgkit_kafka.wire.connection import Connection
from msgkit_kafka.wire.errors import BrokerError, Code, NotWritten, WireError, checked
from msgkit_kafka.wire.logs import PRODUCE, Produce, Produced, ProducedPartition, ProducePartition, ProduceTopic
from msgkit_kafka.wire.producers import INIT_PRODUCER, InitProducer
from msgkit_kafka.wire.records import Compression, NewRecord, encode, size_of

__all__ = ["PUBLISHING", "Producer"]

#: What its connections are for.
PUBLISHING = "publishing"
#: Bytes of records in one batch: topics that are set to nothing else take a little more.
_BATCH = 900_000
#: Bytes in one question, for all partitions of a broker.
_QUESTION = 8 * 1024 * 1024
#: Milliseconds for the replicas.
_REPLICAS = 10_000
#: So often nobody must know a topic until it is taken for absent: brokers hear of a new one at different times.
_LOOKS = 3
_NUMBERS = 0x8000_0000
#: Where those wait of whose topic it is not known how many partitions it has.
_UNPLACED = -1
#: The broker has none of the batch. Not so who leads no more: others may have it already, and he says what one says who
#: never led.
_NOT_STORED = frozenset(
    {
        Code.LEADER_NOT_AVAILABLE,
        Code.UNKNOWN_TOPIC_OR_PARTITION,
        Code.FENCED_LEADER_EPOCH,
        Code.UNKNOWN_LEADER_EPOCH,
        Code.NOT_ENOUGH_REPLICAS,
        Code.BROKER_NOT_AVAILABLE,
    }
)
#: The broker knows nothing of the batches before.
_FORGOTTEN = frozenset({Code.OUT_OF_ORDER_SEQUENCE_NUMBER, Code.UNKNOWN_PRODUCER_ID, Code.INVALID_PRODUCER_EPOCH})


class Producer:
    """Writes what is given to it as soon as a leader can be reached."""

    def __init__(self, cluster: Cluster, *, compression: Compression = "none", linger: float = 0.0) -> None:
        self._cluster = cluster
        self._linger = linger
        self._compression: Compression = compression
        self._loop = asyncio.get_running_loop()
        self._lines: dict[tuple[str, int], Line] = {}
        self._dirty: dict[Line, None] = {}
        self._troubled: dict[Line, None] = {}
        self._is_scheduled = False
        self._mending: Task[None] | None = None
        self._round = 0
        #: Of the lines that begin next.
        self._identity: Identity | None = None
        self._closed = False

    # -- for those who send

    def write(self, topic: str, record: NewRecord, partition: int | None = None) -> "Future[Stored]":
        """Write a record, behind those that were written before to its partition: the one of its key, if none is said.

        The future fails with `NoSuchTopic`, with `BrokerError` when the broker does not take it, and with `InDoubt`.
        """
        future: Future[Stored] = self._loop.create_future()
        self._put(topic, partition, Write(record, future, size_of(record)))
        return future

    def _put(self, topic: str, partition: int | None, write: Write) -> None:
        if partition is None:
            partition = self._place(topic, write.record[0])
        line = self._lines.get((topic, partition))
        if line is None:
            line = self._lines[topic, partition] = Line(topic, partition)
        line.waiting.append(write)
        self._wake(line)

    def _place(self, topic: str, key: bytes | None) -> int:
        known, unplaced = self._cluster.topics.get(topic), self._lines.get((topic, _UNPLACED))
        if known is None or (unplaced is not None and unplaced.waiting):
            return _UNPLACED
        # What has no key goes to one partition for a while, so that batches are large.
        return self._round % known.size if key is None else partition_of(key, known.size)

    def abandon(self, future: "Future[Stored]") -> bool:
        """Take back what the broker cannot have; tell whether it was taken back."""
        # It is looked for, since that is rare, and keeping count of where each one waits is not.
        for line in self._lines.values():
            for write in line.waiting:
                if write.future is future:
                    line.waiting.remove(write)
                    return True
        return False

    def wake(self) -> None:
        """Try at once what waits for a broker."""
        self._dirty.update(self._troubled)
        self._schedule()

    async def close(self) -> None:
        """Write nothing any more."""
        self._closed = True
        if self._mending is not None:
            self._mending.cancel()
            await asyncio.wait([self._mending])

    # -- writing: once for all that was sent in one turn of the loop

    def _wake(self, line: Line) -> None:
        if not line.is_flying and line not in self._troubled:
            self._dirty[line] = None
            self._schedule()

    def _schedule(self) -> None:
        if not self._is_scheduled and not self._closed:
            self._is_scheduled = True
            if self._linger:
                self._loop.call_later(self._linger, self._flush)
            else:
                self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._is_scheduled = False
        self._round += 1
        for line in [line for line in self._dirty if line.partition == _UNPLACED]:
            self._place_all(line)
        dirty, self._dirty = self._dirty, {}
        asked: dict[Connection, list[Line]] = {}
        for line in dirty:
            if line.is_flying or not self._has_more(line):
                self._troubled.pop(line, None)
            elif (connection := self._connection(line)) is None or connection.is_full:
                self._trouble(line)
            else:
                asked.setdefault(connection, []).append(line)
        for connection, lines in asked.items():
            self._ask(connection, lines)

    def _place_all(self, line: Line) -> None:
        """Tell to which partitions those go that came before the topic was known."""
        if line.topic in self._cluster.topics:
            waiting, line.waiting = line.waiting, deque()
            for write in waiting:
                self._put(line.topic, None, write)

    def _has_more(self, line: Line) -> bool:
        if line.batch is not None and not line.batch.is_wanted:
            # Nobody waits for it any more. What comes next must not seem to follow it.
            self._begin_anew(line)
        while line.batch is None and line.waiting and line.waiting[0].future.done():
            line.waiting.popleft()
        return line.batch is not None or bool(line.waiting)

    def _leader(self, line: Line) -> int:
        topic = self._cluster.topics.get(line.topic)
        return -1 if topic is None or not 0 <= line.partition < topic.size else topic.leaders[line.partition]

    def _connection(self, line: Line) -> Connection | None:
        if line.identity is None:
            line.identity, line.sequence = self._identity, 0
        return self._cluster.connected(self._leader(line), PUBLISHING) if line.identity is not None else None

    def _ask(self, connection: Connection, lines: Sequence[Line]) -> None:
        asked: list[Line] = []
        topics: dict[str, list[ProducePartition]] = {}
        size = 0
        for line in lines:
            if size > _QUESTION:
                self._trouble(line)
                continue
            batch = line.batch = line.batch or self._next_batch(line)
            size += len(batch.data)
            topics.setdefault(line.topic, []).append(ProducePartition(line.partition, batch.data))
            line.is_flying = True
            self._troubled.pop(line, None)
            asked.append(line)
        question = Produce(None, -1, _REPLICAS, [ProduceTopic(name, each) for name, each in topics.items()])
        answer = connection.ask(PRODUCE, question, patience=_REPLICAS / 1000)
        answer.add_done_callback(lambda done: self._answered(asked, done))

    def _next_batch(self, line: Line) -> Batch:
        waiting, size = line.waiting, 0
        writes: list[Write] = []
        most = 1 if line.alone else len(waiting)
        while waiting and len(writes) < most and (not writes or size + waiting[0].size <= _BATCH):
            write = waiting.popleft()
            if not write.future.done():
                size += write.size
                writes.append(write)
        line.alone = max(0, line.alone - 1)
        assert line.identity is not None  # noqa: S101 -- no line without one gets here
        number, epoch = line.identity
        data = encode(
            [write.record for write in writes],
            producer=number,
            epoch=epoch,
            sequence=line.sequence,
            compression=self._compression,
        )
        return Batch(writes, data)

    # -- what the broker answers

    def _answered(self, asked: Sequence[Line], answer: "Future[Produced]") -> None:
        error = answer.exception()
        outcomes: dict[tuple[str, int], ProducedPartition] = {}
        if error is None:
            for topic in answer.result().topics:
                outcomes.update(((topic.name, each.number), each) for each in topic.partitions)
        for line in asked:
            line.is_flying = False
            batch, outcome = line.batch, outcomes.get((line.topic, line.partition))
            assert batch is not None  # noqa: S101 -- it is what was asked about
            if outcome is not None:
                self._ended(line, batch, outcome)
            else:
                if isinstance(error, NotWritten):
                    self._dissolve(line, batch)
                else:
                    batch.in_doubt = True
                self._trouble(line)

    def _ended(self, line: Line, batch: Batch, outcome: ProducedPartition) -> None:
        code = Code(outcome.error)
        if code in (Code.NONE, Code.DUPLICATE_SEQUENCE_NUMBER):
            self._stored(line, batch, outcome)
        elif code in _NOT_STORED:
            self._dissolve(line, batch)
            self._trouble(line)
        elif code in _FORGOTTEN:
            self._begin_anew(line)
        elif BrokerError(code).passes:
            batch.in_doubt = True
            self._trouble(line)
        else:
            self._refused(line, batch, BrokerError(code, outcome.text or "; ".join(texts(outcome))))
        self._wake(line)

    def _stored(self, line: Line, batch: Batch, outcome: ProducedPartition) -> None:
        line.batch, line.missed = None, 0
        line.sequence = (line.sequence + len(batch.writes)) % _NUMBERS
        appended = outcome.appended / 1000 if outcome.appended >= 0 else -1.0
        first = outcome.offset if outcome.error == Code.NONE else -1
        for at, write in enumerate(batch.writes):
            if not write.future.done():
                write.future.set_result(Stored(line.topic, line.partition, first + at if first >= 0 else -1, appended))

    def _dissolve(self, line: Line, batch: Batch) -> None:
        """Take a batch apart that the broker does not have."""
        if not batch.in_doubt:
            line.batch = None
            line.waiting.extendleft(reversed(batch.writes))

    def _begin_anew(self, line: Line) -> None:
        """Number what comes next as if it came from somebody else."""
        batch, line.batch = line.batch, None
        if self._identity == line.identity:
            self._identity = None
        line.identity, line.sequence = None, 0
        if batch is not None and batch.in_doubt:
            fail(batch.writes, InDoubt("the broker forgot what it was sent before"))
        elif batch is not None:
            line.waiting.extendleft(reversed(batch.writes))

    def _refused(self, line: Line, batch: Batch, error: BrokerError) -> None:
        if batch.in_doubt:
            # It may have been stored the first time, and then it is not the broker who would say so now.
            self._begin_anew(line)
            return
        line.batch = None
        if len(batch.writes) == 1:
            fail(batch.writes, error)
        else:
            # One of them is wrong; the others are not to suffer for it.
            line.alone = len(batch.writes)
            line.waiting.extendleft(reversed(batch.writes))

    # -- trouble: no leader, no connection, no room, no number

    def _trouble(self, line: Line) -> None:
        self._troubled[line] = None
        if self._mending is None and not self._closed:
            self._mending = self._loop.create_task(self._mend())

    async def _mend(self) -> None:
        failures = 0
        try:
            while self._troubled:
                try:
                    await self._make_ready()
                except WireError as error:
                    failures += 1
                    if isinstance(error, BrokerError) and error.code is Code.CLUSTER_AUTHORIZATION_FAILED:
                        give_up(self._troubled, error)
                        self.wake()
                else:
                    self.wake()
                    await asyncio.sleep(0)
                    failures = failures + 1 if self._troubled else 0
                if failures:
                    await asyncio.sleep(pause(failures))
        finally:
            self._mending = None

    async def _make_ready(self) -> None:
        """Find leaders and connect to them, as far as that can be done now."""
        cluster = self._cluster
        await cluster.refresh(sorted({line.topic for line in self._troubled}))
        if self._identity is None:
            found = await cluster.ask_any(INIT_PRODUCER, InitProducer(None, 60_000))
            checked(found.error)
            self._identity = Identity(found.number, found.epoch)
        leaders = {self._leader(line) for line in self._troubled} - {-1}
        made = (cluster.connection(leader, PUBLISHING) for leader in leaders)
        for connection in await asyncio.gather(*made, return_exceptions=True):
            if isinstance(connection, Connection):
                await connection.room()
        for line in tuple(self._troubled):
            topic = cluster.topics.get(line.topic)
            if topic is None or line.partition >= topic.size:
                line.missed += 1
                if line.missed >= _LOOKS:
                    self._not_there(line)

    def _not_there(self, line: Line) -> None:
        line.missed = 0
        waiting, line.waiting = line.waiting, deque()
        if line.batch is not None:
            self._begin_anew(line)
            waiting.extendleft(reversed(line.waiting))
            line.waiting.clear()
        fail(waiting, NoSuchTopic(line.topic))
