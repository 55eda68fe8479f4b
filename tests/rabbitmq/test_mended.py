"""What once went wrong: refusals, hang-ups and limits that the broker answers by closing a channel."""

import asyncio
import logging
from urllib.parse import urlsplit

import pytest

from msgkit import Application, Exchange, MessageTemplate, Settings
from msgkit.envelope import Envelope, Kind, new_id
from msgkit.errors import MessagingError, SendRefused, Unroutable
from msgkit.settlement import ACCEPT
from msgkit.spi import Depth, Down, ExchangeSpec, Fatal, PlanAction, QueueSpec
from msgkit.testing.brokers import RabbitMQ
from msgkit.testing.proxy import Direction, FaultProxy
from tests.bench import Bench, message
from tests.rabbitmq.test_refusals import user_with
from tests.rabbitmq.trouble import MOST_BYTES, plain, settings

pytestmark = pytest.mark.broker

#: Bytes: more than it takes to get in, and fewer than to declare thirty queues.
_SOME = 3000


async def test_who_may_not_send_to_one_exchange_still_sends_to_others(broker: RabbitMQ) -> None:
    """The last of what the broker closed a channel for is not stored for sure."""
    name = new_id()
    forbidden, allowed = Exchange(f"{name}.forbidden", str), Exchange(f"{name}.allowed", str)
    both = [forbidden.queue(f"{name}.a", "#"), allowed.queue(f"{name}.b", "#")]
    async with Application(topology=both, settings=settings(broker)):
        pass
    url = await user_with(broker, "", r".*\.allowed", ".*")
    async with MessageTemplate(Settings(url=url, topology="assume")) as template, asyncio.timeout(20):
        async with template.pipeline() as pipeline:
            good = [await pipeline.send(allowed, "good") for _ in range(50)]
            bad = asyncio.ensure_future(template.send(forbidden, "bad"))
            good += [await pipeline.send(allowed, "good") for _ in range(50)]
            with pytest.raises(SendRefused, match=rf"exchange '{name}\.forbidden'.*refused"):
                await bad
        assert all(each.result() for each in good)


async def test_who_may_not_read_is_told_of_which_queue(broker: RabbitMQ, caplog: pytest.LogCaptureFixture) -> None:
    """It is tried again for a while, and then somebody is told."""
    queue = QueueSpec(name=new_id())
    async with Bench.open(broker.url) as bench:
        await bench.declare(queue)
    url = await user_with(broker, ".*", ".*", "")
    caplog.set_level(logging.INFO)
    async with asyncio.timeout(10), Bench.open(url) as bench:
        await bench.consume(queue)
        event = await bench.events.get()
        assert isinstance(event, Fatal)
        assert queue.name in event.reason
        assert "refused" in event.reason
    assert len([each for each in caplog.messages if "is not consumed any more" in each]) < 20


async def test_whoever_sends_behind_a_message_that_is_too_large_is_unharmed(broker: RabbitMQ) -> None:
    """The broker does nothing of what comes behind it on its channel: it can be sent again."""
    name = new_id()
    async with Bench.open(broker.url) as bench:
        await bench.declare(QueueSpec(name=name))
        large = bench.binding.send(message(b"x" * (MOST_BYTES + 1), name))
        behind = [bench.binding.send(message("good", name)) for _ in range(20)]
        async with asyncio.timeout(20):
            with pytest.raises(SendRefused, match="takes no message of 262,145 bytes"):
                await large
            await asyncio.gather(*behind)


async def test_a_topology_that_the_broker_hangs_up_on_is_given_up(broker: RabbitMQ) -> None:
    """RabbitMQ 4.0 hangs up when the text of its own error overflows."""
    if broker.version.startswith("3."):
        return
    async with Bench.open(broker.url, wait=2) as bench, asyncio.timeout(10):
        with pytest.raises(MessagingError, match="541"):
            await bench.declare(QueueSpec(name="ü" * 127))


async def test_what_began_first_begins_first_again_whenever_it_was_sent(broker: RabbitMQ) -> None:
    """Two senders' messages are not stored in the order of their clocks."""
    queue = QueueSpec(name=new_id(), ordered=True)
    async with Bench.open(broker.url) as bench, asyncio.timeout(30):
        await bench.declare(queue)
        for number, sent_at in enumerate((2e9, 1e9, 3e9, 0.0)):
            await bench.send(str(number), queue.name, sent_at=sent_at)
        for _ in range(2):
            taker = await bench.consume(queue)
            assert [each.envelope.body for each in await taker.take_all(4)] == [b"0", b"1", b"2", b"3"]
            await taker.consumer.close()


async def test_order_survives_consumers_that_take_less_at_a_time_than_those_before_them(broker: RabbitMQ) -> None:
    """What the first gave back is more than the next one holds, which leaves with a part of it."""
    queue = QueueSpec(name=new_id(), ordered=True)
    async with Bench.open(broker.url) as bench, asyncio.timeout(30):
        await bench.declare(queue)
        for number in range(12):
            await bench.send(f"{number}", queue.name, key="lane", sent_at=1e9 + number)
        for window, last in ((9, 8), (3, 2), (3, 2)):
            taker = await bench.consume(queue, window)
            assert (await taker.take_all(window))[-1].envelope.body == b"%d" % last
            await taker.consumer.close()
        taker = await bench.consume(queue, 2)
        for number in range(12):
            delivery = await taker.take()
            assert delivery.envelope.body == b"%d" % number
            await taker.settle(delivery, ACCEPT)


async def test_a_deployment_of_many_processes_convicts_no_message_of_an_ordered_queue(broker: RabbitMQ) -> None:
    """Each gives back what it holds when it ends, and the next one does not know of that."""
    queue = QueueSpec(name=new_id(), ordered=True)
    async with Bench.open(broker.url) as bench:
        await bench.declare(queue)
        await bench.send("held", queue.name, key="lane")
    crashes: list[int] = []
    for _ in range(13):
        async with Bench.open(broker.url) as bench, asyncio.timeout(30):
            taker = await bench.consume(queue)
            crashes.append((await taker.take()).crashes)
            await taker.consumer.close()
    assert max(crashes) <= 3


async def test_a_queue_that_holds_messages_is_never_said_to_be_empty(broker: RabbitMQ) -> None:
    """While a quorum queue comes up again, the broker says that there is nothing in it."""
    queues = [QueueSpec(name=new_id()) for _ in range(8)]
    async with Bench.open(broker.url) as bench:
        await bench.declare(*queues)
        for queue in queues:
            await bench.send("kept", queue.name)
        await broker.kill()
        await broker.start()
        depths = await asyncio.gather(*(bench.depth(queue) for queue in queues))
    assert [depth.ready for depth in depths] == [1] * len(queues)


async def test_answers_to_nobody_harm_no_answers_to_others(broker: RabbitMQ) -> None:
    """Whether somebody still waits is asked for each of them, over channels that an answer may end."""
    async with Bench.open(broker.url) as asker, Bench.open(broker.url) as answerer:
        heard = asyncio.Queue[Envelope]()
        address = await asker.listen(heard.put_nowait)
        gone = address[:-4] + "gone"
        sent = [answerer.binding.send(message(f"{n}", gone if n % 3 else address, kind=Kind.REPLY)) for n in range(60)]
        outcomes = await asyncio.gather(*sent, return_exceptions=True)
        for number, outcome in enumerate(outcomes):
            assert isinstance(outcome, Unroutable) == bool(number % 3), (number, outcome)
        async with asyncio.timeout(20):
            bodies = {(await heard.get()).body for _ in range(20)}
    assert bodies == {b"%d" % number for number in range(0, 60, 3)}


async def test_a_broker_whose_page_goes_first_is_waited_for(broker: RabbitMQ) -> None:
    """A broker that ends takes its management page away a moment before its connections."""
    queue = QueueSpec(name=new_id())
    page = urlsplit(broker.management_url)
    async with FaultProxy.before(str(page.hostname), page.port or 80) as before:
        options = {"management": f"http://{before.address}"}
        async with Bench.open(broker.url, options=options) as bench, asyncio.timeout(20):
            await bench.declare(queue)
            await before.hold()
            declaring = asyncio.create_task(bench.declare(queue))
            while not before.connections:  # noqa: ASYNC110 -- a proxy has no event for it
                await asyncio.sleep(0.01)
            await before.heal()
            await before.refuse()
            await before.cut()
            await broker.proxy.cut()
            await before.accept()
            plan = await declaring
    assert (PlanAction.EXISTS, "queue", queue.name) in [
        (entry.action, entry.what, entry.name) for entry in plan.entries
    ]


async def test_a_send_alone_on_its_way_to_an_exchange_that_was_deleted_is_refused(broker: RabbitMQ) -> None:
    """Of those on a channel that the broker closed for want of the exchange, the last one is not stored for sure."""
    name = new_id()
    async with Bench.open(broker.url) as bench, plain(broker) as channel:
        await bench.declare(ExchangeSpec(name=name))
        await bench.send("x", name, kind=Kind.EXCHANGE)
        await channel.exchange_delete(name)
        with pytest.raises(Unroutable, match="does not exist"):
            await bench.send("lost", name, kind=Kind.EXCHANGE)


async def test_more_exchanges_at_once_than_there_are_channels_are_all_sent_to(broker: RabbitMQ) -> None:
    """Channels that nothing is sent over at the moment make room."""
    name = new_id()
    async with Bench.open(broker.url) as bench, asyncio.timeout(60):
        await bench.declare(*(ExchangeSpec(name=f"{name}.{number}") for number in range(2100)))
        sent = [bench.binding.send(message("x", f"{name}.{number}", kind=Kind.EXCHANGE)) for number in range(2100)]
        async with asyncio.timeout(15):
            assert len(await asyncio.gather(*sent)) == len(sent)


async def test_a_connection_that_is_lost_again_and_again_while_declaring_delays_it_and_refuses_nothing(
    broker: RabbitMQ,
) -> None:
    """Three losses in a row were taken for what the declaration does to the connection."""
    specs = [QueueSpec(name=new_id()) for _ in range(30)]
    async with Bench.open(broker.url) as bench, asyncio.timeout(30):
        await broker.proxy.cut_after(_SOME, Direction.UP)
        declaring = asyncio.create_task(bench.declare(*specs))
        for _ in range(4):
            while not isinstance(await bench.events.get(), Down):
                pass
            assert not declaring.done()
            await broker.proxy.cut_after(_SOME, Direction.UP)
        await broker.proxy.heal()
        await declaring
        assert await bench.depth(specs[-1]) == Depth(ready=0, unsettled=None, delayed=None)
