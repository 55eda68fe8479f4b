"""What is told when a broker comes back that does not serve all of its queues yet."""

import asyncio
import logging

import pytest

from msgkit.envelope import new_id
from msgkit.errors import TopologyMismatch
from msgkit.settlement import ACCEPT
from msgkit.spi import Down, Event, Fatal, QueueSpec, Up
from msgkit.testing.brokers import RabbitMQ
from tests.bench import Bench, Taker
from tests.rabbitmq.wire_broker import Broker, at, serving

QUEUES = "first", "second", "third"
AWAY = 404, "NOT_FOUND - queue 'second' in vhost '/' process is stopped by supervisor"
FORBIDDEN = 403, "ACCESS_REFUSED - read access to queue 'second' in vhost '/' refused for user 'app'"
OTHERWISE = (
    406,
    "PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue 'first': received none but current is '1'",
)


async def consume(bench: Bench, broker: Broker, *queues: str) -> None:
    for queue in queues:
        await bench.consume(QueueSpec(name=queue))
        await broker.until_consumed(queue)
    broker.consumed.clear()


async def up_to(kind: type[Event], bench: Bench) -> list[type[Event]]:
    """Return what is told, up to that."""
    told: list[type[Event]] = []
    async with asyncio.timeout(30):
        while kind not in told:
            told.append(type(await bench.events.get()))
    return told


async def test_all_is_well_once_the_last_consumer_is_back_and_not_before() -> None:
    async with serving() as broker, Bench.open(at(broker)) as bench:
        await consume(bench, broker, *QUEUES)
        broker.refusals = {"second": [AWAY] * 3, "third": [AWAY]}
        broker.hangs_up()
        told = await up_to(Up, bench)
        assert sorted(broker.consumed) == sorted(QUEUES)
        assert set(told) == {Down, Up}
        assert bench.events.empty()


async def test_a_queue_that_is_not_served_yet_is_no_alarm_however_often_it_is_tried(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving() as broker, Bench.open(at(broker)) as bench:
        await consume(bench, broker, "second")
        broker.refusals = {"second": [AWAY] * 6}
        broker.hangs_up()
        assert Fatal not in await up_to(Up, bench)
        assert broker.refusals == {"second": []}
    assert max(record.levelno for record in caplog.records) == logging.WARNING


async def test_a_queue_that_is_lost_as_it_begins_to_be_consumed_is_no_alarm_either() -> None:
    """It was there when it was looked for, and a moment later it was not served."""
    async with serving() as broker, Bench.open(at(broker)) as bench:
        await consume(bench, broker, "second")
        broker.refused_consumers = {"second": [AWAY] * 6}
        broker.hangs_up()
        assert Fatal not in await up_to(Up, bench)
        assert broker.consumed == ["second"]


async def test_a_queue_that_may_not_be_read_is_an_alarm_after_five_tries() -> None:
    async with serving() as broker, Bench.open(at(broker)) as bench:
        await consume(bench, broker, "second")
        # Once as the connection is back.
        broker.refused_consumers = {"second": [FORBIDDEN] * 6}
        broker.hangs_up()
        assert Up not in await up_to(Fatal, bench)
        assert Fatal not in await up_to(Up, bench)


async def test_a_queue_that_may_not_be_read_is_still_an_alarm_when_the_connections_were_lost_and_are_back() -> None:
    async with serving() as broker, Bench.open(at(broker)) as bench:
        await consume(bench, broker, "second")
        broker.refused_consumers = {"second": [FORBIDDEN] * 9}
        broker.hangs_up()
        await up_to(Fatal, bench)
        broker.hangs_up()
        assert await up_to(Fatal, bench) == [Down, Fatal]
        assert Fatal not in await up_to(Up, bench)


async def test_a_queue_that_is_consumed_again_as_the_connection_is_back_is_no_alarm_any_more() -> None:
    async with serving() as broker, Bench.open(at(broker)) as bench:
        await consume(bench, broker, "second")
        broker.refused_consumers = {"second": [FORBIDDEN] * 6}
        broker.hangs_up()
        await up_to(Fatal, bench)
        broker.hangs_up()
        assert await up_to(Up, bench) == [Down, Up]


async def test_what_is_there_in_place_of_what_was_declared_is_told_once_however_often_it_is_declared() -> None:
    async with serving() as broker, Bench.open(at(broker)) as bench:
        await bench.declare(QueueSpec(name="first"))
        await consume(bench, broker, "second")
        broker.otherwise = {"first": OTHERWISE}
        broker.refusals = {"second": [AWAY] * 4}
        broker.hangs_up()
        told = await up_to(Up, bench)
        # Once as it is found, and once more since it would be forgotten by all that is well.
        assert told == [Down, Fatal, Up]
        assert await up_to(Fatal, bench) == [Fatal]
        assert bench.events.empty()


async def test_what_is_there_in_place_of_a_queue_is_told_with_what_can_be_done_about_it() -> None:
    async with serving() as broker, Bench.open(at(broker)) as bench:
        broker.otherwise = {"first": OTHERWISE}
        with pytest.raises(TopologyMismatch) as refused:
            await bench.declare(QueueSpec(name="first"))
    assert str(refused.value) == (
        "queue 'first': x-max-length=none is declared, but x-max-length='1' is there; "
        "declare it as it is there, delete it, with all that it holds, or take another name; "
        "if it is somebody else's, RabbitQueue(declare=False) uses what is there"
    )


async def test_what_was_declared_is_told_to_be_there_again() -> None:
    async with serving() as broker, Bench.open(at(broker)) as bench:
        await bench.declare(QueueSpec(name="first"), QueueSpec(name="second"))
        broker.otherwise = {"first": OTHERWISE}
        # It is declared again until all of it can be reached.
        broker.refusals = {"second": [AWAY] * 4}
        broker.hangs_up()
        assert await up_to(Fatal, bench) == [Down, Up, Fatal]
        broker.otherwise = {}
        assert await up_to(Up, bench) == [Up]


async def test_what_found_no_queue_when_it_was_due_is_sent_on_once_it_can_be_reached() -> None:
    async with serving() as broker:
        broker.lying = {"msgkit.undeliverable": [b"due", b"due too"]}
        broker.refusals = {"msgkit.undeliverable": [AWAY] * 2}
        async with Bench.open(at(broker)) as bench, asyncio.timeout(20):
            await bench.declare(QueueSpec(name="first"))
            for _ in range(2):
                await broker.settled.get()
            assert broker.published == ["msgkit.due"] * 2


async def test_what_a_broker_that_has_just_started_hands_on_after_the_first_look_is_sent_on_as_well() -> None:
    async with serving() as broker, Bench.open(at(broker)) as bench, asyncio.timeout(20):
        await bench.declare(QueueSpec(name="first"))
        await broker.until_asked("msgkit.undeliverable", 1)
        broker.lying = {"msgkit.undeliverable": [b"due"]}
        await broker.settled.get()
        assert broker.published == ["msgkit.due"]


async def test_what_found_no_queue_is_sent_on_again_when_all_queues_can_be_reached() -> None:
    async with serving() as broker, Bench.open(at(broker)) as bench, asyncio.timeout(20):
        await bench.declare(QueueSpec(name="second"))
        await broker.until_asked("msgkit.undeliverable", 1)
        broker.refusals = {"second": [AWAY] * 3}
        broker.hangs_up()
        # Nothing lies there as the connection is back.
        await broker.until_asked("msgkit.undeliverable", 2)
        broker.lying = {"msgkit.undeliverable": [b"due"]}
        await broker.settled.get()
        assert broker.published == ["msgkit.due"]


async def test_a_queue_that_could_not_be_bound_to_where_delayed_messages_come_due_is_bound_the_next_time() -> None:
    async with serving() as broker, Bench.open(at(broker)) as bench:
        await bench.declare(QueueSpec(name="first"))
        assert broker.bound["msgkit.due"] == 1
        broker.refused_bindings = {"msgkit.due": [FORBIDDEN]}
        for times in (2, 3):
            broker.hangs_up()
            assert await up_to(Up, bench) == [Down, Up]
            assert broker.bound["msgkit.due"] == times


@pytest.mark.broker
async def test_a_restart_under_many_consumers_is_told_as_lost_and_back_and_as_nothing_else(broker: RabbitMQ) -> None:
    queues = [QueueSpec(name=new_id()) for _ in range(30)]
    async with Bench.open(broker.url) as bench, asyncio.timeout(120):
        await bench.declare(*queues)
        takers: list[Taker] = [await bench.consume(queue) for queue in queues]
        await broker.stop()
        await broker.start()
        told = await up_to(Up, bench)
        assert set(told) == {Down, Up}
        for queue, taker in zip(queues, takers, strict=True):
            await bench.send("after", queue.name)
            await taker.settle(await taker.take(), ACCEPT)
        assert bench.events.empty()
