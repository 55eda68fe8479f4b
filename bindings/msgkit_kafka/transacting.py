"""One producer of transactions: what is to be seen together is written, and only then said to be whole."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import Protocol, TypeVar

from msgkit.errors import MessagingError, SendRefused, SendUnknown
from msgkit.spi.partitioning import partition_of
from msgkit_kafka.enduring import to_the_end
from msgkit_kafka.lines import Identity
from msgkit_kafka.membership import Membership
from msgkit_kafka.offsets import Point
from msgkit_kafka.publisher import Placed
from msgkit_kafka.wire.cluster import Cluster
from msgkit_kafka.wire.errors import BrokerError, Code, ConnectionLost, NotWritten, TopicError, WireError, checked
from msgkit_kafka.wire.groups import TRANSACTION
from msgkit_kafka.wire.logs import PRODUCE, Produce, ProducePartition, ProduceTopic
from msgkit_kafka.wire.producers import (
    ADD_OFFSETS,
    ADD_PARTITIONS,
    END_TRANSACTION,
    INIT_PRODUCER,
    TRANSACTION_COMMIT,
    AddOffsets,
    AddPartitions,
    AddTopic,
    End,
    InitProducer,
    OffsetPartition,
    OffsetTopic,
    TransactionCommit,
)
from msgkit_kafka.wire.records import NewRecord, encode, size_of
from msgkit_kafka.wire.subscriptions import Partition

__all__ = ["Producers", "Settler", "Transacting"]

T = TypeVar("T")

_PURPOSE = "transactions"
#: Milliseconds after which the brokers take back what was not said to be whole; and for the replicas.
_OPEN, _REPLICAS = 10_000, 5_000
#: Seconds in which what passes by itself is tried again; and to take something back.
_PATIENCE, _TO_TAKE_BACK = 20.0, 5.0
#: Seconds before something is tried again, at first and at most.
_SOON, _LATER = 0.01, 0.5
_BATCH = 900_000
_ANY_EPOCH = -1
#: The group is about to have another generation; who is still in it then may say so again.
_BETWEEN = frozenset({Code.ILLEGAL_GENERATION, Code.REBALANCE_IN_PROGRESS, Code.UNKNOWN_MEMBER_ID})


class Settler(Protocol):
    """Deliveries of a consumer that end with a transaction."""

    @property
    def membership(self) -> Membership: ...
    def points(self) -> Mapping[Partition, Point]:
        """Return what is to be committed when they are done.

        :raises DeliveryLost: when one of them is another's
        """
        ...


class Producers:
    """Those of one client: each is lent to one user at a time."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self._cluster = cluster
        self._name = name
        self._free: list[Transacting] = []
        self._made = 0

    async def warm(self) -> None:
        """Have one that is ready.

        :raises WireError: when the brokers cannot be reached, or do not permit it
        """
        with self.one() as producer:
            await producer.ready()

    @contextmanager
    def one(self) -> Generator["Transacting"]:
        if not self._free:
            self._made += 1
            self._free.append(Transacting(self._cluster, f"{self._name}-{self._made}"))
        producer = self._free.pop()
        try:
            yield producer
        finally:
            self._free.append(producer)


class Transacting:
    """A producer that has one transaction at a time."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self._cluster = cluster
        self._name = name
        self._loop = asyncio.get_running_loop()
        self._identity: Identity | None = None
        self._sequences: dict[Partition, int] = {}
        self._coordinator: int | None = None
        self._turns = count()

    async def commit(self, placed: Sequence[Placed], settled: Sequence[Settler], seen: Callable[[], None]) -> None:
        """Write all of it, and have it be seen; `seen` hears of that. Once it may be, who is cancelled waits for it.

        When it returns, in whatever way, nothing of it is under way: another transaction may begin.

        :raises DeliveryLost: when a delivery is another's by now; then nothing is seen
        :raises SendRefused: when nothing is seen
        :raises SendUnknown: when the brokers do not say
        """
        try:
            await self._write(placed, settled)
        except BaseException as error:
            await to_the_end(self._take_back())
            if isinstance(error, Exception) and not isinstance(error, MessagingError):
                raise SendRefused(f"the transaction was taken back: {str(error) or repr(error)}") from error
            raise
        await to_the_end(self._make_seen(seen))

    async def _make_seen(self, seen: Callable[[], None]) -> None:
        try:
            await self._again(lambda: self._end(is_commit=True))
        except BaseException as error:
            # Whoever begins anew under the same name ends what is still open.
            self._identity = None
            if isinstance(error, Exception):
                raise SendUnknown(f"the transaction may be committed: {str(error) or repr(error)}") from error
            raise
        seen()

    async def ready(self) -> None:
        """Have it be known to the brokers: the first of all takes a while.

        :raises WireError: when they cannot be reached, or do not permit it
        """
        if self._identity is None:
            self._identity = await self._again(self._begin)
            self._sequences.clear()

    async def missing(self, topics: Collection[str]) -> Collection[str]:
        """Return those of these topics that do not exist.

        :raises SendRefused: when that cannot be found out now
        """
        known = self._cluster.topics
        unknown = sorted(topic for topic in topics if topic not in known)
        if unknown:
            try:
                found = await self._again(lambda: self._cluster.refresh(unknown))
                for each in found.topics:
                    if each.error == Code.TOPIC_AUTHORIZATION_FAILED:
                        raise TopicError(Code.TOPIC_AUTHORIZATION_FAILED, each.name)
            except WireError as error:
                raise SendRefused(f"it is not known whether there are topics {unknown}: {error}") from error
        return [topic for topic in unknown if topic not in known]

    # -- the steps

    async def _write(self, placed: Sequence[Placed], settled: Sequence[Settler]) -> None:
        async with asyncio.timeout(_PATIENCE):
            for each in settled:
                # What is open meanwhile holds up all who read there.
                await each.membership.begun()
        await self.ready()
        records = self._by_partition(placed)
        if records:
            await self._again(lambda: self._add(records))
        while records:
            await self._again(lambda: self._produce(records))
        for each in settled:
            await self._again(partial(self._add_offsets, each.membership.group))
            await self._again(partial(self._settle, each))

    async def _begin(self) -> Identity:
        begun = await self._cluster.ask(
            await self._coordinated(), INIT_PRODUCER, InitProducer(self._name, _OPEN), purpose=_PURPOSE
        )
        checked(begun.error)
        return Identity(begun.number, begun.epoch)

    def _by_partition(self, placed: Sequence[Placed]) -> dict[Partition, list[NewRecord]]:
        turn, records = next(self._turns), dict[Partition, list[NewRecord]]()
        for topic, record, said in placed:
            if (known := self._cluster.topics.get(topic)) is None:
                raise NotWritten(f"topic {topic!r} is not there any more")
            size = known.size
            by_key = turn % size if record[0] is None else partition_of(record[0], size)
            records.setdefault(Partition(topic, by_key if said is None else said), []).append(record)
        return records

    async def _add(self, partitions: Mapping[Partition, object]) -> None:
        topics: dict[str, list[int]] = {}
        for each in sorted(partitions):
            topics.setdefault(each.topic, []).append(each.number)
        number, epoch = self._known()
        question = AddPartitions(self._name, number, epoch, [AddTopic(*each) for each in topics.items()])
        added = await self._cluster.ask(await self._coordinated(), ADD_PARTITIONS, question, purpose=_PURPOSE)
        wrong = [(topic.name, part) for topic in added.topics for part in topic.partitions if part.error]
        # All that is asked at once fails with the first that does: that one is the reason.
        for name, part in sorted(wrong, key=lambda each: each[1].error == Code.OPERATION_NOT_ATTEMPTED):
            raise TopicError(Code(part.error), name, f"{name}/{part.number}")

    async def _produce(self, records: dict[Partition, list[NewRecord]]) -> None:
        """Write a batch to each partition, and take away what is written."""
        number, epoch = self._known()
        asked: dict[int, dict[Partition, tuple[int, bytes]]] = {}
        for each, left in records.items():
            first = _first_batch(left)
            sequence = self._sequences.get(each, 0)
            data = encode(left[:first], producer=number, epoch=epoch, sequence=sequence, transactional=True)
            asked.setdefault(self._leader(each), {})[each] = first, data
        outcomes = await asyncio.gather(
            *(self._produced(leader, batches, records) for leader, batches in asked.items()), return_exceptions=True
        )
        for outcome in outcomes:
            if outcome is not None:
                raise outcome

    async def _produced(
        self, leader: int, batches: Mapping[Partition, tuple[int, bytes]], records: dict[Partition, list[NewRecord]]
    ) -> None:
        topics: dict[str, list[ProducePartition]] = {}
        for each, (_, data) in batches.items():
            topics.setdefault(each.topic, []).append(ProducePartition(each.number, data))
        question = Produce(self._name, -1, _REPLICAS, [ProduceTopic(name, parts) for name, parts in topics.items()])
        answer = await self._cluster.ask(leader, PRODUCE, question, purpose=_PURPOSE, patience=_REPLICAS / 1000)
        wrong: BrokerError | None = None
        for topic in answer.topics:
            for outcome in topic.partitions:
                each = Partition(topic.name, outcome.number)
                if outcome.error not in (Code.NONE, Code.DUPLICATE_SEQUENCE_NUMBER):
                    text = outcome.text or f"{topic.name}/{outcome.number}"
                    wrong = TopicError(Code(outcome.error), topic.name, text)
                    continue
                first, _ = batches[each]
                self._sequences[each] = self._sequences.get(each, 0) + first
                del records[each][:first]
                if not records[each]:
                    del records[each]
        if wrong is not None:
            raise wrong

    async def _add_offsets(self, group: str) -> None:
        question = AddOffsets(self._name, *self._known(), group)
        added = await self._cluster.ask(await self._coordinated(), ADD_OFFSETS, question, purpose=_PURPOSE)
        checked(added.error)

    async def _settle(self, settled: Settler) -> None:
        membership = settled.membership
        await membership.begun()
        topics: dict[str, list[OffsetPartition]] = {}
        for each, point in settled.points().items():
            part = OffsetPartition(each.number, point.offset, _ANY_EPOCH, point.metadata)
            topics.setdefault(each.topic, []).append(part)
        question = TransactionCommit(
            self._name,
            membership.group,
            *self._known(),
            membership.generation,
            membership.member,
            membership.instance,
            [OffsetTopic(name, parts) for name, parts in topics.items()],
        )
        coordinator = await membership.coordinator()
        answer = await self._cluster.ask(coordinator, TRANSACTION_COMMIT, question, purpose=_PURPOSE)
        for topic in answer.topics:
            for added in topic.partitions:
                if added.error:
                    membership.refused(Code(added.error))
                checked(added.error, f"{topic.name}/{added.number}")

    async def _end(self, *, is_commit: bool) -> None:
        question = End(self._name, *self._known(), is_commit)
        ended = await self._cluster.ask(await self._coordinated(), END_TRANSACTION, question, purpose=_PURPOSE)
        checked(ended.error)

    async def _take_back(self) -> None:
        """Have the brokers forget it at once; else they do so by themselves, or when we begin anew."""
        if self._identity is None:
            return
        try:
            async with asyncio.timeout(_TO_TAKE_BACK):
                await self._end(is_commit=False)
        except (WireError, TimeoutError):
            pass
        finally:
            # What was written of it has numbers that nobody counts any more.
            self._identity = None

    # -- helpers

    def _known(self) -> Identity:
        assert self._identity is not None  # noqa: S101 -- it is begun first
        return self._identity

    async def _coordinated(self) -> int:
        if self._coordinator is None:
            self._coordinator = await self._cluster.coordinator(self._name, TRANSACTION)
        return self._coordinator

    def _leader(self, partition: Partition) -> int:
        topic = self._cluster.topics.get(partition.topic)
        leader = -1 if topic is None or partition.number >= topic.size else topic.leaders[partition.number]
        if leader < 0:
            raise NotWritten(f"nobody leads {partition.topic}/{partition.number} at the moment")
        return leader

    async def _again(self, step: Callable[[], Awaitable[T]]) -> T:
        """Do it, and do it again while what keeps it from being done passes."""
        failures, deadline = 0, self._loop.time() + _PATIENCE
        while True:
            try:
                return await step()
            except (ConnectionLost, BrokerError) as error:
                passes = isinstance(error, ConnectionLost) or error.passes or error.code in _BETWEEN
                if not passes or self._cluster.is_closed or self._loop.time() > deadline:
                    raise
                if not isinstance(error, BrokerError) or error.code is not Code.CONCURRENT_TRANSACTIONS:
                    await self._look_anew()
            failures += 1
            await asyncio.sleep(min(_SOON * 2 ** min(failures, 10), _LATER))

    async def _look_anew(self) -> None:
        self._coordinator = None
        try:
            await self._cluster.refresh(sorted(self._cluster.topics))
        except WireError:
            return


def _first_batch(records: Sequence[NewRecord]) -> int:
    """Return how many go in one piece."""
    size = 0
    for number, record in enumerate(records):
        size += size_of(record)
        if size > _BATCH and number:
            return number
    return len(records)
