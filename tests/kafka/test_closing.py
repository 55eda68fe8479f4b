"""Leaving a group: whatever is in the way of it, none stays in that reads nothing."""

import asyncio

import pytest

from msgkit.envelope import Kind
from msgkit.errors import Closed, DeliveryLost
from msgkit.spi import Dead, QueueSpec, RouteSpec
from msgkit_kafka.wire import groups, logs, positions, producers
from tests.bench import Bench, message
from tests.kafka.wire_broker import ends, serving

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


async def test_a_client_that_is_closed_at_once_takes_its_consumers_out_all_the_same() -> None:
    async with serving() as broker, Bench.open(f"kafka://127.0.0.1:{broker.port}") as bench:
        await bench.consume(QUEUE)
        await bench.binding.close(0)
        assert any(map(is_leaving, broker.asked))


async def test_whoever_is_still_joining_when_its_client_is_closed_is_told_so_and_joins_no_more() -> None:
    may_answer = asyncio.Event()

    async with serving() as broker, asyncio.timeout(10):
        join = broker.answer_to(groups.JOIN_GROUP)

        async def late(asked: groups.Join) -> groups.Joined:
            if asked.group == QUEUE.name:
                await may_answer.wait()
            joined: groups.Joined = join(asked)
            return joined

        broker.says(groups.JOIN_GROUP, late)
        async with Bench.open(f"kafka://127.0.0.1:{broker.port}") as bench:
            joining = asyncio.create_task(bench.consume(QUEUE))
            await broker.heard(lambda asked: isinstance(asked, groups.Join) and asked.group == QUEUE.name)
            await bench.binding.close(2)
            with pytest.raises(Closed):
                await joining
            may_answer.set()


async def test_nobody_is_given_a_consumer_of_a_client_that_closed_meanwhile() -> None:
    may_look, may_store = asyncio.Event(), asyncio.Event()

    async with serving() as broker, asyncio.timeout(10):
        stored = broker.answer_to(logs.PRODUCE)

        async def seen_late(asked: logs.ListOffsets) -> logs.AllSought:
            await may_look.wait()
            return ends(asked, 0)

        async def stored_late(asked: logs.Produce) -> logs.Produced:
            await may_store.wait()
            produced: logs.Produced = stored(asked)
            return produced

        broker.says(logs.LIST_OFFSETS, seen_late)
        broker.says(logs.PRODUCE, stored_late)
        async with Bench.open(f"kafka://127.0.0.1:{broker.port}") as bench:
            sending = asyncio.create_task(bench.send("x", "orders", kind=Kind.EXCHANGE))
            await broker.heard(lambda asked: isinstance(asked, logs.Produce))
            news = QueueSpec(name="news", anonymous=True, routes=(RouteSpec(exchange="orders"),))
            opening = asyncio.create_task(bench.consume(news))
            await broker.heard(lambda asked: isinstance(asked, logs.ListOffsets))
            closing = asyncio.create_task(bench.binding.close(5))
            await asyncio.sleep(0)
            may_look.set()
            with pytest.raises(Closed):
                await opening
            may_store.set()
            await asyncio.gather(sending, closing)


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
