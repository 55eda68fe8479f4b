"""Leaving a group: whatever is in the way of it, none stays in that reads nothing."""

import asyncio

import pytest

from msgkit.errors import DeliveryLost
from msgkit.spi import Dead, QueueSpec
from msgkit_kafka.wire import groups, positions, producers
from tests.bench import Bench, message
from tests.kafka.wire_broker import serving

QUEUE = QueueSpec(name="jobs")


def is_leaving(asked: object) -> bool:
    return isinstance(asked, groups.Leave) and asked.group == "jobs"


async def test_whoever_is_not_waited_for_when_it_closes_leaves_its_group_all_the_same() -> None:
    may_answer = asyncio.Event()

    async def late(_: positions.Commit) -> positions.Committed:
        await may_answer.wait()
        return positions.Committed(0, [])

    async with serving() as broker, Bench.open(f"kafka://127.0.0.1:{broker.port}") as bench:
        taker = await bench.consume(QUEUE)
        broker.says(positions.OFFSET_COMMIT, late)
        closing = asyncio.create_task(taker.consumer.close())
        before = len(broker.asked)
        await broker.heard(lambda asked: asked in broker.asked[before:] and isinstance(asked, positions.Commit))
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        may_answer.set()
        await broker.heard(is_leaving)


async def test_a_client_that_is_closed_takes_its_consumers_out_of_their_groups() -> None:
    async with serving() as broker:
        async with Bench.open(f"kafka://127.0.0.1:{broker.port}") as bench:
            await bench.consume(QUEUE)
        assert any(map(is_leaving, broker.asked))


async def test_nothing_is_at_work_any_more_when_a_client_was_closed_before_a_transaction_ended() -> None:
    may_answer = asyncio.Event()

    async def late(_: producers.End) -> producers.Answered:
        await may_answer.wait()
        return producers.Answered(0, 0)

    async with serving() as broker:
        async with Bench.open(f"kafka://127.0.0.1:{broker.port}", patience=0.1) as bench:
            broker.holds(QUEUE.name, (None, b"x", [], 0))
            broker.says(producers.END_TRANSACTION, late)
            taker = await bench.consume(QUEUE)
            settled = taker.consumer.settle(await taker.take(), Dead(message("x", "graves")))
            assert settled is not None
            await broker.heard(lambda asked: isinstance(asked, producers.End))
        async with asyncio.timeout(5):
            with pytest.raises(DeliveryLost):
                await settled
        may_answer.set()
