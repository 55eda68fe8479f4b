"""Records that take the place of others: whatever goes wrong, who waits hears of it, and the next ones go on."""

import asyncio
from asyncio import Future
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import cast

import pytest

from msgkit.clock import SystemClock
from msgkit.dead_letters import dead_copy
from msgkit.envelope import Kind, new_id
from msgkit.errors import DeliveryLost, SendRefused, SendUnknown, Unroutable
from msgkit.policy import GiveUp
from msgkit.spi import Dead, QueueSpec, RawDelivery
from msgkit.testing.brokers import Kafka
from msgkit_kafka.consumer import KafkaConsumer
from msgkit_kafka.copies import Copies
from msgkit_kafka.groups import Groups
from msgkit_kafka.mapping import Source, understood
from msgkit_kafka.moves import Move, Moves, Origin
from msgkit_kafka.offsets import Point
from msgkit_kafka.part import Handle, Part
from msgkit_kafka.producing import Producer
from msgkit_kafka.progress import Progress
from msgkit_kafka.publisher import Placed, Publisher
from msgkit_kafka.transacting import Producers
from msgkit_kafka.wire import records
from msgkit_kafka.wire.cluster import Cluster
from msgkit_kafka.wire.logs import LATEST
from msgkit_kafka.wire.subscriptions import Partition
from tests.bench import Bench
from tests.kafka.slow import Slow
from tests.waiting import until

pytestmark = [pytest.mark.broker, pytest.mark.xdist_group("kafka-interop")]

#: Milliseconds that no record can say.
NO_TIME = 2**80


class Log:
    """A partition whose records may be moved."""

    partition = Partition("originals", 0)

    def is_open(self, _: int, /) -> bool:
        return True

    def point_if_done(self, offsets: Iterable[int], /) -> Point:
        return Point(max(offsets) + 1, "")


class Mover:
    """Moves of records from one log, and what came of them."""

    def __init__(self, cluster: Cluster) -> None:
        self.is_ours = True
        self.trouble: list[Exception] = []
        self._turn = asyncio.Lock()
        self._log = Log()
        self.moves = Moves(Producers(cluster, f"mover-{new_id()}"), None, self._owns, self._alone)

    def _owns(self, _: Origin) -> bool:
        return self.is_ours

    @asynccontextmanager
    async def _alone(self) -> AsyncGenerator[None]:
        async with self._turn:
            if self.trouble:
                raise self.trouble.pop()
            yield

    def move(self, topic: str, *, timestamp: int = 0, also: Callable[[], None] = lambda: None) -> "Future[None]":
        ended: Future[None] = asyncio.get_running_loop().create_future()

        def end(error: Exception | None) -> None:
            if error is None:
                ended.set_result(None)
            else:
                ended.set_exception(error)
            also()

        self.moves.put(Move(Placed(topic, (None, b"x", [], timestamp), None), self._log, 0, end))
        return ended


@pytest.fixture
def mover(slow: Slow) -> Mover:
    slow.may_go_on.set()
    return Mover(slow)


async def came_of(moved: "Sequence[Future[None]]") -> list[type[BaseException] | None]:
    """Return why each was not moved, in the end."""
    async with asyncio.timeout(30):
        await asyncio.wait(moved)
    return [None if (error := each.exception()) is None else type(error) for each in moved]


async def test_one_record_that_nobody_can_write_keeps_no_other_from_being_moved(slow: Slow, mover: Mover) -> None:
    topic = await slow.new_topic()
    moved = [mover.move(topic, timestamp=NO_TIME if at == 5 else at) for at in range(9)]

    assert await came_of(moved) == [None] * 5 + [SendRefused] + [None] * 3


async def test_after_what_nobody_foresaw_those_who_wait_hear_of_it_and_the_next_ones_are_moved(
    slow: Slow, mover: Mover
) -> None:
    topic = await slow.new_topic()
    mover.trouble.append(RuntimeError("a mistake of ours"))

    assert await came_of([mover.move(topic), mover.move(topic)]) == [SendUnknown, SendUnknown]
    assert await came_of([mover.move(topic)]) == [None]


async def test_a_mistake_in_what_follows_from_one_move_keeps_nothing_from_the_others(slow: Slow, mover: Mover) -> None:
    def make_a_mistake() -> None:
        raise RuntimeError("a mistake of ours")

    topic = await slow.new_topic()
    moved = [mover.move(topic, also=make_a_mistake), mover.move(topic), mover.move("nowhere.to.be.found")]

    assert await came_of(moved) == [None, None, Unroutable]


async def test_who_finishes_waits_for_a_transaction_that_may_be_seen_and_moves_nothing_later(slow: Slow) -> None:
    topic, mover = await slow.new_topic(), Mover(slow)
    moved = mover.move(topic)
    async with asyncio.timeout(30):
        await slow.is_asked.wait()
        finishing = asyncio.create_task(mover.moves.finish(0.01))
        waits = mover.move(topic)
        done, _ = await asyncio.wait([finishing], timeout=0.2)
        assert not done
        slow.may_go_on.set()
        await finishing
        assert await came_of([moved, waits, mover.move(topic)]) == [None, DeliveryLost, DeliveryLost]

        async def is_there() -> bool:
            # The record, and the mark of its transaction.
            return list((await Groups(slow).ends([Partition(topic, 0)], LATEST)).values()) == [2]

        await until(is_there)


async def test_who_is_told_not_to_wait_for_the_end_of_moves_leaves_nobody_waiting(slow: Slow) -> None:
    topic, mover = await slow.new_topic(), Mover(slow)
    moved = [mover.move(topic)]
    async with asyncio.timeout(30):
        await slow.is_asked.wait()
        moved.append(mover.move(topic))
        finishing = asyncio.create_task(mover.moves.finish(20))
        await asyncio.sleep(0)
        finishing.cancel()
        slow.may_go_on.set()
        assert await came_of(moved) == [None, DeliveryLost]


async def test_what_is_another_s_by_now_is_not_moved(slow: Slow, mover: Mover) -> None:
    topic = await slow.new_topic()
    moved = mover.move(topic)
    mover.is_ours = False

    assert await came_of([moved]) == [DeliveryLost]
    assert list((await Groups(slow).ends([Partition(topic, 0)], LATEST)).values()) == [0]


async def test_copies_of_a_partition_that_was_lost_are_not_stored(interop: Kafka) -> None:
    queue, graves = QueueSpec(name=f"lost.{new_id()}"), QueueSpec(name=f"graves.{new_id()}")
    async with Bench.open(interop.url) as bench, asyncio.timeout(60):
        await bench.declare(queue, graves)
        await bench.send("x", queue.name)
        losing = await bench.consume(queue)
        raw = await losing.take()
        consumer = cast("KafkaConsumer", losing.consumer)
        copy = dead_copy(raw.envelope, queue="", to=graves.name, why=GiveUp("bad"), attempts=1, now=0.0)
        async with consumer.alone():
            settled = consumer.settle(raw, Dead(copy))
            consumer.lose([cast("Part", raw.scope).partition], "gone")
        assert settled is not None
        with pytest.raises(DeliveryLost):
            await settled
        await consumer.close()
        assert (await (await bench.consume(queue)).take()).envelope.body == b"x"
        assert (await bench.depth(graves)).ready == 0


async def test_a_copy_that_cannot_be_placed_for_whatever_reason_fails_and_holds_up_nobody(slow: Slow) -> None:
    async def no_delays() -> None:
        raise ZeroDivisionError("a mistake of ours")

    publisher = Publisher("test", SystemClock(), Producer(slow), str, no_delays)
    copies = Copies(publisher, Mover(slow).moves, lambda _: True)
    part = Part(Log.partition, Source(Kind.QUEUE, "q", "originals", 0), None, Progress(0), position=0)
    data = records.encode([(None, b"x", (), 0)], producer=-1, epoch=-1, sequence=-1)
    (record,) = records.decode(data, position=0, committed_only=True).records
    envelope = understood(record, part.source)
    raw = RawDelivery(envelope, 1, 0, None, part, Handle(part, record))
    settled = copies.send(raw, Handle(part, record), envelope._replace(delay=1.0), {})
    async with asyncio.timeout(10):
        with pytest.raises(SendRefused, match="a mistake of ours"):
            await settled
        await copies.left(part)
