"""What is given back of an ordered queue waits in its consumer, and comes again at its old place."""

import asyncio

import pytest
from pamqp.commands import Basic

from msgkit import MessageTemplate, Queue
from msgkit.envelope import Envelope, Kind, new_id
from msgkit.errors import DeliveryLost
from msgkit.settlement import ACCEPT
from msgkit.spi import QueueSpec, RawDelivery, Release
from msgkit.testing.brokers import RabbitMQ
from msgkit_rabbitmq.inbox import Inbox
from msgkit_rabbitmq.taking import Handle
from msgkit_rabbitmq.wire import Delivered, Properties, encode_properties
from tests.bench import Bench, Taker
from tests.rabbitmq.trouble import settings
from tests.rabbitmq.wire_broker import at, serving

JOBS = QueueSpec(name="jobs", ordered=True)


def came(*tags: int) -> list[Delivered]:
    return [Delivered(tag, False, "", "jobs", encode_properties(Properties(message_id=f"{tag}"))) for tag in tags]  # noqa: FBT003 -- never given back


def opened(message: Delivered) -> tuple[RawDelivery, Handle]:
    handle = Handle(0, message.tag, Properties(), 0, is_worn=False)
    return RawDelivery(Envelope(b"", "jobs", Kind.QUEUE, f"{message.tag}"), 1, 0, None, 0, handle), handle


def inbox(*tags: int) -> Inbox:
    inbox = Inbox(opened)
    inbox.add(came(*tags))
    return inbox


def tags(inbox: Inbox) -> list[int]:
    """Hand out all."""
    found: list[int] = []
    while inbox:
        found.append(inbox.next()[1].tag)
    return found


def test_what_came_is_handed_out_in_that_order_whatever_its_tags() -> None:
    assert tags(inbox(3, 1, 2)) == [3, 1, 2]


def test_what_was_given_back_is_handed_out_before_the_rest_and_in_its_old_order() -> None:
    box = inbox(3, 1, 2, 5, 4)
    handed = [box.next() for _ in range(3)]
    for delivery, handle in (handed[2], handed[0], handed[1]):
        box.put_back(delivery, handle)
    assert tags(box) == [3, 1, 2, 5, 4]


def test_what_was_given_back_twice_keeps_its_place() -> None:
    box = inbox(1, 2, 3)
    first, second = box.next(), box.next()
    box.put_back(*first)
    again = box.next()
    box.put_back(*second)
    box.put_back(*again)
    assert tags(box) == [1, 2, 3]


def test_what_is_handed_out_again_is_a_delivery_of_its_own_with_all_that_is_known_of_it() -> None:
    box = inbox(1)
    before, handle = box.next()
    before.attempt = 3
    box.put_back(before, handle)
    again, the_same = box.next()
    assert again is not before
    assert the_same is handle
    assert (again.envelope, again.attempt) == (before.envelope, 3)


def test_only_what_was_never_handed_out_is_taken_out() -> None:
    box = inbox(1, 2, 3)
    box.put_back(*box.next())
    assert [message.tag for message in box.take_out()] == [2, 3]
    assert tags(box) == [1]


def test_forgetting_all_of_it_names_all_that_was_there() -> None:
    box = inbox(1, 2, 3)
    box.put_back(*box.next())
    assert box.clear() == ["1", "2", "3"]
    assert not box


# -- at a consumer


def bodies(deliveries: list[RawDelivery]) -> list[bytes]:
    return [delivery.envelope.body for delivery in deliveries]


async def test_what_an_ordered_queue_gives_back_stays_until_it_is_asked_for() -> None:
    async with serving() as broker, Bench.open(at(broker)) as bench, asyncio.timeout(20):
        broker.lying = {"jobs": [b"1", b"2", b"3", b"4"]}
        taker = await bench.consume(JOBS, credit=3)
        first, second, third = await taker.take_all(3)
        for delivery in (third, first, second):
            assert taker.consumer.settle(delivery, Release()) is None
        taker.consumer.credit(2)
        again = await taker.take_all(2)
        assert bodies(again) == [b"1", b"2"]
        too_late = taker.consumer.settle(first, ACCEPT)
        assert too_late is not None
        with pytest.raises(DeliveryLost):
            await too_late
        taker.consumer.credit(2)
        again += await taker.take_all(2)
        assert bodies(again) == [b"1", b"2", b"3", b"4"]
        for delivery in again:
            taker.consumer.settle(delivery, ACCEPT)
        assert await broker.settled.get() == (Basic.Ack, 4, True)
        assert broker.settled.empty()


async def test_what_no_ordered_queue_gives_back_goes_to_the_broker_at_once() -> None:
    async with serving() as broker, Bench.open(at(broker)) as bench, asyncio.timeout(20):
        broker.lying = {"jobs": [b"1"]}
        taker = await bench.consume(QueueSpec(name="jobs"))
        taker.consumer.settle(await taker.take(), Release())
        assert await broker.settled.get() == (Basic.Nack, 1, False)


@pytest.mark.broker
async def test_what_is_given_back_comes_in_order_here_and_to_whoever_comes_next(broker: RabbitMQ) -> None:
    queue = QueueSpec(name=new_id(), ordered=True)
    expected = [b"%d" % number for number in range(10)]
    async with Bench.open(broker.url) as bench, asyncio.timeout(30):
        await bench.declare(queue)
        for body in expected:
            await bench.send(body, queue.name, key="lane")
        taker: Taker = await bench.consume(queue, credit=6)
        for delivery in reversed(await taker.take_all(6)):
            taker.consumer.settle(delivery, Release())
        taker.consumer.credit(4)
        assert bodies(await taker.take_all(4)) == expected[:4]
        await taker.consumer.close()
        heir = await bench.consume(queue)
        deliveries = await heir.take_all(10)
        assert bodies(deliveries) == expected
        assert {delivery.crashes for delivery in deliveries} == {0}


@pytest.mark.broker
async def test_what_came_too_late_for_one_take_comes_in_order_to_the_next(broker: RabbitMQ) -> None:
    """Whoever takes by hand gives back what comes when nobody waits any more."""
    queue = Queue(new_id(), str, ordered=True)
    async with MessageTemplate(settings(broker)) as template, asyncio.timeout(30):
        await template.declare(queue)
        async with template.receiver(queue, max_in_flight=5) as receiver:
            assert not await receiver.take(5, timeout=0.1)
            for number in range(8):
                await template.send(queue, f"{number}", key="lane")
            found: list[str] = []
            while len(found) < 8:
                for delivery in await receiver.take(3, timeout=5):
                    found.append(delivery.payload)
                    await delivery.settle(ACCEPT)
            assert found == [f"{number}" for number in range(8)]
