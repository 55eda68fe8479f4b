import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from pamqp.base import Frame
from pamqp.body import ContentBody
from pamqp.commands import Basic, Connection, Exchange, Queue
from pamqp.commands import Channel as Ch
from pamqp.header import ContentHeader

from msgkit_rabbitmq.wire import (
    Channel,
    ChannelClosed,
    ConnectionLost,
    Delivered,
    MalformedTable,
    Properties,
    QueueState,
    Returned,
    WireError,
    decode_properties,
    encode_properties,
)
from tests.rabbitmq.wire_peer import TUNE, Talk, content, soon, talking

T = TypeVar("T")
PLAIN = encode_properties(Properties(type="T"))


async def answered(talk: Talk, call: Coroutine[Any, Any, T], kind: type[Frame], answer: Frame) -> T:
    asking = asyncio.create_task(call)
    await talk.line.hears(kind, channel=1)
    talk.line.says(answer, channel=1)
    return await soon(asking)


def delivery(consumer: str, tag: int) -> Basic.Deliver:
    return Basic.Deliver(consumer, tag, routing_key="jobs")


def nothing() -> None:
    return None


async def consuming(talk: Talk, channel: Channel, tag: str = "t", *, no_ack: bool = False) -> list[Delivered]:
    got: list[Delivered] = []
    call = channel.consume("jobs", tag, got.append, nothing, no_ack=no_ack)
    await answered(talk, call, Basic.Consume, Basic.ConsumeOk(tag))
    return got


# -- calls


async def test_every_call_is_asked_as_it_is_meant_and_returns_what_is_answered() -> None:
    async with talking() as talk:
        channel = await talk.channel()
        await answered(talk, channel.qos(7), Basic.Qos, Basic.QosOk())
        await answered(talk, channel.declare_exchange("e", "topic"), Exchange.Declare, Exchange.DeclareOk())
        state = await answered(talk, channel.declare_queue("q"), Queue.Declare, Queue.DeclareOk("q", 3, 2))
        assert state == QueueState("q", 3, 2)
        await answered(talk, channel.bind_queue("q", "e", "k", {"n": 1}), Queue.Bind, Queue.BindOk())
        await answered(talk, channel.unbind_queue("q", "e", "k"), Queue.Unbind, Queue.UnbindOk())
        await answered(talk, channel.bind_exchange("to", "from", "k"), Exchange.Bind, Exchange.BindOk())
        assert await answered(talk, channel.purge("q"), Queue.Purge, Queue.PurgeOk(5)) == 5
        await answered(talk, channel.delete_queue("q"), Queue.Delete, Queue.DeleteOk(0))
        assert await consuming(talk, channel) == []
        await answered(talk, channel.cancel("t"), Basic.Cancel, Basic.CancelOk("t"))
        await answered(talk, channel.close(), Ch.Close, Ch.CloseOk())
        assert not channel.is_open


async def test_what_is_declared_is_said_in_full() -> None:
    async with talking() as talk:
        channel = await talk.channel()
        for call in (
            channel.declare_queue("q", durable=False, exclusive=True, auto_delete=True, arguments={"n": 1}),
            channel.declare_exchange("e", "fanout", internal=True, auto_delete=True),
        ):
            asking = asyncio.create_task(call)
            _, heard = await talk.line.next()
            assert isinstance(heard, Queue.Declare | Exchange.Declare)
            said = {name: value for name, value in heard if value}
            if isinstance(heard, Queue.Declare):
                assert said == {"queue": "q", "exclusive": True, "auto_delete": True, "arguments": {"n": 1}}
            else:
                expected = {"exchange": "e", "exchange_type": "fanout", "durable": True}
                assert said == {**expected, "internal": True, "auto_delete": True}
            asking.cancel()


async def test_calls_are_answered_in_their_order() -> None:
    async with talking() as talk:
        channel = await talk.channel()
        calls = [asyncio.create_task(channel.declare_queue(name)) for name in "abc"]
        for name in "abc":
            assert (await talk.line.hears(Queue.Declare, channel=1)).queue == name
        for count, name in enumerate("abc"):
            talk.line.says(Queue.DeclareOk(name, count, 0), channel=1)
        assert [(await soon(call)).name for call in calls] == ["a", "b", "c"]


async def test_a_call_that_is_cancelled_does_not_disturb_the_next() -> None:
    async with talking() as talk:
        channel = await talk.channel()
        first = asyncio.create_task(channel.declare_queue("a"))
        await talk.line.hears(Queue.Declare, channel=1)
        first.cancel()
        await asyncio.wait([first])
        second = asyncio.create_task(channel.declare_queue("b"))
        await talk.line.hears(Queue.Declare, channel=1)
        talk.line.says(Queue.DeclareOk("a", 1, 1), Queue.DeclareOk("b", 2, 2), channel=1)
        assert await soon(second) == QueueState("b", 2, 2)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("q" * 256, {}), ("q", {"n": 2**63}), ("q", {"x": "y" * 131072})],
    ids=["name", "n", "frame"],
)
async def test_a_call_that_cannot_be_written_disturbs_nothing(name: str, arguments: dict[str, object]) -> None:
    async with talking() as talk:
        channel = await talk.channel()
        with pytest.raises(MalformedTable):
            await channel.declare_queue(name, arguments=arguments)
        state = await answered(talk, channel.declare_queue("b"), Queue.Declare, Queue.DeclareOk("b", 2, 2))
        assert state.name == "b"


@pytest.mark.parametrize(("code", "text"), [(404, "NOT_FOUND - no queue"), (406, "PRECONDITION_FAILED")])
async def test_an_error_of_a_channel_fails_its_calls_and_no_other_channel(code: int, text: str) -> None:
    async with talking() as talk:
        lost: list[WireError] = []
        channel, other = await talk.channel(lost.append), await talk.channel(lost.append, number=2)
        calls = [asyncio.create_task(channel.declare_queue(name)) for name in "ab"]
        elsewhere = asyncio.create_task(other.declare_queue("c"))
        for number in (1, 1, 2):
            await talk.line.hears(Queue.Declare, channel=number)
        talk.line.says(Ch.Close(code, text, 50, 10), channel=1)
        for call in calls:
            with pytest.raises(ChannelClosed, match=f"{code} {text}") as closed:
                await soon(call)
            assert (closed.value.code, closed.value.text) == (code, text)
        await talk.line.hears(Ch.CloseOk, channel=1)
        assert [str(error) for error in lost] == [f"{code} {text}"]
        with pytest.raises(ChannelClosed, match=text):
            await channel.qos(1)
        talk.line.says(Queue.DeclareOk("c", 0, 0), channel=2)
        assert (await soon(elsewhere)).name == "c"
        assert (channel.is_open, other.is_open, talk.connection.is_open) == (False, True, True)


async def test_nothing_is_written_on_a_channel_that_is_closed() -> None:
    async with talking() as talk:
        closed, left = await talk.channel(), await talk.channel(number=2)
        talk.line.says(Ch.Close(404, "no queue", 0, 0), channel=1)
        await talk.line.hears(Ch.CloseOk, channel=1)
        leaving = asyncio.create_task(left.close())
        await talk.line.hears(Ch.Close, channel=2)
        for channel in (closed, left):
            channel.publish(b"", b"q", PLAIN, b"x")
            channel.ack(1)
            channel.nack(1)
            with pytest.raises(ChannelClosed):
                await channel.declare_queue("q")
        talk.line.says(Ch.CloseOk(), channel=2)
        await soon(leaving)
        closing = asyncio.create_task(talk.connection.close(5))
        await talk.line.hears(Connection.Close)
        talk.line.says(Connection.CloseOk())
        await soon(closing)


async def test_closing_is_waited_for_by_all_and_heard_by_nobody() -> None:
    async with talking() as talk:
        lost: list[WireError] = []
        channel = await talk.channel(lost.append)
        given_up, *others = [asyncio.create_task(channel.close()) for _ in range(3)]
        await talk.line.hears(Ch.Close, channel=1)
        given_up.cancel()
        await asyncio.wait([given_up])
        assert not any(each.done() for each in others)
        talk.line.says(Ch.CloseOk(), channel=1)
        await soon(asyncio.gather(*others))
        await soon(channel.close())
        assert lost == []


async def test_an_error_that_crosses_the_closing_ends_it() -> None:
    async with talking() as talk:
        channel = await talk.channel()
        closing = asyncio.create_task(channel.close())
        await talk.line.hears(Ch.Close, channel=1)
        talk.line.says(Ch.Close(406, "late", 0, 0), Ch.CloseOk(), channel=1)
        await soon(closing)
        await talk.line.hears(Ch.CloseOk, channel=1)
        assert (await talk.channel(number=2)).is_open


async def test_a_channel_whose_opening_is_cancelled_is_closed_again_and_its_number_is_free() -> None:
    async with talking(tune=type(TUNE)(1, 131072, 60)) as talk:
        opening = asyncio.create_task(talk.connection.channel())
        await talk.line.hears(Ch.Open, channel=1)
        opening.cancel()
        await talk.line.hears(Ch.Close, channel=1)
        with pytest.raises(ConnectionLost, match="all 1 channels"):
            await talk.connection.channel()
        talk.line.says(Ch.OpenOk(), Ch.CloseOk(), channel=1)
        await soon(talk.beaten())
        assert (await talk.channel()).is_open


# -- deliveries


@pytest.mark.parametrize(
    ("body", "parts"),
    [(b"", ()), (b"0123456789", ()), (b"0123456789", (3,)), (b"0123456789", (1, 2, 5))],
    ids=["empty", "one frame", "two", "four"],
)
async def test_a_message_comes_whole_however_its_body_is_cut(body: bytes, parts: tuple[int, ...]) -> None:
    async with talking() as talk:
        channel = await talk.channel()
        got = await consuming(talk, channel)
        properties = Basic.Properties(message_id="m", headers={"n": 1})
        deliver = Basic.Deliver("t", 2**40, redelivered=True, exchange="orders", routing_key="größe")
        talk.line.says(*content(deliver, body, *parts, properties=properties), channel=1)
        talk.line.says(*content(Basic.Deliver("t", 2**40 + 1, routing_key=""), b"next"), channel=1)
        await talk.heard()
        first, second = got
        assert (first.tag, first.redelivered, first.exchange, first.key) == (2**40, True, "orders", "größe")
        assert first.body == body
        assert decode_properties(first.properties) == Properties(message_id="m", headers={"n": 1})
        assert (second.tag, second.redelivered, second.exchange, second.key) == (2**40 + 1, False, "", "")
        assert (second.body, decode_properties(second.properties)) == (b"next", Properties())


async def test_each_consumer_gets_its_own() -> None:
    async with talking() as talk:
        channel = await talk.channel()
        one, two = await consuming(talk, channel, "one"), await consuming(talk, channel, "two")
        for tag, consumer in enumerate(["two", "one", "two"]):
            talk.line.says(*content(delivery(consumer, tag), b"x"), channel=1)
        await talk.heard()
        assert ([each.tag for each in one], [each.tag for each in two]) == ([1], [0, 2])


async def test_what_comes_for_a_consumer_that_is_gone_is_given_back() -> None:
    async with talking() as talk:
        channel = await talk.channel()
        got = await consuming(talk, channel)
        await answered(talk, channel.cancel("t"), Basic.Cancel, Basic.CancelOk("t"))
        talk.line.says(*content(delivery("t", 9), b"late"), channel=1)
        back = await talk.line.hears(Basic.Nack, channel=1)
        assert (back.delivery_tag, back.multiple, back.requeue) == (9, False, True)
        assert got == []


async def test_what_comes_late_and_is_not_to_be_acknowledged_is_dropped() -> None:
    async with talking() as talk:
        channel = await talk.channel()
        got = await consuming(talk, channel, no_ack=True)
        await answered(talk, channel.cancel("t"), Basic.Cancel, Basic.CancelOk("t"))
        talk.line.says(*content(delivery("t", 9), b"late"), channel=1)
        await answered(talk, channel.qos(1), Basic.Qos, Basic.QosOk())
        # What would be said of it stands before this.
        await answered(talk, channel.qos(1), Basic.Qos, Basic.QosOk())
        assert got == []


async def test_a_message_in_the_middle_of_which_the_channel_is_closed_goes_nowhere() -> None:
    async with talking() as talk:
        channel = await talk.channel()
        got = await consuming(talk, channel)
        begin, header, body = content(delivery("t", 1), b"x")
        talk.line.says(begin, header, channel=1)
        await talk.heard()
        closing = asyncio.create_task(channel.close())
        await talk.line.hears(Ch.Close, channel=1)
        talk.line.says(body, *content(delivery("t", 2), b"y"), Ch.CloseOk(), channel=1)
        await soon(closing)
        assert got == []


async def test_a_consumer_that_nobody_waits_for_any_more_is_cancelled() -> None:
    async with talking() as talk:
        channel = await talk.channel()
        got: list[Delivered] = []
        consuming = asyncio.create_task(channel.consume("jobs", "t", got.append, nothing))
        await talk.line.hears(Basic.Consume, channel=1)
        consuming.cancel()
        cancel = await talk.line.hears(Basic.Cancel, channel=1)
        assert (cancel.consumer_tag, cancel.nowait) == ("t", True)
        talk.line.says(Basic.ConsumeOk("t"), *content(delivery("t", 1), b"x"), channel=1)
        assert (await talk.line.hears(Basic.Nack, channel=1)).delivery_tag == 1
        await answered(talk, channel.qos(1), Basic.Qos, Basic.QosOk())
        assert got == []


async def test_a_consumer_hears_that_the_broker_cancelled_it() -> None:
    async with talking() as talk:
        channel = await talk.channel()
        heard: list[str] = []
        call = channel.consume("jobs", "t", lambda _: None, lambda: heard.append("cancelled"))
        await answered(talk, call, Basic.Consume, Basic.ConsumeOk("t"))
        talk.line.says(Basic.Cancel("other", nowait=True), Basic.Cancel("t", nowait=True), channel=1)
        talk.line.says(Basic.Cancel("t", nowait=True), channel=1)
        await talk.heard()
        assert heard == ["cancelled"]
        assert channel.is_open


# -- what is sent


async def test_messages_are_cut_to_frames_and_numbered() -> None:
    async with talking(tune=type(TUNE)(10, 4096, 60)) as talk:
        channel = await talk.channel(confirms=True)
        bodies = [b"", b"x", b"y" * 4088, b"z" * 4089, bytes(range(256)) * 64]
        numbers = [channel.publish(b"orders", "größe".encode(), PLAIN, body) for body in bodies]
        assert numbers == [1, 2, 3, 4, 5]
        for body in bodies:
            announced = await talk.line.hears(Basic.Publish, channel=1)
            assert (announced.exchange, announced.routing_key, announced.mandatory) == ("orders", "größe", True)
            header = await talk.line.hears(ContentHeader, channel=1)
            assert (header.body_size, header.properties.message_type) == (len(body), "T")
            parts: list[bytes] = []
            while sum(map(len, parts)) < len(body):
                parts.append((await talk.line.hears(ContentBody, channel=1)).value or b"")
            assert b"".join(parts) == body
            assert len(parts) == -(-len(body) // 4088)
            assert all(len(part) == 4088 for part in parts[:-1])


async def test_what_does_not_fit_is_refused_and_nothing_of_it_written() -> None:
    async with talking(tune=type(TUNE)(10, 4096, 60)) as talk:
        channel = await talk.channel(confirms=True)
        for exchange, key, properties in [
            (b"e" * 256, b"", PLAIN),
            (b"", b"k" * 256, PLAIN),
            (b"", b"", encode_properties(Properties(headers={"x": "y" * 4096}))),
        ]:
            with pytest.raises(MalformedTable):
                channel.publish(exchange, key, properties, b"x")
        assert channel.publish(b"", b"k" * 255, PLAIN, b"x") == 1
        assert (await talk.line.hears(Basic.Publish, channel=1)).routing_key == "k" * 255


async def test_confirms_are_heard() -> None:
    async with talking() as talk:
        channel = await talk.channel(confirms=True)
        talk.line.says(Basic.Ack(1), channel=1)
        heard: list[tuple[int, bool, bool]] = []
        await talk.heard()
        channel.on_confirm = lambda number, multiple, stored: heard.append((number, multiple, stored))
        talk.line.says(
            Basic.Ack(2**40, multiple=True), Basic.Ack(3), Basic.Nack(4), Basic.Nack(6, multiple=True), channel=1
        )
        await talk.heard()
        assert heard == [(2**40, True, True), (3, False, True), (4, False, False), (6, True, False)]


async def test_a_message_that_comes_back_has_its_body_and_is_heard_before_its_confirm() -> None:
    async with talking() as talk:
        channel = await talk.channel(confirms=True)
        heard: list[object] = []
        channel.on_return = heard.append
        channel.on_confirm = lambda number, _multiple, _stored: heard.append(number)
        back = Basic.Return(312, "NO_ROUTE", "orders", "a.b")
        talk.line.says(*content(back, b"0123", 2, properties=Basic.Properties(message_type="T")), channel=1)
        talk.line.says(Basic.Ack(1), channel=1)
        await talk.heard()
        returned, confirmed = heard
        assert isinstance(returned, Returned)
        assert (returned.code, returned.text, returned.exchange, returned.key) == (312, "NO_ROUTE", "orders", "a.b")
        assert (returned.body, returned.properties) == (b"0123", PLAIN)
        assert confirmed == 1


async def test_what_is_settled_is_said_as_it_is() -> None:
    async with talking() as talk:
        channel = await talk.channel()
        channel.ack(1)
        channel.ack(2**40, multiple=True)
        channel.nack(3)
        channel.nack(4, multiple=True)
        acks = [await talk.line.hears(Basic.Ack, channel=1) for _ in range(2)]
        assert [(each.delivery_tag, each.multiple) for each in acks] == [(1, False), (2**40, True)]
        nacks = [await talk.line.hears(Basic.Nack, channel=1) for _ in range(2)]
        assert [(each.delivery_tag, each.multiple, each.requeue) for each in nacks] == [
            (3, False, True),
            (4, True, True),
        ]


# -- what cannot be


@pytest.mark.parametrize(
    "frames",
    [
        [ContentHeader(0, 1, Basic.Properties())],
        [ContentBody(b"x")],
        [delivery("t", 1), ContentBody(b"x")],
        [delivery("t", 1), ContentHeader(0, 1, Basic.Properties()), ContentBody(b"xy")],
        [delivery("t", 1), ContentHeader(0, 1, Basic.Properties()), ContentHeader(0, 1, Basic.Properties())],
        [delivery("t", 1), delivery("t", 2)],
        [delivery("t", 1), ContentHeader(0, 5, Basic.Properties()), Basic.Ack(1)],
    ],
    ids=["header alone", "body alone", "no header", "too long", "two headers", "two at once", "in between"],
)
async def test_frames_that_make_no_message_end_the_connection(frames: list[Any]) -> None:
    async with talking() as talk:
        channel = await talk.channel()
        got = await consuming(talk, channel)
        talk.line.says(*frames, channel=1)
        await soon(talk.is_lost.wait())
        assert [type(error) for error in talk.lost] == [ConnectionLost]
        assert "no AMQP" in str(talk.lost[0])
        assert got == []
