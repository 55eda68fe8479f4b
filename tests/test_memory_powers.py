import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from msgkit.envelope import Envelope, Kind
from msgkit.errors import (
    AlreadySettled,
    Closed,
    ConfigurationError,
    DeliveryLost,
    SendRefused,
    SendUnknown,
    TopologyMismatch,
    Unroutable,
    UnsupportedCapability,
)
from msgkit.settlement import ACCEPT
from msgkit.spi import (
    NATIVE,
    Browsable,
    Depth,
    Emulated,
    ExchangeSpec,
    Inspectable,
    Native,
    Order,
    Power,
    QueueSpec,
    Refused,
    Replayable,
    Replies,
    RouteSpec,
    Shared,
    Transactional,
    TwoPhase,
    Up,
)
from msgkit.testing.clock import VirtualClock
from msgkit_memory import Broker
from msgkit_memory.capabilities import capabilities
from tests.memory_client import Bench, message, pass_time, turns, until

JOBS = QueueSpec(name="jobs")
OUT = QueueSpec(name="out")
NEWS = ExchangeSpec(name="news")
ALL_NEWS = QueueSpec(name="all", routes=(RouteSpec(exchange="news"),), start="earliest")


async def test_it_says_what_it_keeps() -> None:
    async with Bench.open() as bench:
        kept = await bench.binding.connect(print)
    assert not kept.durable
    assert (kept.shared, kept.order) == (Shared.PROCESS, Order.KEY)
    others = set(Power) - {Power.START, Power.REPLAY}
    assert {kept.support(power) for power in others} == {NATIVE}
    assert isinstance(kept.support(Power.REPLAY), Emulated)
    assert isinstance(capabilities(0).support(Power.START), Refused)
    powers = (Browsable, Inspectable, Native, Replayable, Replies, Transactional, TwoPhase)
    assert all(isinstance(bench.binding, power) for power in powers)


# -- transactions


async def test_a_transaction_is_seen_all_at_once_its_settlement_included() -> None:
    async with Bench.open() as bench:
        await bench.declare(JOBS, OUT)
        sink = await bench.consume(JOBS)
        await bench.send("cause")
        cause = await sink.take()
        transaction = await bench.binding.begin()
        for body in ("1", "2"):
            await transaction.send(message(body, "out"))
        assert (await bench.depth(OUT)).ready == 0
        await transaction.commit([(sink.consumer, cause)])
        assert (await bench.depth(OUT)).ready == 2
        assert await bench.depth(JOBS) == Depth(ready=0, unsettled=0)


async def test_an_aborted_transaction_leaves_no_trace() -> None:
    async with Bench.open() as bench:
        await bench.declare(OUT)
        transaction = await bench.binding.begin()
        await transaction.send(message("1", "out"))
        await transaction.abort()
        assert (await bench.depth(OUT)).ready == 0
        with pytest.raises(Closed):
            await transaction.commit([])
        with pytest.raises(Closed):
            await transaction.send(message("2", "out"))


async def test_a_transaction_whose_delivery_was_lost_stores_nothing() -> None:
    async with Bench.open() as bench:
        await bench.declare(JOBS, OUT)
        sink = await bench.consume(JOBS, credit=1)
        await bench.send("cause")
        cause = await sink.take()
        transaction = await bench.binding.begin()
        await transaction.send(message("1", "out"))
        bench.broker.faults.expire()
        with pytest.raises(DeliveryLost):
            await transaction.commit([(sink.consumer, cause)])
        assert (await bench.depth(OUT)).ready == 0


async def test_a_transaction_with_one_impossible_message_stores_nothing() -> None:
    async with Bench.open() as bench:
        await bench.declare(JOBS, OUT)
        sink = await bench.consume(JOBS)
        await bench.send("cause")
        cause = await sink.take()
        transaction = await bench.binding.begin()
        await transaction.send(message("1", "out"))
        with pytest.raises(Unroutable):
            await transaction.send(message("2", "nowhere"))
        bench.broker.faults.refuse(1)
        with pytest.raises(SendRefused):
            await transaction.commit([(sink.consumer, cause)])
        assert await bench.depth(OUT) == Depth(ready=0, unsettled=0)
        assert await bench.depth(JOBS) == Depth(ready=0, unsettled=1)


async def test_a_transaction_whose_queue_has_gone_meanwhile_stores_nothing() -> None:
    async with Bench.open() as bench:
        await bench.declare(JOBS, OUT)
        transaction = await bench.binding.begin()
        await transaction.send(message("1", "out"))
        await transaction.send(message("2", "jobs"))
        bench.broker.content.drop_queue(bench.broker.content.queues["jobs"])
        with pytest.raises(Unroutable):
            await transaction.commit([])
        assert (await bench.depth(OUT)).ready == 0


@pytest.mark.parametrize("stored", [True, False])
async def test_a_commit_whose_answer_is_lost_is_there_whole_or_not_at_all(
    stored: bool,  # noqa: FBT001 -- a parameter of the test
) -> None:
    async with Bench.open() as bench:
        await bench.declare(JOBS, OUT)
        sink = await bench.consume(JOBS)
        await bench.send("cause")
        cause = await sink.take()
        transaction = await bench.binding.begin()
        for body in "12":
            await transaction.send(message(body, "out"))
        bench.broker.faults.lose_confirms(stored=stored)
        with pytest.raises(SendUnknown):
            await transaction.commit([(sink.consumer, cause)])
        await until(lambda: Up() in bench.events)
        assert (await bench.depth(OUT)).ready == (2 if stored else 0)
        assert (await bench.depth(JOBS)).unsettled == (0 if stored else 1)


async def test_a_transaction_settles_nothing_of_another_broker() -> None:
    async with Bench.open() as one, Bench.open() as two:
        await one.declare(JOBS)
        sink = await one.consume(JOBS)
        await one.send()
        delivery = await sink.take()
        transaction = await two.binding.begin()
        with pytest.raises(ConfigurationError):
            await transaction.commit([(sink.consumer, delivery)])


# -- half messages


async def test_a_half_message_is_seen_when_it_is_committed_and_not_before() -> None:
    async with Bench.open() as bench:
        await bench.declare(JOBS)
        half = await bench.binding.prepare(message("x"), "paid")
        assert (await bench.depth(JOBS)).ready == 0
        await half.commit()
        await half.commit()
        assert (await bench.depth(JOBS)).ready == 1
        with pytest.raises(AlreadySettled):
            await half.roll_back()


async def test_a_half_message_rolled_back_is_nothing() -> None:
    async with Bench.open() as bench:
        await bench.declare(JOBS)
        half = await bench.binding.prepare(message("x"), "paid")
        await half.roll_back()
        await half.roll_back()
        with pytest.raises(SendRefused):
            await half.commit()
        with pytest.raises(Unroutable):
            await bench.binding.prepare(message("x", "nowhere"), "paid")
        assert (await bench.depth(JOBS)).ready == 0
        assert len(bench.broker.halves) == 0


@pytest.mark.parametrize("answer", [True, False])
async def test_a_check_is_asked_about_what_a_dead_client_prepared(
    answer: bool,  # noqa: FBT001 -- a parameter of the test
) -> None:
    asked: list[tuple[str, bytes]] = []

    async def check(name: str, envelope: Envelope) -> bool | None:
        asked.append((name, envelope.body))
        return answer

    async with Bench.open() as bench, Bench.open(bench.url, client="doomed") as doomed:
        await bench.declare(JOBS)
        bench.binding.answer_checks(check, ["paid"])
        await doomed.binding.prepare(message("x"), "paid")
        bench.broker.faults.vanish("doomed")
        await until(lambda: not len(bench.broker.halves))
        assert asked == [("paid", b"x")]
        assert (await bench.depth(JOBS)).ready == int(answer)


async def test_a_check_is_asked_after_its_time_and_again_with_growing_pauses() -> None:
    clock = VirtualClock()
    times: list[float] = []

    async def check(_: str, __: Envelope) -> bool | None:
        times.append(clock.now() - start)
        if len(times) == 2:
            raise RuntimeError("the database is away")
        return True if len(times) == 4 else None

    async with Bench.open("memory://checks?check_after=2&transient=1", clock=clock) as bench:
        await bench.declare(JOBS)
        bench.binding.answer_checks(check, ["paid"])
        start = clock.now()
        half = await bench.binding.prepare(message("x"), "paid")
        await pass_time(clock, 100)
        assert times == [2, 6, 14, 30]
        assert (await bench.depth(JOBS)).ready == 1
        await half.commit()
        with pytest.raises(AlreadySettled):
            await half.roll_back()


async def test_a_check_that_nobody_answers_is_asked_when_somebody_offers_to() -> None:
    clock = VirtualClock()

    async def check(_: str, __: Envelope) -> bool | None:
        return True

    async with Bench.open(clock=clock) as bench:
        await bench.declare(JOBS)
        await bench.binding.prepare(message("x"), "paid")
        await pass_time(clock, 1000)
        assert (await bench.depth(JOBS)).ready == 0
        bench.binding.answer_checks(check, ["other"])
        await turns()
        assert (await bench.depth(JOBS)).ready == 0
        bench.binding.answer_checks(check, ["paid"])
        await pass_time(clock, 0)
        assert (await bench.depth(JOBS)).ready == 1


async def test_a_concluded_half_message_keeps_nothing_waiting() -> None:
    async with Bench.open() as bench:
        await bench.declare(JOBS)
        for _ in range(1000):
            half = await bench.binding.prepare(message("x"), "paid")
            await half.roll_back()
        assert bench.broker.scheduled() < 200


# -- replies


async def test_a_reply_comes_to_the_address_of_whoever_listens() -> None:
    replies: list[Envelope] = []
    async with Bench.open() as one, Bench.open(one.url) as two:
        address = await one.binding.listen_for_replies(replies.append)
        assert await one.binding.listen_for_replies(replies.append) == address
        for number in range(3):
            await two.send(str(number), address, kind=Kind.REPLY)
        await until(lambda: len(replies) == 3)
        assert [reply.body for reply in replies] == [b"0", b"1", b"2"]


async def test_a_reply_to_an_address_that_is_gone_is_refused() -> None:
    replies: list[Envelope] = []
    async with Bench.open() as staying:
        async with Bench.open(staying.url) as leaving:
            address = await leaving.binding.listen_for_replies(replies.append)
        with pytest.raises(Unroutable, match="nobody waits"):
            await staying.send("x", address, kind=Kind.REPLY)


async def test_an_address_is_gone_while_its_client_is_away_and_the_same_after() -> None:
    replies: list[Envelope] = []
    async with Bench.open() as one, Bench.open(one.url, client="away") as two:
        address = await two.binding.listen_for_replies(replies.append)
        one.broker.faults.disconnect("away")
        with pytest.raises(Unroutable):
            await one.send("x", address, kind=Kind.REPLY)
        await until(lambda: Up() in two.events)
        await one.send("y", address, kind=Kind.REPLY)
        await until(lambda: bool(replies))


# -- looking


async def test_browsing_takes_nothing_and_shows_the_oldest_first() -> None:
    async with Bench.open() as bench:
        await bench.declare(JOBS)
        for number in range(5):
            await bench.send(str(number))
        sink = await bench.consume(JOBS, credit=1)
        await sink.has(1)
        seen = [envelope.body async for envelope in bench.binding.browse(JOBS, None)]
        assert seen == [b"1", b"2", b"3", b"4"]
        assert len([envelope async for envelope in bench.binding.browse(JOBS, 2)]) == 2
        assert await bench.depth(JOBS) == Depth(ready=4, unsettled=1)


async def test_purging_drops_what_waits_and_nothing_that_somebody_has() -> None:
    ordered = QueueSpec(name="jobs", ordered=True)
    async with Bench.open() as bench:
        await bench.declare(ordered)
        sink = await bench.consume(ordered, credit=2)
        for key in "aabbc":
            await bench.send(key, key=key)
        await bench.send("d", key="d", delay=60.0)
        await sink.has(2)
        assert await bench.binding.purge(ordered) == 4
        assert await bench.depth(ordered) == Depth(ready=0, unsettled=2)
        for delivery in sink.got:
            sink.settle(delivery)
        sink.consumer.credit(5)
        for key in "abc":
            await bench.send(key, key=key)
        await sink.has(5)


async def test_asking_about_a_queue_that_is_not_there_is_an_error() -> None:
    async with Bench.open() as bench:
        for asking in (bench.binding.depth(JOBS), bench.binding.purge(JOBS), bench.consume(JOBS)):
            with pytest.raises(TopologyMismatch, match="does not exist"):
                await asking


async def test_the_broker_itself_is_lent() -> None:
    async with Bench.open() as bench:
        async with bench.binding.native(Broker) as broker:
            assert broker is bench.broker
        with pytest.raises(UnsupportedCapability, match="Broker"):
            async with bench.binding.native(int):
                pass


# -- replay


async def test_a_new_queue_that_starts_earliest_gets_what_its_exchange_had() -> None:
    async with Bench.open() as bench:
        await bench.declare(NEWS)
        for number in range(5):
            await bench.send(str(number), "news", kind=Kind.EXCHANGE)
        await bench.declare(ALL_NEWS)
        sink = await bench.consume(ALL_NEWS)
        await sink.has(5)
        assert sink.bodies == ["0", "1", "2", "3", "4"]
        # Declared again, it is no new queue.
        await bench.declare(ALL_NEWS)
        assert (await bench.depth(ALL_NEWS)).ready == 0


async def test_a_new_queue_that_starts_at_a_time_gets_what_was_sent_since() -> None:
    start = datetime(2030, 1, 1, tzinfo=UTC)
    async with Bench.open() as bench:
        await bench.declare(NEWS)
        for hour in range(5):
            at = (start + timedelta(hours=hour)).timestamp()
            await bench.send(str(hour), "news", kind=Kind.EXCHANGE, sent_at=at)
        since = QueueSpec(name="since", routes=ALL_NEWS.routes, start=start + timedelta(hours=2, minutes=1))
        await bench.declare(since)
        seen = [envelope.body async for envelope in bench.binding.browse(since, None)]
        assert seen == [b"3", b"4"]


async def test_seeking_lets_a_queue_receive_again_and_nothing_twice() -> None:
    queue = QueueSpec(name="all", routes=(RouteSpec(exchange="news", subject="a.*"),))
    async with Bench.open() as bench:
        await bench.declare(queue)
        sink = await bench.consume(queue, credit=3)
        for number in range(6):
            subject = "a.x" if number < 5 else "b.x"
            await bench.send(str(number), "news", kind=Kind.EXCHANGE, subject=subject, sent_at=float(number))
        await bench.send("direct", "all", sent_at=2.5)
        first, second, third = await sink.has(3)
        sink.settle(first)
        sink.settle(second)
        # 2 is with the consumer, 3, 4 and the direct one wait already: 0 and 1 come again.
        assert await bench.binding.seek(queue, "earliest") == 5
        sink.settle(third)
        sink.got.clear()
        sink.consumer.credit(9)
        await sink.has(5)
        await turns()
        assert sink.bodies == ["0", "1", "direct", "3", "4"]


async def test_seeking_the_latest_skips_what_waits() -> None:
    async with Bench.open() as bench:
        await bench.declare(JOBS)
        await bench.send("old")
        assert await bench.binding.seek(JOBS, "latest") == 0
        await bench.send("new")
        seen = [envelope.body async for envelope in bench.binding.browse(JOBS, None)]
        assert seen == [b"new"]


async def test_what_waits_longer_than_the_log_reaches_back_is_not_lost_by_seeking() -> None:
    async with Bench.open("memory://short?retain=3&transient=1") as bench:
        await bench.declare(JOBS)
        for number in range(6):
            await bench.send(str(number), sent_at=float(number))
        assert await bench.binding.seek(JOBS, "earliest") == 6
        seen = [envelope.body async for envelope in bench.binding.browse(JOBS, None)]
        assert seen == [b"0", b"1", b"2", b"3", b"4", b"5"]


async def test_a_broker_that_retains_nothing_refuses_to_go_back() -> None:
    async with Bench.open("memory://none?retain=0&transient=1") as bench:
        await bench.declare(JOBS)
        with pytest.raises(UnsupportedCapability, match="retain=1000"):
            await bench.binding.seek(JOBS, "earliest")
        await bench.send()
        assert await bench.binding.seek(JOBS, "latest") == 0


async def test_a_receiver_of_a_transaction_in_another_task_sees_all_or_nothing() -> None:
    async with Bench.open() as one, Bench.open(one.url) as two:
        await one.declare(OUT)
        sink = await two.consume(OUT, settle=ACCEPT)
        for _ in range(20):
            transaction = await one.binding.begin()
            for number in range(10):
                await transaction.send(message(str(number), "out"))
            await transaction.commit([])
            await asyncio.sleep(0)
        await sink.has(200)
        assert set(sink.batches) == {10}
