"""What is said while a queue is read again from a stream, where no broker can be made to answer so."""

import asyncio
from asyncio import Task
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from pamqp import commands
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from msgkit.clock import SystemClock
from msgkit.envelope import NO_HEADERS, Envelope, Kind, Receipt
from msgkit.errors import BrokerUnavailable, SendRefused, TopologyMismatch, Unroutable
from msgkit_rabbitmq.history import send_again
from msgkit_rabbitmq.publisher import Publisher
from msgkit_rabbitmq.wire import OutOfReach, Properties, Table
from tests.rabbitmq.wire_peer import Line, Talk, content, soon, talking
from tests.waiting import until

STREAM, QUEUE = "jobs.history", "jobs"
AWAY = 404, "NOT_FOUND - home node of queue 'jobs.history' is down or inaccessible"


async def nothing_is_delayed(_kind: Kind, _destination: str) -> None:
    return None


async def nobody_asks(_address: str) -> bool:
    return False


def publisher() -> Publisher:
    return Publisher("default", SystemClock(), nothing_is_delayed, nobody_asks)


@asynccontextmanager
async def rereading(talk: Talk, publisher: Publisher) -> AsyncGenerator["Task[int]"]:
    """Read again for the length of a block, after which nobody may have been left with an error of his own."""
    unheard: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))
    channel = await talk.channel()
    reading = asyncio.create_task(send_again(STREAM, QUEUE, None, channel, publisher))
    try:
        yield reading
    finally:
        reading.cancel()
        await asyncio.wait([reading])
    del reading
    assert unheard == []


async def begun(line: Line) -> None:
    """Answer as a broker does that has begun to read."""
    await line.hears(Basic.Qos, channel=1)
    line.says(Basic.QosOk(), channel=1)
    await line.hears(Basic.Consume, channel=1)
    line.says(Basic.ConsumeOk("history"), channel=1)
    await line.hears(Basic.Qos, channel=1)
    line.says(Basic.QosOk(), channel=1)


def gives(line: Line, *tags: int) -> None:
    for tag in tags:
        line.says(*content(Basic.Deliver("history", tag, exchange="orders", routing_key="x"), b"x"), channel=1)


async def takes(line: Line) -> None:
    """Answer as a broker does whom somebody begins to send to."""
    await line.hears(commands.Channel.Open, channel=1)
    line.says(commands.Channel.OpenOk(), channel=1)
    await line.hears(commands.Confirm.Select, channel=1)
    line.says(commands.Confirm.SelectOk(), channel=1)


async def published(line: Line) -> str:
    """Return where the next message goes."""
    to = (await line.hears(Basic.Publish, channel=1)).routing_key
    if (await line.hears(ContentHeader, channel=1)).body_size:
        await line.hears(ContentBody, channel=1)
    return to


async def test_the_mark_is_sent_when_reading_has_begun_and_not_before() -> None:
    sending = publisher()
    async with talking() as talk, talking() as other:
        sending.went_up(other.connection)
        async with rereading(talk, sending) as reading:
            line = talk.line
            await line.hears(Basic.Qos, channel=1)
            line.says(Basic.QosOk(), channel=1)
            await line.hears(Basic.Consume, channel=1)
            line.says(Basic.ConsumeOk("history"), channel=1)
            await line.hears(Basic.Qos, channel=1)
            # Nothing was sent that has to be waited for.
            await soon(sending.idle())
            line.says(Basic.QosOk(), channel=1)
            await takes(other.line)
            assert await published(other.line) == STREAM
            assert not reading.done()


async def test_nothing_goes_out_later_when_it_was_given_up() -> None:
    class Counting(Publisher):
        number = 0

        def send(
            self, envelope: Envelope, origin: Properties | None = None, also: Table = NO_HEADERS
        ) -> "asyncio.Future[Receipt]":
            self.number += 1
            return super().send(envelope, origin, also)

    sending = Counting("default", SystemClock(), nothing_is_delayed, nobody_asks)
    async with talking() as talk, talking() as other:
        async with rereading(talk, sending) as reading:
            await begun(talk.line)
            gives(talk.line, 1, 2)

            async def all_wait() -> bool:
                return sending.number == 3

            await until(all_wait)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
        sending.went_up(other.connection)
        await soon(sending.idle())


@pytest.mark.parametrize(
    ("code", "text", "kind", "told"),
    [
        (404, "NOT_FOUND - no queue 'jobs.history' in vhost '/'", Unroutable, "queue 'jobs.history' does not exist"),
        (*AWAY, OutOfReach, "home node"),
        (403, "ACCESS_REFUSED - read access", TopologyMismatch, "'jobs.history': it is not permitted: ACCESS_REFUSED"),
        (
            406,
            "PRECONDITION_FAILED - queue 'jobs.history' does not have a replica on the local node",
            OutOfReach,
            "replica on the local node",
        ),
    ],
    ids=["missing", "down", "forbidden", "elsewhere"],
)
async def test_a_stream_that_cannot_be_read_is_told_apart_from_one_that_can_be_later(
    code: int, text: str, kind: type[Exception], told: str
) -> None:
    async with talking() as talk, rereading(talk, publisher()) as reading:
        await talk.line.hears(Basic.Qos, channel=1)
        talk.line.says(Basic.QosOk(), channel=1)
        await talk.line.hears(Basic.Consume, channel=1)
        talk.line.says(commands.Channel.Close(code, text, 60, 20), channel=1)
        with pytest.raises(kind, match=told):
            await soon(reading)


@pytest.mark.parametrize("confirmed", [0, 2], ids=["the mark", "a copy"])
async def test_what_is_not_confirmed_before_the_connection_is_lost_makes_the_broker_unavailable(confirmed: int) -> None:
    sending = publisher()
    async with talking() as talk, talking() as other:
        sending.went_up(other.connection)
        async with rereading(talk, sending) as reading:
            await begun(talk.line)
            await takes(other.line)
            assert await published(other.line) == STREAM
            if confirmed:
                gives(talk.line, 1, 2)
                assert [await published(other.line), await published(other.line)] == [QUEUE, QUEUE]
                other.line.says(Basic.Ack(confirmed, multiple=True), channel=1)
            other.line.hangs_up()
            told = f"'jobs' was not read again to the end: there was no confirm .*; sent by then: {confirmed // 2}"
            with pytest.raises(BrokerUnavailable, match=told):
                await soon(reading)


@pytest.mark.parametrize("confirmed", [False, True], ids=["under way", "sent"])
async def test_a_stream_that_cannot_be_reached_any_more_is_not_read_from_its_beginning_again(
    *, confirmed: bool
) -> None:
    sending = publisher()
    async with talking() as talk, talking() as other:
        sending.went_up(other.connection)
        async with rereading(talk, sending) as reading:
            await begun(talk.line)
            await takes(other.line)
            gives(talk.line, 1)
            assert [await published(other.line), await published(other.line)] == [STREAM, QUEUE]
            if confirmed:
                other.line.says(Basic.Ack(2, multiple=True), channel=1)
                await talk.line.hears(Basic.Ack, channel=1)
            talk.line.says(commands.Channel.Close(*AWAY, 60, 20), channel=1)
            told = f"'jobs' was not read again to the end: .*home node.*; sent by then: {int(confirmed)}"
            with pytest.raises(BrokerUnavailable, match=told):
                await soon(reading)


async def test_a_stream_that_cannot_be_reached_before_it_gave_anything_can_be_read_from_its_beginning() -> None:
    sending = publisher()
    async with talking() as talk, talking() as other:
        sending.went_up(other.connection)
        async with rereading(talk, sending) as reading:
            await begun(talk.line)
            await takes(other.line)
            assert await published(other.line) == STREAM
            talk.line.says(commands.Channel.Close(*AWAY, 60, 20), channel=1)
            with pytest.raises(OutOfReach):
                await soon(reading)


async def test_a_message_that_the_queue_refuses_is_told_with_how_many_were_sent_before() -> None:
    sending = publisher()
    async with talking() as talk, talking() as other:
        sending.went_up(other.connection)
        async with rereading(talk, sending) as reading:
            await begun(talk.line)
            await takes(other.line)
            gives(talk.line, 1, 2)
            for to in (STREAM, QUEUE, QUEUE):
                assert await published(other.line) == to
            other.line.says(Basic.Ack(2, multiple=True), Basic.Nack(3), channel=1)
            with pytest.raises(SendRefused, match=r"queue 'jobs' refused it.*; sent of its history by then: 1"):
                await soon(reading)
