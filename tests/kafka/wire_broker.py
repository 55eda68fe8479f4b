"""A broker that is a script: it has what is asked for, keeps nothing, and says otherwise where a test has it so."""

import asyncio
from asyncio import IncompleteReadError, StreamReader, StreamWriter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from inspect import isawaitable
from itertools import count
from struct import pack, unpack
from typing import Any, TypeVar

from msgkit_kafka.wire import groups, logs, positions, producers, topics
from msgkit_kafka.wire.api import Api
from msgkit_kafka.wire.cluster import Cluster
from msgkit_kafka.wire.connection import Door
from msgkit_kafka.wire.errors import Code
from msgkit_kafka.wire.fields import NULLABLE_STRING, Reader
from msgkit_kafka.wire.records import NewRecord, encode
from msgkit_kafka.wire.versions import NEEDED
from tests.serving import served
from tests.waiting import until

__all__ = ["Broker", "ends", "is_end", "serving", "standings", "state", "unstable"]

Q = TypeVar("Q", bound=tuple[Any, ...])
A = TypeVar("A", bound=tuple[Any, ...])
_NODE = 1
_KNOWN = {api.key: api for api in NEEDED}


class Broker:
    """What it was asked, and what it answers. In each group is whoever joined it last, alone."""

    def __init__(self) -> None:
        self.port = 0
        #: All that it was asked, in order.
        self.asked: list[tuple[Any, ...]] = []
        self._numbers = count(1)
        answers: Mapping[Api[Any, Any], Callable[[Any], object]] = {
            topics.METADATA: self._metadata,
            groups.FIND_COORDINATOR: lambda _: groups.Coordinator(0, 0, None, _NODE, "127.0.0.1", self.port),
            groups.DESCRIBE_GROUPS: lambda asked: state(asked, "Empty", []),
            groups.JOIN_GROUP: self._joined,
            groups.SYNC_GROUP: lambda sync: groups.Synced(0, 0, sync.assignments[0].assignment),
            groups.HEARTBEAT: lambda _: groups.Answered(0, 0),
            groups.LEAVE_GROUP: lambda _: groups.AllLeft(0, 0, []),
            positions.OFFSET_COMMIT: lambda asked: positions.Committed(0, _said(asked, positions.CommitOf, _taken)),
            positions.OFFSET_FETCH: lambda asked: standings(asked, -1),
            logs.LIST_OFFSETS: lambda asked: ends(asked, 0),
            logs.FETCH: _nothing_yet,
            logs.PRODUCE: lambda asked: logs.Produced(_said(asked, logs.ProducedTopic, _stored), 0),
            producers.INIT_PRODUCER: lambda _: producers.Producer(0, 0, 1, 0),
            producers.ADD_PARTITIONS: lambda asked: producers.AllAdded(0, _added(asked)),
            producers.ADD_OFFSETS: lambda _: producers.Answered(0, 0),
            producers.TRANSACTION_COMMIT: lambda asked: producers.AllAdded(0, _added(asked)),
            producers.END_TRANSACTION: lambda _: producers.Answered(0, 0),
        }
        self._answers: dict[int, Callable[[Any], object]] = {api.key: answer for api, answer in answers.items()}

    def says(self, api: Api[Q, A], answer: Callable[[Q], A | Awaitable[A]]) -> None:
        """Have it answer so from now on."""
        self._answers[api.key] = answer

    def answer_to(self, api: Api[Any, Any]) -> Callable[[Any], Any]:
        """Return what it answers now."""
        return self._answers[api.key]

    def holds(self, topic: str, *given: NewRecord) -> None:
        """Have these lie in a topic, from its beginning on."""
        fetch, data = self.answer_to(logs.FETCH), bytes(encode(given, producer=-1, epoch=-1, sequence=-1))

        async def answer(asked: logs.Fetch) -> logs.Fetched:
            if not any(each.name == topic and each.partitions[0].offset == 0 for each in asked.topics):
                others: logs.Fetched = await fetch(asked)
                return others
            part = logs.FetchedPartition(0, 0, len(given), len(given), 0, [], -1, memoryview(data))
            return logs.Fetched(0, 0, 0, [logs.FetchedTopic(topic, [part])])

        self.says(logs.FETCH, answer)

    async def heard(self, is_meant: Callable[[Any], bool], times: int = 1) -> None:
        """Return when it was asked so."""

        async def is_so() -> bool:
            return sum(map(is_meant, self.asked)) >= times

        await until(is_so)

    def cluster(self) -> Cluster:
        return Cluster(Door(client="test", timeout=5.0), [("127.0.0.1", self.port)])

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Answer whoever comes, one question after the other."""
        try:
            while True:
                (size,) = unpack(">i", await reader.readexactly(4))
                key, version, number, *_ = unpack(">hhi", (data := await reader.readexactly(size))[:8])
                writer.write(await self._answer(key, version, number, data[8:]))
        except (IncompleteReadError, ConnectionError):
            writer.close()

    async def _answer(self, key: int, version: int, number: int, data: bytes) -> bytes:
        out = bytearray(pack(">i", number))
        if (api := _KNOWN.get(key)) is None:
            # It asks what is known here.
            out += pack(">hi", 0, len(NEEDED))
            out += b"".join(pack(">hhh", each.key, 0, each.version) for each in NEEDED)
        else:
            assert version == api.version
            reader = Reader(data)
            NULLABLE_STRING.read(reader)
            if api.flexible:
                reader.skip_tags()
                out.append(0)
            question = api.question.read(reader)
            self.asked.append(question)
            answer = self._answers[key](question)
            api.answer.write(out, await answer if isawaitable(answer) else answer)
        return pack(">i", len(out)) + out

    def _metadata(self, asked: topics.AskMetadata) -> topics.Metadata:
        part = topics.PartitionState(0, 0, _NODE, 0, [_NODE], [_NODE], [])
        found = [topics.TopicState(0, name, False, [part]) for name in asked.topics or ()]  # noqa: FBT003 -- the wire's shape
        return topics.Metadata(0, [topics.Node(_NODE, "127.0.0.1", self.port, None)], "scripted", _NODE, found)

    def _joined(self, join: groups.Join) -> groups.Joined:
        name = join.member or f"member {next(self._numbers)}"
        protocol = join.protocols[0]
        members = [groups.Member(name, join.instance, protocol.metadata)]
        return groups.Joined(0, 0, next(self._numbers), protocol.name, name, name, members)


def state(asked: groups.DescribeGroups, name: str, members: Sequence[groups.MemberState]) -> groups.GroupStates:
    """Return who is in a group, and how it is."""
    return groups.GroupStates(0, [groups.GroupState(0, asked.groups[0], name, "consumer", "", members, 0)])


# -- what is said of each partition that it is asked of


def standings(asked: positions.AskOffsets, offset: int, *, error: Code = Code.NONE) -> positions.OffsetsOf:
    """Return the same of all: how far the group has come."""
    found = [
        positions.CommittedTopic(
            name, [positions.CommittedPartition(number, offset, -1, None, error) for number in numbers]
        )
        for name, numbers in asked.topics
    ]
    return positions.OffsetsOf(0, found, 0)


def unstable(asked: positions.AskOffsets) -> positions.OffsetsOf:
    """Return that a transaction may change all of them."""
    return standings(asked, -1, error=Code.UNSTABLE_OFFSET_COMMIT)


def is_end(asked: object) -> bool:
    """Tell whether a transaction is to be committed."""
    return isinstance(asked, producers.End) and asked.is_commit


def ends(asked: logs.ListOffsets, offset: int) -> logs.AllSought:
    """Return the same of all: where it begins, and where it ends."""
    return logs.AllSought(
        0,
        [
            logs.SoughtTopic(topic.name, [logs.Sought(each.number, 0, -1, offset, -1) for each in topic.partitions])
            for topic in asked.topics
        ],
    )


async def _nothing_yet(asked: logs.Fetch) -> logs.Fetched:
    await asyncio.sleep(asked.most_wait / 1000)
    return logs.Fetched(0, 0, 0, [])


def _said(asked: Any, topic: Callable[[str, Sequence[Any]], Any], of_each: Callable[[int], Any]) -> Sequence[Any]:
    return [topic(each.name, [of_each(part.number) for part in each.partitions]) for each in asked.topics]


def _taken(number: int) -> positions.CommitResult:
    return positions.CommitResult(number, 0)


def _stored(number: int) -> logs.ProducedPartition:
    return logs.ProducedPartition(number, 0, 0, 0, 0, [], None)


def _added(asked: producers.AddPartitions | producers.TransactionCommit) -> Sequence[producers.AddedTopic]:
    return [producers.AddedTopic(name, [_well(each) for each in partitions]) for name, partitions in asked.topics]


def _well(each: int | producers.OffsetPartition) -> producers.Added:
    return producers.Added(each if isinstance(each, int) else each.number, 0)


@asynccontextmanager
async def serving() -> AsyncGenerator[Broker]:
    """Serve one on this machine."""
    broker = Broker()
    async with served(broker.serve) as broker.port:
        yield broker
