"""Sends to RabbitMQ when something is in the way: each gets its own answer, and harms no other."""

import asyncio
from asyncio import Future
from collections.abc import Sequence
from time import monotonic

import pytest

from msgkit import Application, Exchange, MessageTemplate, Queue
from msgkit.envelope import Kind, Receipt, new_id
from msgkit.errors import SendRefused, SendUnknown, Unroutable
from msgkit.spi import Down, ExchangeSpec, QueueSpec, RouteSpec
from msgkit.testing.brokers import RabbitMQ
from msgkit.testing.proxy import Direction
from msgkit_rabbitmq import RabbitQueue
from tests.bench import Bench, message
from tests.rabbitmq.trouble import alarm, plain, settings
from tests.waiting import until

pytestmark = pytest.mark.broker

#: Seconds within which a peer that has gone silent is to be noticed.
SILENCE = 15.0


async def test_a_missing_exchange_harms_none_of_a_hundred_sends_to_others(broker: RabbitMQ) -> None:
    name = new_id()
    there = [Exchange(f"{name}.{number}", str) for number in range(4)]
    jobs = Queue(name, str)
    declared = [jobs, *(each.queue(f"{each.name}.q", "#") for each in there)]
    async with Application(topology=declared, settings=settings(broker)) as app, asyncio.timeout(30):
        async with app.template.pipeline() as pipeline:
            missing: list[Future[Receipt]] = []
            good: list[Future[Receipt]] = []
            for number in range(100):
                good.append(await pipeline.send(there[number % 4] if number % 5 else jobs, "good"))
                if number % 10 == 0:
                    missing.append(asyncio.ensure_future(app.template.send(Exchange(f"{name}.missing", str), "bad")))
            for answer in await asyncio.gather(*missing, return_exceptions=True):
                assert isinstance(answer, Unroutable)
                assert f"exchange '{name}.missing' does not exist" in str(answer)
        assert len([each.result() for each in good]) == 100


async def test_an_exchange_that_is_deleted_while_in_use_is_missing_for_later_sends_alone(broker: RabbitMQ) -> None:
    name = new_id()
    async with Bench.open(broker.url) as bench, plain(broker) as channel:
        await bench.declare(QueueSpec(name=name, routes=(RouteSpec(exchange=name), RouteSpec(exchange=f"{name}.b"))))
        assert await bench.send("x", name, kind=Kind.EXCHANGE, require_route=True)
        await channel.exchange_delete(name)
        others = [bench.binding.send(message("good", f"{name}.b", kind=Kind.EXCHANGE)) for _ in range(50)]
        first = bench.binding.send(message("lost", name, kind=Kind.EXCHANGE))
        others += [bench.binding.send(message("good", f"{name}.b", kind=Kind.EXCHANGE)) for _ in range(50)]
        async with asyncio.timeout(20):
            # With others of its channel before it, nobody could tell which of them was the first to fail.
            with pytest.raises((Unroutable, SendUnknown)):
                await first
            with pytest.raises(Unroutable, match="does not exist"):
                await bench.send("lost", name, kind=Kind.EXCHANGE)
            await asyncio.gather(*others)
        # Somebody makes it again, and it works again.
        await bench.declare(ExchangeSpec(name=name))
        assert await bench.send("x", name, kind=Kind.EXCHANGE)
        assert bench.events.empty()


async def test_two_sends_under_one_id_get_each_its_own_answer(broker: RabbitMQ) -> None:
    name = new_id()
    async with Bench.open(broker.url) as bench, asyncio.timeout(20):
        await bench.declare(QueueSpec(name=name, routes=(RouteSpec(exchange=name, subject="heard"),)))
        for _ in range(20):
            heard = message("x", name, kind=Kind.EXCHANGE, message_id="one", subject="heard", require_route=True)
            unheard = heard._replace(subject="unheard")
            sent = [bench.binding.send(each) for each in (heard, unheard, heard, unheard)]
            answers = await asyncio.gather(*sent, return_exceptions=True)
            assert [type(each) for each in answers] == [Receipt, Unroutable, Receipt, Unroutable]


async def test_what_nobody_hears_is_confirmed_and_warned_of_once_for_each_subject(
    broker: RabbitMQ, caplog: pytest.LogCaptureFixture
) -> None:
    orders = Exchange(new_id(), str)
    async with Application(topology=[orders], settings=settings(broker)) as app:
        for subject in ("a", "b", "a", "b", "a"):
            await app.template.send(orders, "x", subject=subject)
        with pytest.raises(Unroutable, match=f"no queue takes 'c' from exchange '{orders.name}'"):
            await app.template.send(orders, "x", subject="c", require_route=True)
        with pytest.raises(Unroutable, match=r"queue .* does not exist"):
            await app.template.send(Queue(f"{orders.name}.absent", str), "x")
    warned = [record.getMessage() for record in caplog.records if "no queue takes" in record.getMessage()]
    assert [subject for text in warned for subject in "abc" if f"'{subject}'" in text] == ["a", "b"]


FULL = RabbitQueue(max_length=1)


async def fill(bench: Bench, name: str) -> None:
    """Send to a queue until it is full: the broker counts a moment later."""

    async def is_full() -> bool:
        try:
            await bench.send("fills", name)
        except SendRefused:
            return True
        return False

    await until(is_full)


@pytest.mark.parametrize("kind", ["quorum", "classic"])
async def test_a_full_queue_refuses_what_is_sent_to_it(broker: RabbitMQ, kind: str) -> None:
    name = new_id()
    full = RabbitQueue(kind="classic", max_length=1) if kind == "classic" else FULL
    async with Bench.open(broker.url) as bench:
        await bench.declare(QueueSpec(name=name, options=(full,)), QueueSpec(name=f"{name}.other"))
        await fill(bench, name)
        others = [bench.binding.send(message("good", f"{name}.other")) for _ in range(20)]
        with pytest.raises(SendRefused, match=f"queue '{name}' refused it: it is full"):
            await bench.send("x", name)
        async with asyncio.timeout(20):
            await asyncio.gather(*others)


async def test_behind_an_exchange_a_full_queue_makes_it_unknown_since_others_may_have_it(broker: RabbitMQ) -> None:
    name = new_id()
    route = (RouteSpec(exchange=name, kind="fanout"),)
    async with Bench.open(broker.url) as bench:
        wide = QueueSpec(name=f"{name}.open", routes=route)
        await bench.declare(QueueSpec(name=f"{name}.full", routes=route, options=(FULL,)), wide)
        await fill(bench, f"{name}.full")
        with pytest.raises(SendUnknown, match="others may have it"):
            await bench.send("both", name, kind=Kind.EXCHANGE)
        taker = await bench.consume(wide)
        assert (await taker.take()).envelope.body == b"both"


async def test_sends_wait_while_the_broker_has_no_memory_and_go_on_when_it_has(
    broker: RabbitMQ, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = Queue(new_id(), str)
    async with (
        Application(topology=[jobs], settings=settings(broker)) as app,
        MessageTemplate(settings(broker)) as other,
    ):
        await app.template.send(jobs, "before")
        await other.send(jobs, "before")
        async with alarm(broker):
            await until(lambda: blocked_by(app.template, jobs, caplog))
            waiting = [asyncio.ensure_future(app.template.send(jobs, f"waits {number}")) for number in range(10)]
            with pytest.raises(SendRefused, match="was not sent"):
                await app.template.send(jobs, "in time or never", timeout=0.5)
            assert not any(each.done() for each in waiting)
        async with asyncio.timeout(20):
            await asyncio.gather(*waiting)
        heard = await taken(app.template, jobs, last="waits 9")
        assert [each for each in heard if each.startswith("waits")] == [f"waits {number}" for number in range(10)]
        assert "in time or never" not in heard


async def taken(template: MessageTemplate, jobs: Queue[str], *, last: str) -> list[str]:
    """Take what a queue holds, up to one message: a call returns what there is, and not all that comes."""
    heard: list[str] = []
    while last not in heard:
        async with template.receive(jobs, limit=100, timeout=10) as got:
            assert got
            heard += [each.payload for each in got]
    return heard


async def blocked_by(template: MessageTemplate, jobs: Queue[str], caplog: pytest.LogCaptureFixture) -> bool:
    """Send until the broker says that it takes nothing: it says so to whoever sends."""
    try:
        await template.send(jobs, "is it blocked?", timeout=0.3)
    except (SendRefused, SendUnknown):
        return "takes no messages at the moment" in caplog.text
    return False


async def test_a_network_that_swallows_all_is_noticed_and_what_waited_goes_out_when_it_heals(broker: RabbitMQ) -> None:
    name = new_id()
    async with Bench.open(broker.url) as bench, asyncio.timeout(50):
        await bench.declare(QueueSpec(name=name))
        await bench.send("before", name)
        await broker.proxy.black_hole()
        began = monotonic()
        written = [bench.binding.send(message("written", name)) for _ in range(20)]
        answers = await asyncio.gather(*written, return_exceptions=True)
        assert {type(each) for each in answers} == {SendUnknown}
        assert isinstance(await bench.events.get(), Down)
        assert monotonic() - began < SILENCE
        waiting = [bench.binding.send(message("waited", name)) for _ in range(20)]
        await broker.proxy.heal()
        assert all(await asyncio.gather(*waiting))


async def test_lost_confirms_leave_sends_unknown_and_not_lost(broker: RabbitMQ) -> None:
    name = new_id()
    queue = QueueSpec(name=name)
    async with Bench.open(broker.url) as other, asyncio.timeout(30):
        await other.declare(queue)
    # Who declares has more to ask in the background, and an answer to that would be what is cut.
    async with Bench.open(broker.url) as bench, asyncio.timeout(30):
        await bench.send("before", name)
        await broker.proxy.cut_after(0, Direction.DOWN)
        with pytest.raises(SendUnknown):
            await bench.send("stored", name)
        taker = await bench.consume(queue)
        assert [each.envelope.body for each in await taker.take_all(2)] == [b"before", b"stored"]


async def test_a_send_that_is_cancelled_while_it_waits_is_never_written(broker: RabbitMQ) -> None:
    jobs = Queue(new_id(), str)
    async with Application(topology=[jobs], settings=settings(broker)) as app, asyncio.timeout(40):
        await app.template.send(jobs, "before")
        await broker.proxy.refuse()
        await broker.proxy.cut()

        async def is_down() -> bool:
            return (await app.health())["status"] == "down"

        await until(is_down)
        unwanted = asyncio.ensure_future(app.template.send(jobs, "unwanted"))
        wanted = asyncio.ensure_future(app.template.send(jobs, "wanted"))
        await asyncio.sleep(0)
        unwanted.cancel()
        await broker.proxy.heal()
        await wanted
        assert await taken(app.template, jobs, last="wanted") == ["before", "wanted"]


async def test_a_send_that_is_cancelled_under_way_harms_no_other(broker: RabbitMQ) -> None:
    jobs = Queue(new_id(), str)
    async with Application(topology=[jobs], settings=settings(broker)) as app, asyncio.timeout(30):
        sends = [asyncio.ensure_future(app.template.send(jobs, str(number))) for number in range(100)]
        await asyncio.sleep(0)
        for each in sends[::2]:
            each.cancel()
        assert all(await asyncio.gather(*sends[1::2]))
        assert await app.template.send(jobs, "after")


async def test_more_exchanges_than_channels_are_kept_open_all_work(broker: RabbitMQ) -> None:
    name = new_id()
    async with Bench.open(broker.url) as bench, plain(broker) as channel, asyncio.timeout(60):
        queue = await channel.declare_queue(name, exclusive=False, durable=True)
        names = [f"{name}.{number}" for number in range(260)]
        for each in names:
            exchange = await channel.declare_exchange(each, "fanout", auto_delete=True)
            await queue.bind(exchange)
        for first in (*range(0, 260, 20), 0):
            wave = names[first : first + 20]
            sent = [bench.binding.send(message("x", each, kind=Kind.EXCHANGE, require_route=True)) for each in wave]
            assert len(await asyncio.gather(*sent)) == len(wave)
        assert await channels_of(broker) <= 205
        await queue.delete(if_empty=False)


async def channels_of(broker: RabbitMQ) -> int:
    """Return how many channels the client has open, when those that it closes are closed."""
    counts: Sequence[str] = (await broker.ctl("list_connections", "channels", "client_properties")).splitlines()
    return max(int(line.split()[0]) for line in counts if '"trouble (publishing)"' in line)
