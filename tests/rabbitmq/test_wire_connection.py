import asyncio
import gc
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from random import Random
from typing import Any, cast

import pytest
from pamqp import commands
from pamqp.commands import Basic, Queue
from pamqp.heartbeat import Heartbeat

from msgkit_rabbitmq.wire import (
    ChannelClosed,
    Connection,
    ConnectionLost,
    Delivered,
    Login,
    LoginRefused,
    Returned,
    WireError,
)
from tests.rabbitmq.wire_peer import LOGIN, START, TUNE, Line, content, listening, marshalled, soon, talking

Serve = Callable[[Line], Awaitable[None]]
Close = commands.Connection.Close


def unheard(_heard: object) -> None:
    raise AssertionError("nothing is to be heard of a connection that was never open")


async def attempt(serve: Serve, login: Login = LOGIN) -> Connection:
    """Try to get in where somebody serves like that."""
    async with listening() as peer:
        opening = asyncio.create_task(
            Connection.open("127.0.0.1", peer.port, login, on_closed=unheard, on_blocked=unheard)
        )
        line = await peer.line()
        await serve(line)
        connection = await soon(opening)
        await soon(connection.close(0))
        return connection


# -- getting in


async def test_we_say_who_we_are_and_agree_with_what_the_broker_wants() -> None:
    async def serve(line: Line) -> None:
        await line.greeted()
        line.says(START)
        ours = await line.hears(commands.Connection.StartOk)
        assert (ours.mechanism, ours.response, ours.locale) == ("PLAIN", "\0app\0pw", "en_US")
        said = cast("dict[str, Any]", ours.client_properties)
        assert (said["connection_name"], said["product"]) == ("till", "msgkit")
        assert said["capabilities"]["basic.nack"] is True
        assert said["capabilities"]["authentication_failure_close"] is True
        line.says(commands.Connection.Tune(100, 8192, 60))
        tuned = await line.hears(commands.Connection.TuneOk)
        assert (tuned.channel_max, tuned.frame_max, tuned.heartbeat) == (100, 8192, 3)
        assert (await line.hears(commands.Connection.Open)).virtual_host == "shop"
        line.says(commands.Connection.OpenOk())

    connection = await attempt(serve, replace(LOGIN, heartbeat=3))
    assert connection.server == {"product": "Script", "version": "1.0"}
    assert connection.frame_max == 8192


@pytest.mark.parametrize(
    ("offered", "agreed"),
    [((0, 0, 0), (2047, 131072)), ((65535, 2**31, 9), (2047, 131072)), ((5, 1024, 1), (5, 4096))],
    ids=["no limits", "more", "less"],
)
async def test_limits_are_the_lesser_ones_and_a_frame_is_never_below_what_amqp_asks(
    offered: tuple[int, int, int], agreed: tuple[int, int]
) -> None:
    async def serve(line: Line) -> None:
        await line.greeted()
        line.says(START)
        await line.hears(commands.Connection.StartOk)
        line.says(commands.Connection.Tune(*offered))
        tuned = await line.hears(commands.Connection.TuneOk)
        assert (tuned.channel_max, tuned.frame_max, tuned.heartbeat) == (*agreed, 1)
        await line.hears(commands.Connection.Open)
        line.says(commands.Connection.OpenOk())

    assert (await attempt(serve, replace(LOGIN, heartbeat=0.2))).frame_max == agreed[1]


async def test_a_certificate_proves_who_we_are_without_words() -> None:
    async def serve(line: Line) -> None:
        await line.greeted()
        line.says(commands.Connection.Start(0, 9, {}, "PLAIN EXTERNAL", "en_US"))
        ours = await line.hears(commands.Connection.StartOk)
        assert (ours.mechanism, ours.response) == ("EXTERNAL", "")
        line.says(Close(403, "no", 0, 0))

    with pytest.raises(LoginRefused, match="403 no"):
        await attempt(serve, replace(LOGIN, mechanism="EXTERNAL"))


async def test_a_mechanism_that_is_not_offered_is_told() -> None:
    async def serve(line: Line) -> None:
        await line.greeted()
        line.says(START)
        await line.hears_nothing_more()

    with pytest.raises(LoginRefused, match=r"^the broker offers PLAIN AMQPLAIN, and not EXTERNAL$"):
        await attempt(serve, replace(LOGIN, mechanism="EXTERNAL"))


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", "this is no AMQP: it answered b'HTTP/1.1 400 Bad"),
        (b"-ERR unknown\r\n", "this is no AMQP"),
        (b"\x15\x03\x03\x00\x02\x02\x46", "it wants TLS"),
        (b"AMQP\0\1\0\0", "does not speak AMQP 0-9-1"),
        (b"AMQP\0\0\x09\x01", "does not speak AMQP 0-9-1"),
        (b"\x01\x00\x00\x00\x00\x00\x04\x00\x0a\x00\x0a\x00", "this is no AMQP"),
        (b"\x03\x00\x00\x00\x00\x00\x01?\xce", "this is no AMQP"),
        (b"\x01\x00\x00\x00\x00\x00\x01?\xce", "this is no AMQP"),
        (b"no", "this is no AMQP"),
    ],
    ids=["http", "redis", "tls", "amqp 1.0", "amqp again", "no end", "a body", "no method", "too short"],
)
@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "byte by byte"])
async def test_what_is_no_broker_is_told_apart(answer: bytes, why: str, *, at_once: bool) -> None:
    async def serve(line: Line) -> None:
        await line.greeted()
        for piece in [answer] if at_once else [answer[at : at + 1] for at in range(len(answer))]:
            line.says_bytes(piece)
            await asyncio.sleep(0)
        line.hangs_up()

    with pytest.raises(LoginRefused) as refused:
        await attempt(serve)
    if at_once:
        assert why in str(refused.value)


async def test_who_says_nothing_is_left_in_time() -> None:
    async def serve(line: Line) -> None:
        await line.greeted()
        await line.hears_nothing_more()

    began = time.monotonic()
    with pytest.raises(ConnectionLost, match=r"no answer within 0\.1 s"):
        await attempt(serve, replace(LOGIN, timeout=0.1))
    assert time.monotonic() - began < 2


STAGES = ["connected", "greeted", "started", "tuned", "half a frame"]


async def stage(line: Line, name: str) -> None:
    """Go along until there."""
    if name == "connected":
        return
    await line.greeted()
    if name == "half a frame":
        line.says_bytes(marshalled(START)[:20])
        return
    if name == "greeted":
        return
    line.says(START)
    await line.hears(commands.Connection.StartOk)
    if name == "tuned":
        line.says(TUNE)
        await line.hears(commands.Connection.TuneOk)
        await line.hears(commands.Connection.Open)


@pytest.mark.parametrize("name", STAGES)
async def test_a_broker_that_hangs_up_may_be_there_again_later(name: str) -> None:
    async def serve(line: Line) -> None:
        await stage(line, name)
        line.hangs_up()

    with pytest.raises(ConnectionLost):
        await attempt(serve)


@pytest.mark.parametrize("code", [403, 530, 541, 320])
@pytest.mark.parametrize("name", ["greeted", "started", "tuned"])
async def test_a_broker_says_why_it_does_not_want_us(name: str, code: int) -> None:
    async def serve(line: Line) -> None:
        await stage(line, name)
        line.says(Close(code, "because", 0, 0))
        await line.hears(commands.Connection.CloseOk)
        await line.hears_nothing_more()

    with pytest.raises(LoginRefused if code in (403, 530) else ConnectionLost, match=f"{code} because"):
        await attempt(serve)


async def test_a_broker_that_lets_in_and_ends_in_one_breath_was_never_open() -> None:
    async def serve(line: Line) -> None:
        await line.greeted()
        line.says(START)
        await line.hears(commands.Connection.StartOk)
        line.says(TUNE)
        await line.hears(commands.Connection.TuneOk)
        await line.hears(commands.Connection.Open)
        line.says(commands.Connection.OpenOk(), Close(320, "broker shutdown", 0, 0))

    with pytest.raises(ConnectionLost, match="broker shutdown"):
        await attempt(serve)


async def test_a_port_where_nobody_listens_and_a_host_that_is_none_are_told() -> None:
    async with listening() as peer:
        port = peer.port
    with pytest.raises(ConnectionLost, match=f"refused: .*{port}"):
        await Connection.open("127.0.0.1", port, LOGIN, on_closed=unheard, on_blocked=unheard)
    with pytest.raises(LoginRefused, match="name"):
        await Connection.open("a" * 70 + ".test", 1, LOGIN, on_closed=unheard, on_blocked=unheard)


async def test_whoever_does_not_want_to_get_in_any_more_leaves_nothing_behind() -> None:
    async with listening() as peer:
        opening = asyncio.create_task(
            Connection.open("127.0.0.1", peer.port, LOGIN, on_closed=unheard, on_blocked=unheard)
        )
        line = await peer.line()
        await line.greeted()
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        with pytest.raises((ConnectionResetError, AssertionError, asyncio.IncompleteReadError)):
            await line.next()


# -- frames, however they come


def recorded() -> bytes:
    """What a broker says on the channels 1 and 2."""
    properties = Basic.Properties(message_id="m", headers={"n": 1})
    deliver = Basic.Deliver("t", 7, exchange="orders", routing_key="a.b")
    return b"".join(
        [
            marshalled(Basic.ConsumeOk("t"), channel=1),
            marshalled(*content(deliver, b"0123456789", 4, properties=properties), channel=1),
            marshalled(Heartbeat(), commands.Connection.Blocked("low on memory")),
            marshalled(*content(Basic.Deliver("t", 8, routing_key=""), b""), channel=1),
            marshalled(
                *content(Basic.Return(312, "NO_ROUTE", "e", "k"), b"back"), Basic.Ack(5, multiple=True), channel=1
            ),
            marshalled(Basic.Ack(1), channel=9),
            marshalled(commands.Channel.Close(404, "no queue", 0, 0), channel=2),
            marshalled(commands.Connection.Unblocked()),
            marshalled(*content(Basic.Deliver("t", 9, routing_key="z"), b"z" * 5000), channel=1),
        ]
    )


async def heard(feed: Callable[[Connection, bytes], None]) -> list[Any]:
    """Return what is heard when that is what comes."""
    async with talking() as talk:
        said: list[Any] = []
        channel, other = await talk.channel(), await talk.channel(said.append, number=2)
        channel.on_return = said.append
        channel.on_confirm = lambda number, multiple, stored: said.append((number, multiple, stored))
        consuming = asyncio.create_task(channel.consume("q", "t", said.append, lambda: None))
        await talk.line.hears(Basic.Consume, channel=1)
        feed(talk.connection, recorded())
        await soon(consuming)
        assert not other.is_open
        assert talk.connection.is_open
        await talk.line.hears(commands.Channel.CloseOk, channel=2)
        return [plain(each) for each in [*said, *talk.blocked]]


def plain(said: object) -> object:
    match said:
        case Delivered() | Returned():
            return said.exchange, said.key, said.properties, said.body
        case ChannelClosed():
            return str(said)
        case _:
            return said


def in_pieces(size: int) -> Callable[[Connection, bytes], None]:
    def feed(connection: Connection, data: bytes) -> None:
        for at in range(0, len(data), size):
            connection.data_received(data[at : at + size])

    return feed


async def test_frames_mean_the_same_however_they_are_cut() -> None:
    whole = await heard(lambda connection, data: connection.data_received(data))
    assert [each if isinstance(each, str | None) else each[-1] for each in whole] == [
        *(b"0123456789", b"", b"back", True, "404 no queue", b"z" * 5000, "low on memory", None)
    ]
    for size in (1, 2, 3, 7, 8, 9, 64, 1000):
        assert await heard(in_pieces(size)) == whole


async def test_frames_mean_the_same_cut_in_two_at_every_byte() -> None:
    async with talking() as talk:
        channel = await talk.channel()
        got: list[Delivered] = []
        consuming = asyncio.create_task(channel.consume("q", "t", got.append, lambda: None))
        await talk.line.hears(Basic.Consume, channel=1)
        talk.connection.data_received(marshalled(Basic.ConsumeOk("t"), channel=1))
        await soon(consuming)
        deliver = Basic.Deliver("t", 7, exchange="orders", routing_key="a.b")
        data = marshalled(*content(deliver, b"0123456789", 4), channel=1)
        for at in range(len(data) + 1):
            for piece in (data[:at], data[at:]):
                talk.connection.data_received(piece)
        assert [each.body for each in got] == [b"0123456789"] * (len(data) + 1)


@pytest.mark.parametrize(
    ("garbage", "why"),
    [
        (b"\x03\x00\x01\x00\x00\x10\x00", "4,096 bytes"),
        (b"\x03\x00\x01\x00\x00\x0f\xf9" + bytes(4089) + b"\xce", "4,089 bytes, and at most 4,088"),
        (b"\x01\x00\x01\x00\x00\x00\x04\x00\x14\x00\x0b\x00", "no end"),
        (b"\x01\x00\x00\x00\x00\x00\x02\x00\x0a\xce", "too short"),
        (b"\x01\x00\x01\x00\x00\x00\x04\x00\x3c\x00\x3c\xce", "too short"),
        (b"\x01\x00\x01\x00\x00\x00\x06\x00\x3c\x00\x50\x00\x00\xce", "too short"),
        (b"\x02\x00\x00\x00\x00\x00\x01\x00\xce", "belong to a channel"),
        (b"\x07\x00\x01\x00\x00\x00\x01\x00\xce", "kind 7"),
    ],
    ids=["announced", "there", "no end", "no method", "no delivery", "no confirm", "header for 0", "kind"],
)
async def test_a_frame_that_is_none_ends_the_connection(garbage: bytes, why: str) -> None:
    async with talking(tune=type(TUNE)(10, 4096, 60)) as talk:
        channel = await talk.channel()
        asking = asyncio.create_task(channel.declare_queue("q"))
        await talk.line.hears(Queue.Declare, channel=1)
        talk.line.says_bytes(garbage)
        with pytest.raises(ConnectionLost, match=why):
            await soon(asking)
        assert len(talk.lost) == 1


async def test_an_answer_that_cannot_be_read_fails_who_waits_for_it() -> None:
    async with talking() as talk:
        channel = await talk.channel()
        asking = asyncio.create_task(channel.declare_queue("q"))
        await talk.line.hears(Queue.Declare, channel=1)
        talk.line.says_bytes(b"\x01\x00\x01\x00\x00\x00\x05\x00\x32\x00\x0b\x09\xce")
        with pytest.raises(ConnectionLost, match="no AMQP"):
            await soon(asking)


async def test_whatever_comes_the_connection_lives_or_ends_and_nothing_is_raised() -> None:
    random = Random(17)  # noqa: S311 -- the same each time
    ended = 0
    async with listening() as peer:
        for _ in range(40):
            lost: list[WireError] = []
            opening = asyncio.create_task(
                Connection.open("127.0.0.1", peer.port, LOGIN, on_closed=lost.append, on_blocked=lambda _: None)
            )
            await (await peer.line()).lets_in()
            connection = await soon(opening)
            waiting = asyncio.create_task(connection.channel())
            await asyncio.sleep(0)
            for _ in range(20):
                bad = bytearray(recorded()[:400])
                for _ in range(random.randint(1, 3)):
                    bad[random.randrange(len(bad))] = random.randrange(256)
                if connection.is_open:
                    connection.data_received(bytes(bad))
            ended += bool(lost)
            assert len(lost) <= 1
            waiting.cancel()
            await asyncio.wait([waiting])
            await soon(connection.close(0))
    assert ended > 20


# -- the end


async def test_a_broker_that_closes_says_why_once_and_all_that_waits_hears_it() -> None:
    async with talking() as talk:
        channels_lost: list[WireError] = []
        channel = await talk.channel(channels_lost.append)
        await talk.channel(channels_lost.append, number=2)
        calls = [asyncio.create_task(channel.declare_queue(name)) for name in "ab"]
        opening = asyncio.create_task(talk.connection.channel())
        for _ in range(3):
            await talk.line.next()
        talk.line.says(Close(320, "CONNECTION_FORCED", 0, 0))
        for call in (*calls, opening):
            with pytest.raises(ConnectionLost, match="320 CONNECTION_FORCED"):
                await soon(call)
        await talk.line.hears(commands.Connection.CloseOk)
        await talk.line.hears_nothing_more()
        assert [str(error) for error in talk.lost] == ["the broker closed it: 320 CONNECTION_FORCED"]
        assert [type(error) for error in channels_lost] == [ConnectionLost, ConnectionLost]
        assert not talk.connection.is_open
        assert not channel.is_open
        with pytest.raises(ConnectionLost):
            await talk.connection.channel()
        with pytest.raises(ConnectionLost, match="320"):
            await channel.qos(1)


async def test_a_broker_that_is_gone_is_noticed() -> None:
    async with talking() as talk:
        channel = await talk.channel()
        asking = asyncio.create_task(channel.declare_queue("q"))
        await talk.line.hears(Queue.Declare, channel=1)
        talk.line.hangs_up()
        with pytest.raises(ConnectionLost, match="hung up"):
            await soon(asking)
        assert len(talk.lost) == 1
        channel.publish(b"", b"q", b"\0\0", b"x")
        channel.ack(1)
        talk.connection.abort("once more")
        await soon(talk.connection.close(1))
        assert len(talk.lost) == 1


async def test_who_fails_to_hear_of_the_loss_does_not_keep_it_from_the_others() -> None:
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context))

    def fails(_error: WireError) -> None:
        raise ZeroDivisionError

    async with talking() as talk:
        channels_lost: list[WireError] = []
        await talk.channel(fails)
        await talk.channel(channels_lost.append, number=2)
        talk.line.hangs_up()
        await soon(talk.is_lost.wait())
        assert (len(channels_lost), len(talk.lost)) == (1, 1)
    assert [type(each["exception"]) for each in told] == [ZeroDivisionError]


async def test_our_own_end_is_waited_for_and_heard_by_nobody() -> None:
    async with talking() as talk:
        channels_lost: list[WireError] = []
        channel = await talk.channel(channels_lost.append)
        asking = asyncio.create_task(channel.declare_queue("q"))
        await talk.line.hears(Queue.Declare, channel=1)
        closing = [asyncio.create_task(talk.connection.close(5)) for _ in range(2)]
        await talk.line.hears(Close)
        assert not talk.connection.is_open
        assert not any(each.done() for each in closing)
        with pytest.raises(ConnectionLost):
            await talk.connection.channel()
        talk.line.says(commands.Connection.CloseOk())
        await soon(asyncio.gather(*closing))
        with pytest.raises(ConnectionLost):
            await soon(asking)
        await talk.line.hears_nothing_more()
        assert (talk.lost, channels_lost) == ([], [])


async def test_a_peer_that_does_not_answer_does_not_hold_up_the_end() -> None:
    async with talking() as talk:
        began = time.monotonic()
        await soon(talk.connection.close(0.05))
        assert 0.04 < time.monotonic() - began < 2
        await talk.line.hears(Close)
        await talk.line.hears_nothing_more()
        assert talk.lost == []


async def test_an_end_that_is_cancelled_is_one_all_the_same() -> None:
    async with talking() as talk:
        closing = asyncio.create_task(talk.connection.close(60))
        await talk.line.hears(Close)
        closing.cancel()
        await asyncio.wait([closing])
        await talk.line.hears_nothing_more()
        assert talk.lost == []


async def test_a_connection_leaves_nothing_behind() -> None:
    async with talking() as talk:
        channel = await talk.channel()
        asking = asyncio.create_task(channel.declare_queue("q"))
        await talk.line.hears(Queue.Declare, channel=1)
        asking.cancel()
        closing = asyncio.create_task(channel.close())
        await asyncio.sleep(0)
        talk.connection.abort("enough")
        await soon(closing)
        assert [str(error) for error in talk.lost] == ["enough"]
    del talk, channel
    gc.collect()


# -- what the broker says of itself


async def test_a_broker_says_why_it_takes_nothing_and_that_it_does_again() -> None:
    async with talking() as talk:
        talk.line.says(commands.Connection.Blocked("low on memory"), commands.Connection.Unblocked())
        await talk.heard()
        assert talk.blocked == ["low on memory", None]


# -- signs of life


async def test_signs_of_life_are_given_while_nothing_else_is_written() -> None:
    async with talking(heartbeat=0.1) as talk:
        loop = asyncio.get_running_loop()
        began = loop.time()
        for _ in range(4):
            talk.line.says(Heartbeat())
            assert isinstance((await talk.line.next())[1], Heartbeat)
        assert loop.time() - began < 1
        assert talk.lost == []


async def test_a_silent_peer_is_noticed_within_three_heartbeats_and_not_within_two() -> None:
    async with talking(heartbeat=0.3) as talk:
        talk.line.says(Heartbeat())
        await asyncio.sleep(0.05)
        began = time.monotonic()
        await soon(talk.is_lost.wait())
        assert 0.5 < time.monotonic() - began < 0.9
        assert "no sign of life" in str(talk.lost[0])


async def test_a_loop_that_was_busy_does_not_take_a_living_peer_for_dead() -> None:
    async with talking(heartbeat=0.1) as talk:
        for _ in range(3):
            talk.line.says(Heartbeat())
            await asyncio.sleep(0)
            time.sleep(0.4)  # noqa: ASYNC251 -- the loop is to be busy
            await asyncio.sleep(0)
        talk.line.says(Heartbeat())
        await talk.heard()
        assert talk.lost == []


async def test_a_loop_that_is_always_busy_notices_a_dead_peer_all_the_same() -> None:
    async with talking(heartbeat=0.02) as talk:
        for _ in range(12):
            time.sleep(0.05)  # noqa: ASYNC251 -- the loop is to be busy
            await asyncio.sleep(0)
        assert len(talk.lost) == 1


# -- writing


async def test_what_is_written_in_one_turn_of_the_loop_leaves_together(monkeypatch: pytest.MonkeyPatch) -> None:
    async with talking() as talk:
        channel = await talk.channel()
        transport = talk.connection._transport  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] -- nobody else sees how often is written
        assert transport is not None
        writes: list[bytes] = []
        really = transport.write

        def write(data: bytes) -> None:
            writes.append(data)
            really(data)

        monkeypatch.setattr(transport, "write", write)
        for _ in range(50):
            channel.publish(b"", b"q", b"\0\0", b"x")
            channel.ack(1)
        assert writes == []
        await asyncio.sleep(0)
        assert len(writes) == 1
        channel.publish(b"", b"q", b"\0\0", bytes(1024 * 1024))
        assert len(writes) > 1


async def test_a_peer_that_takes_nothing_is_seen_at_once_and_waited_for() -> None:
    async with talking() as talk:
        channel = await talk.channel()
        await soon(talk.connection.room())
        sent = 0
        while not talk.connection.is_full:
            channel.publish(b"", b"q", b"\0\0", bytes(100_000))
            sent += 1
            assert sent < 1000
        waiting = [asyncio.create_task(talk.connection.room()) for _ in range(2)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.wait(waiting[:1])
        assert not waiting[1].done()
        for _ in range(sent):
            await talk.line.hears(Basic.Publish, channel=1)
            await talk.line.next()
            await talk.line.next()
        await soon(waiting[1])
        assert not talk.connection.is_full


async def test_nobody_waits_for_room_on_a_connection_that_is_gone() -> None:
    async with talking() as talk:
        channel = await talk.channel()
        while not talk.connection.is_full:
            channel.publish(b"", b"q", b"\0\0", bytes(100_000))
        waiting = asyncio.create_task(talk.connection.room())
        await asyncio.sleep(0)
        talk.connection.abort("gone")
        await soon(waiting)
        await soon(talk.connection.room())
