"""Who leaves while the broker is slow, or while it comes back: nothing of it stays, and nobody waits."""

import asyncio

import pytest
from pamqp import commands

from msgkit import MessageTemplate, Queue, Settings
from msgkit.errors import Closed, DeliveryLost, SendRefused
from msgkit.settlement import ACCEPT
from msgkit.spi import Dead, QueueSpec, RawDelivery, Up
from tests.bench import Bench, Taker, message
from tests.rabbitmq.wire_broker import Broker, at, serving
from tests.rabbitmq.wire_peer import Line, soon

JOBS = QueueSpec(name="jobs")


async def taken(bench: Bench, broker: Broker) -> tuple[Taker, RawDelivery]:
    broker.lying = {"jobs": [b"one"]}
    taker = await bench.consume(JOBS)
    return taker, await taker.take()


async def blocked(bench: Bench, broker: Broker) -> Line:
    """Have the broker take nothing over the line that is returned."""
    publishing = broker.lines[0]
    publishing.says(commands.Connection.Blocked("an alarm"))
    # The answers are behind it.
    await bench.declare(JOBS)
    return publishing


async def begins_to_close(taker: Taker) -> "asyncio.Task[None]":
    """Have it wait for what is under way."""
    closing = asyncio.create_task(taker.consumer.close())
    await asyncio.sleep(0)
    return closing


async def given_up(closing: "asyncio.Task[object]") -> None:
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await soon(closing)


async def test_a_consumer_leaves_though_nobody_waits_until_its_dead_letters_are_confirmed() -> None:
    async with serving() as broker, Bench.open(at(broker)) as bench:
        taker, delivery = await taken(bench, broker)
        broker.confirms = False
        settled = taker.consumer.settle(delivery, Dead(message("one", "dead")))
        assert settled is not None
        await broker.until_published(1)
        await given_up(await begins_to_close(taker))
        await broker.until_left("jobs")
        broker.tells()
        # The original is somebody else's by now.
        with pytest.raises(DeliveryLost):
            await soon(settled)


async def test_nothing_is_sent_later_of_a_consumer_that_left_before_the_broker_took_messages_again() -> None:
    async with serving() as broker, Bench.open(at(broker)) as bench:
        taker, delivery = await taken(bench, broker)
        publishing = await blocked(bench, broker)
        settled = taker.consumer.settle(delivery, Dead(message("one", "dead")))
        assert settled is not None
        await given_up(await begins_to_close(taker))
        with pytest.raises(DeliveryLost):
            await soon(settled)
        publishing.says(commands.Connection.Unblocked())
        await bench.send("another", "jobs")
        assert len(broker.published) == 1


async def test_a_consumer_that_is_closed_as_it_comes_back_does_not_come_back() -> None:
    async with serving() as broker, Bench.open(at(broker)) as bench:
        taker = await bench.consume(JOBS)
        await broker.until_consumed("jobs")
        broker.silent_on = {"jobs"}
        asked = broker.asked["jobs"]
        broker.hangs_up()
        await broker.until_asked("jobs", asked + 1)
        await taker.consumer.close()
        broker.tells()
        async with asyncio.timeout(20):
            while not isinstance(await bench.events.get(), Up):
                pass
        await broker.until_left("jobs")


async def test_what_is_at_hand_is_anothers_when_a_receiver_leaves_and_the_broker_says_no_goodbye(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("msgkit.template.template._LEAVING", 0.1)
    async with serving() as broker, MessageTemplate(Settings(url=at(broker))) as template:
        broker.lying = {"jobs": [b"one"]}
        async with template.receiver(Queue("jobs", bytes)) as receiver:
            (delivery,) = await receiver.take(timeout=5)
            broker.says_goodbye = False
        with pytest.raises(DeliveryLost):
            await delivery.settle(ACCEPT)


async def test_nobody_is_given_a_consumer_of_a_client_that_closes_meanwhile() -> None:
    async with serving() as broker, Bench.open(at(broker)) as bench:
        publishing = await blocked(bench, broker)
        sent = bench.binding.send(message("one", "dead"))
        broker.silent_on, asked = {"jobs"}, broker.asked["jobs"]
        consuming = asyncio.create_task(bench.consume(JOBS))
        await broker.until_asked("jobs", asked + 1)
        # It waits for what is to be sent.
        closing = asyncio.create_task(bench.binding.close(30))
        await asyncio.sleep(0)
        broker.tells()
        with pytest.raises(Closed):
            await soon(consuming)
        publishing.says(commands.Connection.Unblocked())
        await soon(asyncio.gather(sent, closing))


@pytest.mark.parametrize("seconds", [5.0, 0.0])
async def test_closing_a_client_lets_go_of_what_its_consumers_have_in_hand(seconds: float) -> None:
    async with serving() as broker, Bench.open(at(broker)) as bench:
        taker, delivery = await taken(bench, broker)
        await bench.binding.close(seconds)
        settled = taker.consumer.settle(delivery, ACCEPT)
        assert settled is not None
        with pytest.raises(DeliveryLost):
            await settled


async def test_who_waits_no_longer_for_a_declaration_waits_for_no_goodbye_either() -> None:
    async with serving() as broker, Bench.open(at(broker)) as bench:
        broker.silent_on, broker.says_goodbye = {"jobs"}, False
        declaring = asyncio.create_task(bench.declare(JOBS))
        await broker.until_asked("jobs", 1)
        declaring.cancel()
        done, _ = await asyncio.wait([declaring], timeout=2)
        assert done


async def test_who_waits_no_longer_for_where_answers_come_in_leaves_no_channel_behind() -> None:
    async with serving() as broker, Bench.open(at(broker)) as bench:
        # The queue through which a client asks itself has no name until the broker gives it one.
        broker.silent_on = {""}
        listening = asyncio.create_task(bench.listen(lambda _: None))
        await broker.until_asked("", 1)
        await given_up(listening)
        await broker.until_left("")


async def test_what_is_not_sent_yet_is_refused_though_nobody_waits_until_the_client_is_closed() -> None:
    async with serving() as broker, Bench.open(at(broker)) as bench:
        await blocked(bench, broker)
        sent = bench.binding.send(message("one", "jobs"))
        closing = asyncio.create_task(bench.binding.close(30))
        for _ in range(2):
            # It waits for the broker to take it, and then for the broker's goodbye.
            for _ in range(3):
                await asyncio.sleep(0)
            closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await soon(closing)
        with pytest.raises(SendRefused, match="before it was sent"):
            await soon(sent)
