"""Delays on RabbitMQ, with no plugin: never early, never lost, in no one's way."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from time import monotonic, time
from typing import Any, cast

import pytest
from aio_pika.abc import AbstractChannel
from pamqp.common import FieldTable

from msgkit import Application, Backoff, Message, Queue, listener
from msgkit.envelope import Envelope, Kind, new_id
from msgkit.settlement import ACCEPT
from msgkit.spi import ExchangeSpec, QueueSpec, RetryCopy, RouteSpec
from msgkit.testing.brokers import RabbitMQ
from tests.bench import Bench, message
from tests.interop.inbox import Inbox
from tests.rabbitmq.trouble import plain, queues, settings
from tests.waiting import until

pytestmark = pytest.mark.broker

#: Seconds, as the capabilities declare it; and what a machine adds that has more to do.
LATENESS = 1.0 + 1.0
UNDELIVERABLE, UNHEARD = "msgkit.undeliverable", "msgkit.due.unheard"


async def test_a_delayed_message_is_never_early_and_as_late_as_is_declared(broker: RabbitMQ) -> None:
    jobs = Queue(new_id(), float)
    got = Inbox[tuple[float, float]]()

    @listener(jobs)
    async def work(delay: float) -> None:
        got.put((delay, monotonic()))

    async with Application([work], settings=settings(broker)) as app:
        # The first of all waits for what delays need to be made.
        await app.template.send(jobs, 0.0, delay=0.001)
        await got.next()
        delays = [3.15, 0.05, 0.1, 1.6, 0.35, 0.7, 0.101, 2.0]
        stored: dict[float, tuple[float, float]] = {}
        for delay in delays:
            before = monotonic()
            await app.template.send(jobs, delay, delay=delay)
            stored[delay] = before, monotonic()
        heard = dict([await got.next() for _ in delays])
    for delay, (before, after) in stored.items():
        assert heard[delay] - before >= delay
        assert heard[delay] - after <= delay + LATENESS
    # A short one never waits behind a long one.
    assert list(heard)[-2:] == [2.0, 3.15]


async def test_a_moment_is_kept_as_well_as_a_delay(broker: RabbitMQ) -> None:
    jobs = Queue(new_id(), str)
    got = Inbox[float]()

    @listener(jobs)
    async def work(_: str) -> None:
        got.put(time())

    async with Application([work], settings=settings(broker)) as app:
        moment = datetime.now(UTC) + timedelta(seconds=1.3)
        await app.template.send(jobs, "x", deliver_at=moment)
        heard = await got.next()
        assert moment.timestamp() <= heard <= moment.timestamp() + LATENESS
        past = datetime.now(UTC) - timedelta(seconds=60)
        await app.template.send(jobs, "x", deliver_at=past)
        assert await got.next() - time() < LATENESS


async def test_two_thousand_instants_make_no_queue(broker: RabbitMQ) -> None:
    name = new_id()
    async with Bench.open(broker.url) as bench, asyncio.timeout(40):
        await bench.declare(QueueSpec(name=name))
        await bench.send("first", name, delay=600.0)
        before = {each["name"] for each in await queues(broker)}
        sent = [bench.binding.send(message("later", name, delay=600.0 + 1.7 * number)) for number in range(2000)]
        await asyncio.gather(*sent)
        assert {each["name"] for each in await queues(broker)} == before


async def test_routes_are_those_of_when_it_is_due(broker: RabbitMQ) -> None:
    name = new_id()
    early, late = f"{name}.early", f"{name}.late"
    async with Bench.open(broker.url) as bench, plain(broker) as channel, asyncio.timeout(30):
        route = (RouteSpec(exchange=name, subject="placed.*"),)
        await bench.declare(QueueSpec(name=early, routes=route))
        await bench.send("x", name, kind=Kind.EXCHANGE, subject="placed.eu", delay=1.5)
        await (await channel.get_queue(early)).unbind(name, "placed.*")
        await bench.declare(QueueSpec(name=late, routes=route))
        taker = await bench.consume(QueueSpec(name=late))
        taken = await taker.take()
        assert taken.envelope.body == b"x"
        assert (taken.envelope.kind, taken.envelope.destination) == (Kind.EXCHANGE, name)
        assert taken.envelope.subject == "placed.eu"
        assert await ready(channel, early) == 0


async def test_what_nobody_hears_when_it_is_due_is_gone_and_in_nobodys_way(broker: RabbitMQ) -> None:
    name = new_id()
    heard = QueueSpec(name=name)
    async with Bench.open(broker.url) as bench, plain(broker) as channel, asyncio.timeout(30):
        await bench.declare(ExchangeSpec(name=name), heard)
        await bench.send("x", name, delay=0.1)
        taker = await bench.consume(heard)
        assert (await taker.take()).envelope.body == b"x"
        kept = await ready(channel, UNDELIVERABLE)
        for number in range(20):
            await bench.send(f"unheard {number}", name, kind=Kind.EXCHANGE, delay=0.3)
            await bench.send(f"heard {number}", name, delay=0.3)
        taken = await taker.take_all(20)
        assert {each.envelope.body for each in taken} == {b"heard %d" % number for number in range(20)}

        async def are_gone() -> bool:
            return not sum([await ready(channel, each) for each in ("msgkit.delay.0", "msgkit.delay.1", UNHEARD)])

        await until(are_gone)
        assert await ready(channel, UNDELIVERABLE) == kept


async def ready(channel: AbstractChannel, name: str) -> int:
    """Return how many messages wait in a queue, as it knows itself: what the broker lists is seconds old."""
    return (await channel.declare_queue(name, passive=True)).declaration_result.message_count or 0


async def test_what_is_due_at_a_queue_that_was_deleted_is_kept_aside_and_in_nobodys_way(broker: RabbitMQ) -> None:
    name = new_id()
    gone, there = QueueSpec(name=f"{name}.gone"), QueueSpec(name=f"{name}.there")
    async with Bench.open(broker.url) as bench, plain(broker) as channel, asyncio.timeout(30):
        await bench.declare(gone, there)
        await bench.send("lost", gone.name, delay=1.0)
        await channel.queue_delete(gone.name)
        await bench.send("found", there.name, delay=1.0)
        taker = await bench.consume(there)
        assert (await taker.take()).envelope.body == b"found"
        kept = await channel.get_queue(UNDELIVERABLE)

        async def is_kept() -> bool:
            found = await kept.get(fail=False)
            if found is None:
                return False
            await found.ack()
            return found.body == b"lost" and found.headers["msgkit-due"] == f"queue:{gone.name}"

        await until(is_kept)


async def test_what_is_delayed_comes_to_a_queue_that_was_deleted_and_made_again_meanwhile(broker: RabbitMQ) -> None:
    jobs = QueueSpec(name=new_id())
    async with Bench.open(broker.url) as bench, plain(broker) as channel, asyncio.timeout(30):
        await bench.declare(jobs)
        taker = await bench.consume(jobs)
        await bench.send("later", jobs.name, delay=2.0)
        # Its consumer comes back, and makes it again.
        await channel.queue_delete(jobs.name)
        assert (await taker.take()).envelope.body == b"later"


async def test_what_is_delayed_comes_to_a_queue_that_somebody_else_makes_again(broker: RabbitMQ) -> None:
    jobs = QueueSpec(name=new_id())
    async with Bench.open(broker.url) as bench, plain(broker) as channel, asyncio.timeout(30):
        await bench.declare(jobs)
        await bench.send("later", jobs.name, delay=2.0)
        await channel.queue_delete(jobs.name)
        async with Bench.open(broker.url) as other:
            await other.declare(jobs)
            taker = await other.consume(jobs)
            assert (await taker.take()).envelope.body == b"later"


async def test_what_is_delayed_comes_through_an_exchange_that_somebody_else_makes_again(broker: RabbitMQ) -> None:
    orders, name = ExchangeSpec(name=new_id()), new_id()
    billing = QueueSpec(name=name, routes=(RouteSpec(exchange=orders.name),))
    async with Bench.open(broker.url) as bench, plain(broker) as channel, asyncio.timeout(30):
        await bench.declare(orders, billing)
        await bench.send("later", orders.name, kind=Kind.EXCHANGE, delay=2.0)
        await channel.exchange_delete(orders.name)
        async with Bench.open(broker.url) as other:
            await other.declare(orders, billing)
            taker = await other.consume(billing)
            assert (await taker.take()).envelope.body == b"later"


async def test_what_found_no_queue_when_it_was_due_comes_when_an_application_comes_up(broker: RabbitMQ) -> None:
    jobs, gone = QueueSpec(name=new_id()), QueueSpec(name=new_id())
    due: FieldTable = {"x-match": "all", "msgkit-due": f"queue:{jobs.name}"}
    async with Bench.open(broker.url) as bench, plain(broker) as channel, asyncio.timeout(30):
        await bench.declare(jobs, gone)
        await bench.send("for ever", gone.name, delay=0.1)
        await channel.queue_delete(gone.name)
        await bench.send("late", jobs.name, delay=0.5)
        queue = await channel.get_queue(jobs.name)
        await queue.unbind("msgkit.due", routing_key="", arguments=due)

        async def are_kept() -> bool:
            return await ready(channel, UNDELIVERABLE) >= kept

        kept = 2
        await until(are_kept)
        async with Bench.open(broker.url) as other:
            await other.declare(jobs)
            taker = await other.consume(jobs)
            assert (await taker.take()).envelope.body == b"late"
            kept = 1
            await until(are_kept)


async def test_a_restart_loses_none(broker: RabbitMQ) -> None:
    jobs = Queue(new_id(), int)
    got = Inbox[tuple[int, float]]()

    @listener(jobs)
    async def work(number: int) -> None:
        got.put((number, monotonic()))

    async with Application([work], settings=settings(broker)) as app, asyncio.timeout(60):
        due: dict[int, float] = {}
        for number in range(40):
            delay = 1.0 + number * 0.1
            due[number] = monotonic() + delay
            await app.template.send(jobs, number, delay=delay)
        # Each takes seconds: one of the brokers is killed, the other leaves in order.
        await (broker.kill() if broker.provider == "process" else broker.stop())
        await broker.start()
        missing = set(due)
        while missing:
            try:
                number, at = await got.next()
            except TimeoutError:
                left = {
                    each["name"]: each for each in await queues(broker, "messages", "consumers") if each["messages"]
                }
                pytest.fail(f"{missing} of {jobs.name} are missing; {await app.health()}; there are {left}")
            assert at >= due[number]
            missing.discard(number)


async def test_a_message_goes_through_twenty_retries_of_the_same_levels(broker: RabbitMQ) -> None:
    jobs = Queue(new_id(), str)
    attempts: list[int] = []

    @listener(jobs, retry=Backoff(attempts=20, first=0.1, factor=1, jitter=0))
    async def work(heard: Message[str]) -> None:
        attempts.append(heard.attempt)
        raise ValueError(heard.payload)

    async with Application([work], settings=settings(broker)) as app:
        await app.template.send(jobs, "x", headers={"mine": "kept"})
        async with app.template.receive(jobs.dead_letters, timeout=30) as (dead,):
            assert dead.payload == b"x"
            assert dead.headers["mine"] == "kept"
            assert dead.headers["msgkit-dead-attempts"] == 20
            assert not [name for name in dead.headers if name.startswith(("x-", "msgkit-level", "msgkit-due"))]
    assert attempts == list(range(1, 21))


async def test_the_record_of_a_delay_does_not_grow_with_each(broker: RabbitMQ) -> None:
    queue = QueueSpec(name=new_id())
    async with Bench.open(broker.url) as bench, plain(broker) as channel, asyncio.timeout(30):
        await bench.declare(queue)
        await bench.send("x", queue.name, headers={"mine": "kept"})
        taker = await bench.consume(queue, credit=1)
        for attempt in range(2, 7):
            taken = await taker.take()
            again: Envelope = taken.envelope._replace(attempt=attempt)
            await taker.settle(taken, RetryCopy(0.25, again))
        taken = await taker.take()
        assert taken.attempt == 6
        await taker.settle(taken, RetryCopy(0.25, taken.envelope._replace(attempt=7)))
        await taker.consumer.close()
        kept = await channel.get_queue(queue.name)

        async def left() -> Any:
            return await kept.get(fail=False)

        found = await until(left)
        assert found.headers["mine"] == "kept"
        deaths = cast("list[Mapping[str, Any]]", found.headers["x-death"])
        # 0.25 s are the levels of 100 and of 200 ms, each once.
        counts = {each["queue"]: each["count"] for each in deaths}
        assert counts == {"msgkit.delay.0": 1, "msgkit.delay.1": 1}
        assert len(found.headers) < 16
        await found.ack()


async def test_a_delayed_copy_of_what_was_delayed_is_delayed_again(broker: RabbitMQ) -> None:
    """Whoever sends on what came late gives it to the same levels once more."""
    first, second = Queue(new_id(), str), Queue(new_id(), str)
    got = Inbox[tuple[str, float]]()
    app = Application(settings=settings(broker))

    @listener(first)
    async def pass_on(heard: Message[str]) -> None:
        await app.template.send(second, heard, delay=0.3)

    @listener(second)
    async def work(heard: str) -> None:
        got.put((heard, monotonic()))

    app = Application([pass_on, work], settings=settings(broker))
    async with app:
        began = monotonic()
        await app.template.send(first, "x", delay=0.3)
        heard, at = await got.next()
        assert heard == "x"
        assert at - began >= 0.6


async def test_an_exchange_and_a_queue_of_one_name_are_told_apart_when_they_are_due(broker: RabbitMQ) -> None:
    name = new_id()
    direct, routed = QueueSpec(name=name), QueueSpec(name=f"{name}.routed", routes=(RouteSpec(exchange=name),))
    async with Bench.open(broker.url) as bench:
        await bench.declare(direct, routed)
        await bench.send("queue", name, delay=0.1)
        await bench.send("exchange", name, kind=Kind.EXCHANGE, delay=0.1)
        for queue, body in ((direct, b"queue"), (routed, b"exchange")):
            taker = await bench.consume(queue)
            taken = await taker.take()
            assert taken.envelope.body == body
            await taker.settle(taken, ACCEPT)
