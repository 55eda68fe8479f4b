"""A connection, against a peer that says what a test has it say."""

import asyncio
import ssl
import tracemalloc
from asyncio import StreamReader, StreamWriter
from pathlib import Path

import pytest

from msgkit.reaching import Address
from msgkit_rocketmq.client.codes import Request, Response
from msgkit_rocketmq.client.connection import Connection, Door
from msgkit_rocketmq.client.errors import NotWritten, Unanswered, Unfit
from msgkit_rocketmq.client.frames import Frame, encode
from msgkit_rocketmq.client.signing import Credentials
from tests.certificates import made
from tests.rocketmq.peers import answered, answering, asked, peer
from tests.serving import Peer, served

OFFSET = Request.GET_MAX_OFFSET


class Us:
    """Our side of a connection, and what it hears."""

    def __init__(self, door: Door | None = None) -> None:
        self.door = door or Door(timeout=5.0)
        self.lost = asyncio.Event()
        self.heard: asyncio.Queue[Frame] = asyncio.Queue()

    async def connect(self, address: Address) -> Connection:
        return await Connection.open(
            address,
            self.door,
            self._greet,
            on_request=lambda _, frame: self.heard.put_nowait(frame),
            on_lost=lambda _: self.lost.set(),
        )

    @staticmethod
    async def _greet(connection: Connection, deadline: float) -> None:
        await connection.ask(Request.HEART_BEAT, {}, b"", deadline)


def soon(seconds: float = 5.0) -> float:
    return asyncio.get_running_loop().time() + seconds


async def silent(reader: StreamReader, _: StreamWriter) -> None:
    await reader.read()


# -- asking


async def test_answers_come_to_those_who_asked_in_whatever_order_and_pieces() -> None:
    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        writer.write(answered(await asked(reader), Frame(0)))
        questions = [await asked(reader) for _ in range(3)]
        data = b"".join(answered(each, Frame(0, each.fields)) for each in reversed(questions))
        for byte in data[:100]:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        writer.write(data[100:])
        await reader.read()

    async with peer(serve) as address, asyncio.timeout(20):
        connection = await Us().connect(address)
        answers = await asyncio.gather(*(connection.ask(OFFSET, {"n": n}, b"", soon()) for n in range(3)))
        assert [each.fields["n"] for each in answers] == ["0", "1", "2"]
        await connection.close()


async def test_what_is_asked_while_something_waits_long_is_answered_meanwhile() -> None:
    go = asyncio.Event()

    async def wait(_: Frame) -> Frame:
        await go.wait()
        return Frame(Response.POLLING_TIMEOUT)

    async with peer({Request.NOTIFICATION: wait, OFFSET: Frame(0)}) as address, asyncio.timeout(20):
        connection = await Us().connect(address)
        waiting = asyncio.create_task(connection.ask(Request.NOTIFICATION, {}, b"", soon(60)))
        assert (await connection.ask(OFFSET, {}, b"", soon())).code == 0
        go.set()
        assert (await waiting).code == Response.POLLING_TIMEOUT
        await connection.close()


async def test_what_was_asked_when_the_broker_hangs_up_may_have_been_done_and_what_is_asked_later_was_not() -> None:
    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        writer.write(answered(await asked(reader), Frame(0)))
        await asked(reader)

    us = Us()
    async with peer(serve) as address, asyncio.timeout(20):
        connection = await us.connect(address)
        with pytest.raises(Unanswered, match="hung up"):
            await connection.ask(OFFSET, {}, b"", soon())
        await us.lost.wait()
        with pytest.raises(NotWritten):
            await connection.ask(OFFSET, {}, b"", soon())


async def test_a_late_answer_costs_only_who_waits_for_it_while_others_are_heard() -> None:
    async def late(_: Frame) -> None:
        return None

    async with peer({Request.NOTIFICATION: late, OFFSET: Frame(0)}) as address, asyncio.timeout(20):
        connection = await Us(Door(timeout=1.0)).connect(address)
        waiting = asyncio.create_task(connection.ask(Request.NOTIFICATION, {}, b"", soon(0.1)))
        # Until it would be taken for gone if nothing were heard.
        end = soon(1.1)
        while asyncio.get_running_loop().time() < end:
            assert (await connection.ask(OFFSET, {}, b"", soon())).code == 0
        with pytest.raises(Unanswered, match="no answer within"):
            await waiting
        assert connection.is_open
        await connection.close()


async def test_a_broker_that_owes_an_answer_and_says_nothing_at_all_is_taken_for_gone() -> None:
    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        writer.write(answered(await asked(reader), Frame(0)))
        await reader.read()

    us = Us(Door(timeout=1.0))
    async with peer(serve) as address, asyncio.timeout(20):
        connection = await us.connect(address)
        waiting = asyncio.create_task(connection.ask(Request.NOTIFICATION, {}, b"", soon(60)))
        with pytest.raises(Unanswered, match="no answer within"):
            await connection.ask(OFFSET, {}, b"", soon(0.1))
        assert connection.is_open
        with pytest.raises(Unanswered, match="nothing was heard"):
            await waiting
        await us.lost.wait()


async def test_an_answer_that_nobody_waits_for_any_more_is_left_alone() -> None:
    go = asyncio.Event()

    async def wait(_: Frame) -> Frame:
        await go.wait()
        return Frame(0)

    async with peer({Request.NOTIFICATION: wait, OFFSET: Frame(0)}) as address, asyncio.timeout(20):
        connection = await Us().connect(address)
        waiting = asyncio.create_task(connection.ask(Request.NOTIFICATION, {}, b"", soon()))
        await connection.ask(OFFSET, {}, b"", soon())
        waiting.cancel()
        go.set()
        assert (await connection.ask(OFFSET, {}, b"", soon())).code == 0
        await connection.close()


async def test_what_finds_no_room_in_time_never_left_and_the_rest_goes_on() -> None:
    go = asyncio.Event()

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        writer.write(answered(await asked(reader), Frame(0)))
        await go.wait()
        while True:
            writer.write(answered(await asked(reader), Frame(0)))

    async with peer(serve) as address, asyncio.timeout(20):
        connection = await Us().connect(address)
        large = [asyncio.create_task(connection.ask(OFFSET, {}, bytes(1 << 20), soon(20))) for _ in range(40)]
        await asyncio.sleep(0)
        with pytest.raises(NotWritten, match="has not left yet"):
            await connection.ask(OFFSET, {}, b"", soon(0.1))
        go.set()
        assert {each.code for each in await asyncio.gather(*large)} == {0}
        await connection.close()


async def test_what_is_too_much_for_any_broker_is_refused_and_harms_nobody_else() -> None:
    async with peer({OFFSET: Frame(0)}) as address, asyncio.timeout(20):
        connection = await Us().connect(address)
        with pytest.raises(Unfit, match="16,777,216 is the most"):
            await connection.ask(OFFSET, {}, bytes(1 << 24), soon())
        assert (await connection.ask(OFFSET, {}, b"", soon())).code == 0
        await connection.close()


async def test_what_was_answered_is_kept_nowhere() -> None:
    async with peer({OFFSET: Frame(0, body=bytes(100_000))}) as address, asyncio.timeout(20):
        connection = await Us().connect(address)
        await connection.ask(OFFSET, {}, b"", soon())
        tracemalloc.start()
        try:
            for _ in range(100):
                await connection.ask(OFFSET, {}, b"", soon())
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert held < 1_000_000
        await connection.close()


async def test_what_nobody_answers_is_said_so() -> None:
    heard: asyncio.Queue[Frame] = asyncio.Queue()

    async def hear(question: Frame) -> None:
        heard.put_nowait(question)

    async with peer({Request.END_TRANSACTION: hear}) as address, asyncio.timeout(20):
        connection = await Us().connect(address)
        await connection.tell(Request.END_TRANSACTION, {"topic": "a"}, b"", soon())
        told = await heard.get()
        assert told.is_oneway
        assert told.fields == {"topic": "a"}
        await connection.tell(Request.END_TRANSACTION, {"topic": "last words"}, b"", soon())
        await connection.close()
        assert (await heard.get()).fields == {"topic": "last words"}


async def test_each_question_is_signed() -> None:
    heard: asyncio.Queue[Frame] = asyncio.Queue()

    async def hear(question: Frame) -> Frame:
        heard.put_nowait(question)
        return Frame(0)

    credentials = Credentials(access_key="alice", secret="secret")  # noqa: S106 -- opens nothing
    async with peer({OFFSET: hear}) as address, asyncio.timeout(20):
        connection = await Us(Door(credentials=credentials)).connect(address)
        await connection.ask(OFFSET, {"queueId": 3}, b"body", soon())
        assert (await heard.get()).fields == credentials.signed({"queueId": "3"}, b"body")
        await connection.close()


# -- being asked


async def test_what_the_broker_asks_is_heard_and_answered_unless_it_wants_no_answer() -> None:
    answers: asyncio.Queue[Frame] = asyncio.Queue()

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        writer.write(answered(await asked(reader), Frame(0, version=413)))
        writer.write(encode(Frame(Request.CHECK_TRANSACTION_STATE, {"n": "1"}, b"half", opaque=5, is_oneway=True)))
        writer.write(encode(Frame(Request.PUSH_REPLY_MESSAGE_TO_CLIENT, {"n": "2"}, opaque=6)))
        while True:
            answers.put_nowait(await asked(reader))

    us = Us()
    async with peer(serve) as address, asyncio.timeout(20):
        connection = await us.connect(address)
        check, reply = await us.heard.get(), await us.heard.get()
        assert (check.code, check.fields, check.body) == (Request.CHECK_TRANSACTION_STATE, {"n": "1"}, b"half")
        connection.answer(check)
        connection.answer(reply, Response.SYSTEM_ERROR, "no")
        answer = await answers.get()
        assert (answer.opaque, answer.is_response, answer.code, answer.remark) == (6, True, Response.SYSTEM_ERROR, "no")
        await connection.close()


# -- who is there


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "a web server"),
        (b"\x15\x03\x03\x00\x02\x02\x46", "wants TLS"),
        (b"\xff\xff\xff\xff\xff\xff\xff\xff", "not RocketMQ"),
        (b"\x00\x00\x00\x00", "not RocketMQ"),
        (b"\x00\x00\x00\x02ab", "too short"),
        (b"\x00\x00\x00\x06\x00\x00\x00\x02[]", "no object"),
    ],
)
async def test_whoever_is_no_rocketmq_is_told_as_what_he_is(said: bytes, why: str) -> None:
    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        await asked(reader)
        writer.write(said)
        await reader.read()

    async with peer(serve) as address, asyncio.timeout(20):
        with pytest.raises(NotWritten, match=why):
            await Us().connect(address)


async def test_nobody_there_is_said_with_the_place() -> None:
    async with peer(silent) as address:
        pass
    with pytest.raises(NotWritten, match=str(address)):
        await Us().connect(address)


@pytest.mark.parametrize("serve", [silent, answering({})], ids=["silent", "talking"])
async def test_getting_in_takes_no_longer_than_the_door_allows(serve: Peer) -> None:
    never: asyncio.Event = asyncio.Event()

    async def greet(connection: Connection, deadline: float) -> None:
        await connection.ask(Request.HEART_BEAT, {}, b"", deadline)
        await never.wait()

    async with peer(serve) as address, asyncio.timeout(20):
        with pytest.raises(NotWritten, match=r"within 0\.2"):
            await Connection.open(address, Door(timeout=0.2), greet, on_request=print, on_lost=print)


async def test_a_certificate_that_nobody_trusts_is_told_with_the_options_that_help(tmp_path: Path) -> None:
    there = made(tmp_path)
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(there.certificate, there.key)
    async with served(silent, tls=serving) as port:
        with pytest.raises(Unfit, match="is not accepted: self-signed certificate; the option ca_file"):
            await Us(Door(tls=ssl.create_default_context())).connect(Address("127.0.0.1", port))


async def test_over_tls_the_name_is_checked_that_is_wanted(tmp_path: Path) -> None:
    there = made(tmp_path)
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(there.certificate, there.key)
    trusting = ssl.create_default_context(cafile=str(there.certificate))
    async with served(answering({}), tls=serving) as port, asyncio.timeout(20):
        with pytest.raises(Unfit, match="server_hostname"):
            await Us(Door(tls=trusting)).connect(Address("127.0.0.1", port))
        connection = await Us(Door(tls=trusting, server_hostname="broker.test")).connect(Address("127.0.0.1", port))
        await connection.close()


async def test_a_peer_without_tls_is_told_apart_from_one_that_says_nothing() -> None:
    async def hang_up(_: StreamReader, writer: StreamWriter) -> None:
        writer.close()

    async with peer(hang_up) as address:
        with pytest.raises(NotWritten, match="hung up while TLS began"):
            await Us(Door(tls=ssl.create_default_context())).connect(address)
