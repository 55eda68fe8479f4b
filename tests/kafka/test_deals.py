"""A user's transaction of which the brokers do not say how it ended: it and the delivery it answers stay together."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import pytest

from msgkit.errors import DeliveryLost, SendRefused, SendUnknown
from msgkit.settlement import ACCEPT
from msgkit.spi import Dead, QueueSpec, RawDelivery, Transactional
from msgkit_kafka.wire.errors import Code
from msgkit_kafka.wire.groups import Leave
from msgkit_kafka.wire.positions import OFFSET_FETCH, AskOffsets, Commit
from msgkit_kafka.wire.producers import END_TRANSACTION, Answered, End
from tests.bench import Bench, Taker, message
from tests.kafka.wire_broker import Broker, is_end, serving, standings, unstable

QUEUE = QueueSpec(name="jobs")


class Scene:
    """Two messages in hand, a consumer, and a broker that does not say how transactions end."""

    def __init__(self, broker: Broker, bench: Bench, taker: Taker, deliveries: list[RawDelivery]) -> None:
        self.broker = broker
        self.bench = bench
        self.taker = taker
        self.first, self.second = deliveries
        self._before = len(broker.asked)

    async def answer_first(self) -> None:
        """Answer the first message in a transaction."""
        assert isinstance(self.bench.binding, Transactional)
        transaction = await self.bench.binding.begin()
        await transaction.send(message("answer", "answers"))
        await transaction.commit([(self.taker.consumer, self.first)])

    async def accept_second(self) -> None:
        """Accept it, and return when it would have been committed for long."""
        await self.taker.settle(self.second, ACCEPT)
        await self.broker.heard(is_about, sum(map(is_about, self.broker.asked)) + 20)

    @property
    def committed(self) -> list[int]:
        """How far the group has come, each time that it was told."""
        commits = [each for each in self.broker.asked[self._before :] if isinstance(each, Commit)]
        return [topic.partitions[0].offset for commit in commits for topic in commit.topics if topic.name == QUEUE.name]

    async def comes_to(self, offset: int) -> None:
        await self.broker.heard(lambda _: self.committed[-1:] == [offset])


@asynccontextmanager
async def scene() -> AsyncGenerator[Scene]:
    async with serving() as broker, asyncio.timeout(20), Bench.open(f"kafka://127.0.0.1:{broker.port}") as bench:
        broker.holds(QUEUE.name, (None, b"first", [], 0), (None, b"second", [], 0))
        taker = await bench.consume(QUEUE)
        deliveries = await taker.take_all(2)
        broker.says(END_TRANSACTION, lambda _: Answered(0, Code.INVALID_TXN_STATE))
        broker.says(OFFSET_FETCH, unstable)
        yield Scene(broker, bench, taker, deliveries)


def is_about(asked: object) -> bool:
    return isinstance(asked, AskOffsets) and asked.group == QUEUE.name


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    def soon(_: int) -> float:
        return 0.001

    monkeypatch.setattr("msgkit_kafka.doubt.pause", soon)
    monkeypatch.setattr("msgkit_kafka.committing._SOON", 0.001)


async def test_it_is_asked_until_it_is_known_and_what_was_committed_is_not_undone() -> None:
    async with scene() as it:
        answering = asyncio.create_task(it.answer_first())
        await it.broker.heard(is_end)
        await it.accept_second()
        assert not it.committed
        it.broker.says(OFFSET_FETCH, lambda asked: standings(asked, 1))
        await answering
        await it.comes_to(2)
        assert it.committed == [2]


@pytest.mark.parametrize("offset", [-1, 0])
async def test_what_the_brokers_took_back_is_refused_and_its_message_can_be_answered_again(offset: int) -> None:
    async with scene() as it:
        answering = asyncio.create_task(it.answer_first())
        await it.broker.heard(is_end)
        await it.accept_second()
        it.broker.says(OFFSET_FETCH, lambda asked: standings(asked, offset))
        with pytest.raises(SendRefused):
            await answering
        await it.comes_to(0)
        it.broker.says(END_TRANSACTION, lambda _: Answered(0, 0))
        await it.answer_first()
        with pytest.raises(DeliveryLost):
            await it.taker.settle(it.first, ACCEPT)
        await it.comes_to(2)


@pytest.mark.parametrize("is_known", [is_end, is_about], ids=["ending", "asking"])
async def test_it_is_found_out_when_nobody_waits_for_it_any_longer(is_known: Callable[[object], bool]) -> None:
    may_answer = asyncio.Event()

    async def late(_: End) -> Answered:
        await may_answer.wait()
        return Answered(0, Code.INVALID_TXN_STATE)

    async with scene() as it:
        it.broker.says(END_TRANSACTION, late)
        if is_known is is_about:
            may_answer.set()
        before = sum(map(is_known, it.broker.asked))
        answering = asyncio.create_task(it.answer_first())
        await it.broker.heard(is_known, before + 1)
        answering.cancel()
        may_answer.set()
        with pytest.raises(asyncio.CancelledError):
            await answering
        await it.accept_second()
        assert not it.committed
        it.broker.says(OFFSET_FETCH, lambda asked: standings(asked, 1))
        await it.comes_to(2)
        assert it.committed == [2]
        with pytest.raises(DeliveryLost):
            await it.taker.settle(it.first, ACCEPT)


async def test_nobody_knows_what_became_of_it_when_its_message_is_another_s_by_now() -> None:
    async with scene() as it:
        answering = asyncio.create_task(it.answer_first())
        await it.broker.heard(is_end)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("msgkit_kafka.consumer._PATIENCE", 0.01)
            await it.taker.consumer.close()
        with pytest.raises(SendUnknown):
            await answering
        assert not it.committed


async def test_whoever_closes_in_doubt_of_a_copy_leaves_it_to_the_next_one_what_the_group_has_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("msgkit_kafka.consumer._PATIENCE", 0.01)
    async with scene() as it:
        settled = it.taker.consumer.settle(it.first, Dead(message("first", "graves")))
        assert settled is not None
        await it.broker.heard(is_end)
        await it.accept_second()
        await it.taker.consumer.close()
        with pytest.raises(DeliveryLost):
            await settled
        assert any(isinstance(asked, Leave) and asked.group == QUEUE.name for asked in it.broker.asked)
        assert not it.committed
