"""Reading a queue of RabbitMQ again: its routes fill a stream beside it, from which it is filled once more."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from time import monotonic

import aio_pika
import pytest

from msgkit.envelope import Kind, new_id
from msgkit.errors import (
    BrokerUnavailable,
    Closed,
    ConfigurationError,
    InvalidMessage,
    MessagingError,
    TopologyMismatch,
    Unroutable,
    UnsupportedCapability,
)
from msgkit.settlement import ACCEPT
from msgkit.spi import ExchangeSpec, PlanAction, PlanEntry, ProvisionMode, QueueSpec, RawDelivery, Replayable, RouteSpec
from msgkit.testing.brokers import RabbitMQ
from msgkit.testing.proxy import Direction
from msgkit_rabbitmq import RabbitQueue
from tests.bench import Bench, Taker, message
from tests.rabbitmq.trouble import alarm, at, bindings, plain, queues
from tests.waiting import until

pytestmark = pytest.mark.broker

WEEK = RabbitQueue(history=timedelta(days=7))
MANY = 3000
EAST = datetime.min.replace(tzinfo=timezone(timedelta(hours=14)))


def kept(name: str, *subjects: str) -> QueueSpec:
    routes = tuple(RouteSpec(exchange=name, subject=subject) for subject in subjects or ("#",))
    return QueueSpec(name=f"{name}.jobs", routes=routes, options=(WEEK,))


async def sent(bench: Bench, name: str, bodies: list[str], subject: str = "placed.eu") -> None:
    """Send, in order, to the exchange."""
    now = datetime.now(UTC).timestamp()
    messages = [message(body, name, kind=Kind.EXCHANGE, subject=subject, sent_at=now) for body in bodies]
    await asyncio.gather(*map(bench.binding.send, messages))


async def handled(taker: Taker, number: int) -> list[RawDelivery]:
    taken: list[RawDelivery] = []
    while len(taken) < number:
        taken.append(await taker.take())
        await taker.settle(taken[-1], ACCEPT)
    return taken


def numbered(word: str, number: int) -> list[str]:
    return [f"{word} {each}" for each in range(number)]


def bodies(taken: list[RawDelivery]) -> list[str]:
    return [delivery.envelope.body.decode() for delivery in taken]


def replayable(bench: Bench) -> Replayable:
    assert isinstance(bench.binding, Replayable)
    return bench.binding


async def test_what_is_read_again_is_what_came(broker: RabbitMQ) -> None:
    name = new_id()
    queue = kept(name, "placed.*")
    told = {
        "x-tenant": "a" * 1000,
        "at": datetime(2001, 2, 3, tzinfo=UTC),
        "x-stream-offset": 7,
        "large": -(2**62),
        "half": 0.5,
        "yes": True,
        "bytes": b"\x00\xff",
        "bytes that are text": b"abc",
        "no bytes": b"",
        "msgkit-end-of-history": "theirs",
        "größe": "ü",
    }
    async with Bench.open(broker.url) as bench, asyncio.timeout(30):
        await bench.declare(queue)
        taker = await bench.consume(queue)
        for subject in ("placed.eu", "shipped.eu"):
            await bench.send("x", name, kind=Kind.EXCHANGE, subject=subject, key="k", headers=told, priority=3)
        (first,) = await handled(taker, 1)
        assert await replayable(bench).seek(queue, "earliest") == 1
        (again,) = await handled(taker, 1)
    assert dict(again.envelope.headers) == dict(first.envelope.headers) == told
    assert again.envelope == first.envelope
    assert (again.attempt, again.crashes) == (1, 0)


async def test_all_of_it_comes_in_order_each_time_and_what_waits_stays(broker: RabbitMQ) -> None:
    name = new_id()
    queue = kept(name)
    all_of_it = numbered("past", MANY)
    async with Bench.open(broker.url) as bench, asyncio.timeout(60):
        await bench.declare(queue)
        taker = await bench.consume(queue)
        await sent(bench, name, all_of_it)
        assert bodies(await handled(taker, MANY)) == all_of_it
        for _ in range(2):
            assert await replayable(bench).seek(queue, "earliest") == MANY
            assert bodies(await handled(taker, MANY)) == all_of_it
        await taker.consumer.close()
        await bench.send("to itself", queue.name)
        assert await replayable(bench).seek(queue, "earliest") == MANY
        later = await bench.consume(queue)
        assert bodies(await handled(later, MANY + 1)) == ["to itself", *all_of_it]


async def test_from_a_moment_on_what_came_due_since_comes_too(broker: RabbitMQ) -> None:
    name = new_id()
    queue = kept(name)
    async with Bench.open(broker.url) as bench, asyncio.timeout(30):
        await bench.declare(queue)
        taker = await bench.consume(queue)
        await sent(bench, name, ["long ago"])
        await bench.send("due", name, kind=Kind.EXCHANGE, delay=0.5, sent_at=datetime.now(UTC).timestamp())
        assert bodies(await handled(taker, 1)) == ["long ago"]
        moment = datetime.now(UTC)
        assert bodies(await handled(taker, 1)) == ["due"]
        await sent(bench, name, ["new"])
        await replayable(bench).seek(queue, moment)
        assert bodies(await handled(taker, 3)) == ["new", "due", "new"]


async def test_a_message_is_read_again_from_its_own_moment_on_and_those_before_are_not(broker: RabbitMQ) -> None:
    name = new_id()
    queue = kept(name)
    exactly = int(datetime.now(UTC).timestamp()) + 0.123_456_7
    moment = datetime.fromtimestamp(exactly, UTC)
    assert moment.timestamp() > exactly
    async with Bench.open(broker.url) as bench, plain(broker) as channel, asyncio.timeout(30):
        await bench.declare(queue)
        for sent_at in (exactly - 0.001, exactly, exactly + 1):
            await bench.send("ours", name, kind=Kind.EXCHANGE, sent_at=sent_at)
        theirs = await channel.get_exchange(name)
        for seconds in (int(exactly) - 1, int(exactly)):
            await theirs.publish(aio_pika.Message(b"theirs", timestamp=seconds), "placed.eu")
        assert await replayable(bench).seek(queue, "latest") == 5
        assert await replayable(bench).seek(queue, moment) == 3
        taker = await bench.consume(queue)
        assert sorted(bodies(await handled(taker, 3))) == ["ours", "ours", "theirs"]


async def test_a_sender_whose_clock_is_ahead_is_heard_from_the_moment_that_he_says(broker: RabbitMQ) -> None:
    name = new_id()
    queue = kept(name)
    ahead = datetime.now(UTC) + timedelta(seconds=45)
    async with Bench.open(broker.url) as bench, asyncio.timeout(30):
        await bench.declare(queue)
        await sent(bench, name, ["older"])
        await bench.send("ahead", name, kind=Kind.EXCHANGE, sent_at=ahead.timestamp())
        assert await replayable(bench).seek(queue, ahead) == 1


@pytest.mark.parametrize("hours", [1, 24 * 365 * 1000])
async def test_from_a_moment_to_come_nothing_is_read_and_nobody_waits(broker: RabbitMQ, hours: int) -> None:
    name = new_id()
    queue = kept(name)
    async with Bench.open(broker.url) as bench, asyncio.timeout(20):
        await bench.declare(queue)
        assert await replayable(bench).seek(queue, datetime.now(UTC) + timedelta(hours=hours)) == 0
        await sent(bench, name, numbered("past", 3))
        for _ in range(10):
            assert await replayable(bench).seek(queue, datetime.now(UTC) + timedelta(hours=hours)) == 0


@pytest.mark.parametrize("moment", [EAST.replace(1969), EAST.replace(1970), EAST], ids=["1969", "1970", "year 0"])
async def test_from_a_moment_before_computers_all_is_read(broker: RabbitMQ, moment: datetime) -> None:
    name = new_id()
    queue = kept(name)
    async with Bench.open(broker.url) as bench, asyncio.timeout(20):
        await bench.declare(queue)
        await sent(bench, name, numbered("past", 3))
        assert await replayable(bench).seek(queue, moment) == 3


async def test_a_moment_that_no_clock_shows_is_refused(broker: RabbitMQ) -> None:
    queue = kept(new_id())
    late = datetime.max.replace(tzinfo=timezone(-timedelta(hours=9)))
    async with Bench.open(broker.url) as bench, asyncio.timeout(20):
        with pytest.raises(InvalidMessage, match=r"seek\(to=\) is 9999-12-31 .* which no broker's clock"):
            await replayable(bench).seek(queue, late)


async def test_what_waits_is_skipped(broker: RabbitMQ) -> None:
    name = new_id()
    queue = kept(name)
    async with Bench.open(broker.url) as bench, asyncio.timeout(30):
        await bench.declare(queue)
        await sent(bench, name, numbered("skipped", 5))
        assert await replayable(bench).seek(queue, "latest") == 5
        await sent(bench, name, ["new"])
        taker = await bench.consume(queue)
        assert bodies(await handled(taker, 1)) == ["new"]


async def test_what_comes_meanwhile_is_not_lost(broker: RabbitMQ) -> None:
    name = new_id()
    queue = kept(name)
    async with Bench.open(broker.url) as bench, asyncio.timeout(60):
        await bench.declare(queue)
        taker = await bench.consume(queue)
        await sent(bench, name, numbered("before", 500))
        await handled(taker, 500)
        _, count = await asyncio.gather(
            sent(bench, name, numbered("meanwhile", 500)), replayable(bench).seek(queue, "earliest")
        )
        found = bodies(await handled(taker, 500 + count))
    assert sorted(set(found)) == sorted(numbered("before", 500) + numbered("meanwhile", 500))
    assert 500 <= count <= 1000


async def test_a_history_outlives_the_broker(broker: RabbitMQ) -> None:
    name = new_id()
    queue = kept(name)
    async with Bench.open(broker.url) as bench, asyncio.timeout(90):
        await bench.declare(queue)
        await sent(bench, name, numbered("kept", 50))
        assert await replayable(bench).seek(queue, "latest") == 50
        await broker.kill()
        await broker.start()
        await until(lambda: there(bench, queue))
        assert await replayable(bench).seek(queue, "earliest") == 50
        taker = await bench.consume(queue)
        assert bodies(await handled(taker, 50)) == numbered("kept", 50)


async def there(bench: Bench, queue: QueueSpec) -> bool:
    try:
        return (await bench.depth(queue)).ready == 0
    except MessagingError:
        return False


async def test_a_cut_on_the_way_is_told_and_it_can_be_read_again(broker: RabbitMQ) -> None:
    name = new_id()
    queue = kept(name)
    async with Bench.open(broker.url) as bench, asyncio.timeout(60):
        await bench.declare(queue)
        await sent(bench, name, numbered("past", MANY))
        await replayable(bench).seek(queue, "latest")
        # All of it has three times as many bytes at least.
        await broker.proxy.cut_after(100_000, Direction.DOWN)
        with pytest.raises(BrokerUnavailable, match=f"queue '{queue.name}' was not read again to the end"):
            await replayable(bench).seek(queue, "earliest")
        taker = await bench.consume(queue)
        assert await replayable(bench).seek(queue, "earliest") == MANY
        found: set[str] = set()
        end = monotonic() + 30
        while len(found) < MANY and monotonic() < end:
            found.update(bodies(await handled(taker, 1)))
    assert found == set(numbered("past", MANY))


async def test_whoever_gives_up_while_the_broker_takes_nothing_is_let_go(
    broker: RabbitMQ, caplog: pytest.LogCaptureFixture
) -> None:
    queue = kept(new_id())

    async def is_told() -> bool:
        return "takes no messages at the moment" in caplog.text

    async with Bench.open(broker.url) as bench, asyncio.timeout(40):
        await bench.declare(queue)
        async with alarm(broker):
            reading = asyncio.create_task(replayable(bench).seek(queue, "earliest"))
            await until(is_told)
            reading.cancel()
            await asyncio.wait([reading], timeout=2)
            assert reading.cancelled()


async def test_closing_ends_reading_at_once(broker: RabbitMQ) -> None:
    name = new_id()
    queue = kept(name)
    async with Bench.open(broker.url) as bench, asyncio.timeout(40):
        await bench.declare(queue)
        await sent(bench, name, numbered("past", MANY))
        await replayable(bench).seek(queue, "latest")
        await broker.proxy.limit(50_000, Direction.DOWN)
        reading = asyncio.create_task(replayable(bench).seek(queue, "earliest"))
        await until(lambda: some_past_the_proxy(broker, queue))
        closing = asyncio.create_task(bench.binding.close(5))
        async with asyncio.timeout(1):
            with pytest.raises(Closed, match="before there was an answer"):
                await reading
        await broker.proxy.heal()
        await closing


async def some_past_the_proxy(broker: RabbitMQ, queue: QueueSpec) -> bool:
    async with plain(broker) as channel:
        return ((await channel.get_queue(queue.name)).declaration_result.message_count or 0) > 0


async def test_a_history_that_is_to_be_longer_says_what_can_be_done(broker: RabbitMQ) -> None:
    queue = kept(new_id())
    longer = replace(queue, options=(RabbitQueue(history=timedelta(days=8)),))
    differs = (
        f"queue '{queue.name}.history': history='691200s' is declared, but history='604800s' is there; "
        "keep RabbitQueue.history=. as it was, or delete what is there, with all that it holds"
    )
    async with Bench.open(broker.url) as bench, asyncio.timeout(30):
        await bench.declare(queue)
        for mode in (ProvisionMode.CREATE, ProvisionMode.VERIFY):
            with pytest.raises(TopologyMismatch, match=differs):
                await bench.declare(longer, mode=mode)


async def test_a_queue_that_is_called_as_the_history_of_another_is_refused_and_nothing_is_made(
    broker: RabbitMQ,
) -> None:
    queue = kept(new_id())
    async with Bench.open(broker.url) as bench, asyncio.timeout(30):
        with pytest.raises(ConfigurationError, match="and there is a queue of that name"):
            await bench.declare(QueueSpec(name=f"{queue.name}.history"), queue)
    assert not [each for each in await queues(broker) if each["name"].startswith(queue.name)]


async def test_a_queue_without_a_history_says_what_it_would_take(broker: RabbitMQ) -> None:
    queue = QueueSpec(name=new_id())
    async with Bench.open(broker.url) as bench, asyncio.timeout(30):
        await bench.declare(queue)
        for to in ("earliest", "latest"):
            with pytest.raises(UnsupportedCapability, match=r"RabbitQueue\(history=…\)"):
                await replayable(bench).seek(queue, to)
        with pytest.raises(Unroutable, match=f"queue '{queue.name}.history' does not exist"):
            await replayable(bench).seek(
                QueueSpec(name=queue.name, routes=kept("x").routes, options=(WEEK,)), "earliest"
            )


async def test_the_history_is_planned_made_and_pruned_with_its_queue(broker: RabbitMQ) -> None:
    name = new_id()
    queue, narrower = kept(name, "a.*", "b.*"), kept(name, "a.*")
    url = f"{at(broker)}?management={broker.management_url}"
    async with Bench.open(url) as bench, asyncio.timeout(30):
        plan = await bench.declare(queue, mode=ProvisionMode.PLAN)
        made = PlanEntry(
            PlanAction.CREATE, "queue", f"{queue.name}.history", "x-queue-type='stream', x-max-age='604800s'"
        )
        assert made in plan.entries
        await bench.declare(ExchangeSpec(name=name), queue)
        assert {entry.action for entry in (await bench.declare(queue)).entries} == {PlanAction.EXISTS}
        await bench.declare(narrower, mode=ProvisionMode.PRUNE)
        left = [
            (bound["destination_name"], bound["routing_key"])
            for bound in await bindings(broker)
            if bound["source_name"] == name
        ]
    assert sorted(left) == [(queue.name, "a.*"), (f"{queue.name}.history", "a.*")]
