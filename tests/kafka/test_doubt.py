"""A transaction of which the brokers do not say how it ended: nothing that is committed later undoes it."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager

import pytest

from msgkit.errors import DeliveryLost, SendUnknown
from msgkit_kafka.committing import Commits
from msgkit_kafka.membership import Membership
from msgkit_kafka.moves import Move, Moves, Origin
from msgkit_kafka.offsets import Point
from msgkit_kafka.orders import Order
from msgkit_kafka.publisher import Placed
from msgkit_kafka.transacting import Producers
from msgkit_kafka.wire.errors import Code
from msgkit_kafka.wire.positions import OFFSET_FETCH, AskOffsets, Commit
from msgkit_kafka.wire.producers import END_TRANSACTION, Answered, End
from msgkit_kafka.wire.subscriptions import Partition
from tests.kafka.wire_broker import Broker, is_end, serving, standings, unstable

ORIGINALS = Partition("originals", 0)


class Member:
    """One of a group, that does nothing with what it is given, and has one record moved."""

    partition = ORIGINALS

    def __init__(self, broker: Broker) -> None:
        self.cluster = broker.cluster()
        self.membership = Membership(self.cluster, "jobs", [ORIGINALS.topic], self, session=10)
        self.is_ours = True
        self.commits = Commits(self.cluster, self.membership, lambda _: Point(0, ""))
        self.moves = Moves(Producers(self.cluster, "mover"), self.membership, self._owns, self.commits.alone)

    def _owns(self, _: Origin) -> bool:
        return self.is_ours

    def move(self) -> "asyncio.Future[None]":
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def end(error: Exception | None) -> None:
            if error is None:
                ended.set_result(None)
            else:
                ended.set_exception(error)

        self.moves.put(Move(Placed("copies", (None, b"x", [], 0), None), self, 0, end))
        return ended

    # -- the origin

    def is_open(self, _: int, /) -> bool:
        return True

    def point_if_done(self, offsets: Iterable[int], /) -> Point:
        return Point(max(offsets) + 1, "")

    # -- the holder

    async def take(self, partitions: Sequence[Partition], /) -> None: ...
    async def give_up(self, partition: Partition, /) -> None: ...
    def lose(self, partitions: Sequence[Partition], why: str, /) -> None: ...
    def go_on(self, order: Order, /) -> None: ...
    def alarm(self, why: str | None, /) -> None: ...


@asynccontextmanager
async def member() -> AsyncGenerator[tuple[Broker, Member]]:
    """Yield one whose transactions end in a way that nobody knows."""
    async with serving() as broker, asyncio.timeout(15):
        broker.says(END_TRANSACTION, lambda _: Answered(0, Code.INVALID_TXN_STATE))
        member = Member(broker)
        await member.cluster.refresh([ORIGINALS.topic, "copies"])
        await member.membership.open()
        try:
            yield broker, member
        finally:
            await member.moves.finish(0.01)
            await member.membership.close()
            await member.cluster.close()


def is_about(asked: object) -> bool:
    return isinstance(asked, AskOffsets)


def is_commit(asked: object) -> bool:
    return isinstance(asked, Commit)


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    def soon(_: int) -> float:
        return 0.001

    monkeypatch.setattr("msgkit_kafka.doubt.pause", soon)


@pytest.mark.parametrize(("offset", "came_of_it"), [(1, type(None)), (0, SendUnknown), (-1, SendUnknown)])
async def test_it_is_asked_until_it_is_known_and_nothing_else_is_committed_meanwhile(
    offset: int, came_of_it: type[object]
) -> None:
    async with member() as (broker, mover):
        broker.says(OFFSET_FETCH, unstable)
        moved = mover.move()
        await broker.heard(is_about)
        flushing = asyncio.create_task(mover.commits.flush([ORIGINALS]))
        await broker.heard(is_about, 20)
        assert not any(map(is_commit, broker.asked))
        assert not moved.done()
        broker.says(OFFSET_FETCH, lambda asked: standings(asked, offset))
        await asyncio.wait([moved])
        assert isinstance(moved.exception(), came_of_it)
        await flushing
        assert any(map(is_commit, broker.asked))


async def test_whoever_has_lost_the_partition_asks_no_more() -> None:
    async with member() as (broker, mover):
        broker.says(OFFSET_FETCH, unstable)
        moved = mover.move()
        await broker.heard(is_about)
        mover.is_ours = False
        with pytest.raises(DeliveryLost):
            await moved
        await mover.commits.flush([ORIGINALS])
        assert any(map(is_commit, broker.asked))


@pytest.mark.parametrize("is_known", [is_end, is_about], ids=["ending", "asking"])
async def test_whoever_stops_before_it_is_known_leaves_it_to_the_next_one_what_the_group_has_done(
    is_known: Callable[[object], bool],
) -> None:
    may_answer = asyncio.Event()

    async def late(_: End) -> Answered:
        await may_answer.wait()
        return Answered(0, Code.INVALID_TXN_STATE)

    async with member() as (broker, mover):
        broker.says(OFFSET_FETCH, unstable)
        broker.says(END_TRANSACTION, late)
        moved = mover.move()
        if is_known is is_about:
            may_answer.set()
        await broker.heard(is_known)
        finishing = asyncio.create_task(mover.moves.finish(0))
        await asyncio.sleep(0)
        may_answer.set()
        await finishing
        with pytest.raises(DeliveryLost):
            await moved
        await mover.commits.flush([ORIGINALS])
        assert not any(map(is_commit, broker.asked))
