"""A connection, against a peer that says what a test has it say."""

import asyncio
import ssl
from pathlib import Path
from struct import pack, unpack

import pytest

from msgkit_kafka.wire.connection import Connection, Door
from msgkit_kafka.wire.errors import ConnectionLost, LoginRefused, NotWritten
from msgkit_kafka.wire.groups import HEARTBEAT, Beat
from msgkit_kafka.wire.versions import NEEDED
from tests.certificates import made
from tests.serving import served

DOOR = Door(client="test", timeout=5.0)
BEAT = Beat("group", 1, "member", None)


async def question(reader: asyncio.StreamReader) -> tuple[int, int]:
    """Return the API that is asked, and the question's number."""
    (size,) = unpack(">i", await reader.readexactly(4))
    key, _, number = unpack(">hhi", (await reader.readexactly(size))[:8])
    return key, number


def answer(number: int, body: bytes) -> bytes:
    return pack(">ii", len(body) + 4, number) + body


def knowing(without: str = "") -> bytes:
    known = [api for api in NEEDED if api.name != without]
    return pack(">hi", 0, len(known)) + b"".join(pack(">hhh", api.key, 0, api.version) for api in known)


async def welcome(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    _, number = await question(reader)
    writer.write(answer(number, knowing()))


async def connected(port: int, lost: asyncio.Event | None = None, door: Door = DOOR) -> Connection:
    return await Connection.open("127.0.0.1", port, door, lambda _: lost.set() if lost is not None else None)


async def test_answers_come_to_those_who_asked_however_the_bytes_come() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await welcome(reader, writer)
        numbers = [(await question(reader))[1] for _ in range(3)]
        data = b"".join(answer(number, pack(">ih", 0, error)) for error, number in enumerate(numbers))
        for byte in data[:30]:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        writer.write(data[30:])
        await reader.read()

    async with served(serve) as port, asyncio.timeout(5):
        connection = await connected(port)
        answers = await asyncio.gather(*(connection.ask(HEARTBEAT, BEAT) for _ in range(3)))
        assert [each.error for each in answers] == [0, 1, 2]
        await connection.close()


async def test_what_was_asked_when_the_broker_hangs_up_may_have_been_done_and_what_is_asked_later_was_not() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await welcome(reader, writer)
        await question(reader)

    lost = asyncio.Event()
    async with served(serve) as port, asyncio.timeout(5):
        connection = await connected(port, lost)
        with pytest.raises(ConnectionLost) as asked:
            await connection.ask(HEARTBEAT, BEAT)
        assert not isinstance(asked.value, NotWritten)
        await lost.wait()
        with pytest.raises(NotWritten):
            await connection.ask(HEARTBEAT, BEAT)


async def test_a_broker_that_does_not_answer_is_taken_for_gone() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await welcome(reader, writer)
        await reader.read()

    async with served(serve) as port, asyncio.timeout(5):
        connection = await connected(port, door=Door(client="test", timeout=0.2))
        waits = connection.ask(HEARTBEAT, BEAT, patience=None)
        with pytest.raises(ConnectionLost, match=r"did not answer within 0\.2 s"):
            await connection.ask(HEARTBEAT, BEAT)
        with pytest.raises(ConnectionLost):
            await waits


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "a web server"),
        (b"\x15\x03\x03\x00\x02\x02\x46", "wants TLS"),
        (b"\xff\xff\xff\xff\xff\xff\xff\xff", "not Kafka"),
        (answer(1, b"\x00"), "too short"),
        (answer(77, knowing()), "was not asked"),
    ],
)
async def test_whoever_is_no_kafka_is_told_as_what_he_is(said: bytes, why: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await question(reader)
        writer.write(said)
        await reader.read()

    async with served(serve) as port, asyncio.timeout(5):
        with pytest.raises(NotWritten, match=why):
            await connected(port)


async def test_nobody_there_is_said_with_the_place() -> None:
    async with served(welcome) as port:
        pass
    with pytest.raises(NotWritten, match=f"127.0.0.1:{port}"):
        await connected(port)


async def test_a_broker_that_is_too_old_is_refused_and_it_is_said_what_it_lacks() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, number = await question(reader)
        writer.write(answer(number, knowing(without="OffsetFetch")))
        await reader.read()

    async with served(serve) as port, asyncio.timeout(5):
        with pytest.raises(LoginRefused, match=r"older than Kafka 2\.5: it does not know OffsetFetch 7"):
            await connected(port)


async def test_a_certificate_that_nobody_trusts_is_told_with_the_options_that_help(tmp_path: Path) -> None:
    there = made(tmp_path)
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(there.certificate, there.key)

    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async with served(silent, tls=serving) as port:
        with pytest.raises(LoginRefused, match="is not accepted: self-signed certificate; the option ca_file"):
            await Connection.open("127.0.0.1", port, Door(client="test", tls=ssl.create_default_context()), print)


async def test_a_peer_without_tls_is_told_apart_from_one_that_says_nothing() -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with served(hang_up) as port:
        with pytest.raises(NotWritten, match=r"it hung up while TLS began"):
            await Connection.open("127.0.0.1", port, Door(client="test", tls=ssl.create_default_context()), print)
