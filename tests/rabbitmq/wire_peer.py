"""A peer that is a script: it speaks what another client library makes, and that library reads what it hears."""

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TypeVar

from pamqp import commands, frame
from pamqp.base import Frame
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.frame import FrameTypes
from pamqp.header import ContentHeader
from pamqp.heartbeat import Heartbeat

from msgkit_rabbitmq.wire import Channel, Connection, Login, WireError

__all__ = ["LOGIN", "START", "TUNE", "Line", "Peer", "Talk", "content", "listening", "marshalled", "soon", "talking"]

T = TypeVar("T")
F = TypeVar("F", bound=FrameTypes)

LOGIN = Login(user="app", password="pw", vhost="shop", name="till", heartbeat=60, timeout=5)  # noqa: S106 -- nobody's
START = commands.Connection.Start(0, 9, {"product": "Script", "version": "1.0"}, "PLAIN AMQPLAIN", "en_US")
TUNE = commands.Connection.Tune(2047, 131072, 60)
_GREETING = b"AMQP\x00\x00\x09\x01"


def marshalled(*frames: FrameTypes, channel: int = 0) -> bytes:
    return b"".join(frame.marshal(each, channel) for each in frames)


def content(announced: Frame, body: bytes, *parts: int, properties: Basic.Properties | None = None) -> list[FrameTypes]:
    """Return the frames of a message whose body is cut after so many bytes each."""
    frames: list[FrameTypes] = [announced, ContentHeader(0, len(body), properties or Basic.Properties())]
    cuts = [0, *(cut for cut in parts if cut < len(body)), len(body)]
    frames += [ContentBody(body[a:b]) for a, b in pairwise(cuts) if b > a]
    return frames


async def soon(awaited: Awaitable[T]) -> T:
    async with asyncio.timeout(5):
        return await awaited


class Line:
    """The peer's end of one connection."""

    def __init__(self, reader: StreamReader, writer: StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def says(self, *frames: FrameTypes, channel: int = 0) -> None:
        self.writer.write(marshalled(*frames, channel=channel))

    def says_bytes(self, data: bytes) -> None:
        self.writer.write(data)

    def hangs_up(self) -> None:
        self.writer.close()

    async def next(self) -> tuple[int, FrameTypes]:
        head = await soon(self.reader.readexactly(7))
        rest = await soon(self.reader.readexactly(int.from_bytes(head[3:]) + 1))
        _, channel, heard = frame.unmarshal(head + rest)
        return channel, heard

    async def hears(self, kind: type[F], *, channel: int = 0) -> F:
        """Return the next frame, which is of that kind; signs of life do not count."""
        while True:
            on, heard = await self.next()
            if isinstance(heard, kind):
                assert on == channel
                return heard
            assert isinstance(heard, Heartbeat), heard

    async def hears_nothing_more(self) -> None:
        assert await soon(self.reader.read()) == b""

    async def greeted(self) -> None:
        assert await soon(self.reader.readexactly(8)) == _GREETING

    async def lets_in(self, tune: commands.Connection.Tune = TUNE, start: commands.Connection.Start = START) -> None:
        await self.greeted()
        self.says(start)
        await self.hears(commands.Connection.StartOk)
        self.says(tune)
        await self.hears(commands.Connection.TuneOk)
        await self.hears(commands.Connection.Open)
        self.says(commands.Connection.OpenOk())


class Peer:
    """Listens; each connection is a line."""

    def __init__(self) -> None:
        self.lines: asyncio.Queue[Line] = asyncio.Queue()
        self.all: list[Line] = []
        self.port = 0

    def connected(self, reader: StreamReader, writer: StreamWriter) -> None:
        self.all.append(line := Line(reader, writer))
        self.lines.put_nowait(line)

    async def line(self) -> Line:
        return await soon(self.lines.get())


@asynccontextmanager
async def listening() -> AsyncGenerator[Peer]:
    """Listen for a while, and see that nothing is left running."""
    before = asyncio.all_tasks()
    peer = Peer()
    server = await asyncio.start_server(peer.connected, "127.0.0.1", 0)
    peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        server.close()
        for line in peer.all:
            line.writer.transport.abort()
        await server.wait_closed()
        await asyncio.sleep(0)
    assert asyncio.all_tasks() <= before


def _nothing(_error: WireError) -> None:
    return None


@dataclass(eq=False)
class Talk:
    """A connection, the peer's end of it, and what was heard of it."""

    connection: Connection
    line: Line
    lost: list[WireError]
    blocked: list[str | None]
    is_lost: asyncio.Event = field(default_factory=asyncio.Event)

    async def channel(
        self, on_closed: Callable[[WireError], None] = _nothing, *, number: int = 1, confirms: bool = False
    ) -> Channel:
        opening = asyncio.create_task(self.connection.channel(on_closed, confirms=confirms))
        await self.line.hears(commands.Channel.Open, channel=number)
        self.line.says(commands.Channel.OpenOk(), channel=number)
        if confirms:
            await self.line.hears(commands.Confirm.Select, channel=number)
            self.line.says(commands.Confirm.SelectOk(), channel=number)
        return await soon(opening)

    async def heard(self) -> None:
        """Return when all that the peer has said is taken: an answer is behind it."""
        channel = asyncio.create_task(self.connection.channel())
        while not isinstance((heard := await self.line.next())[1], commands.Channel.Open):
            pass
        self.line.says(commands.Channel.OpenOk(), channel=heard[0])
        await soon(channel)

    async def beaten(self) -> None:
        """As `heard`, where no channel is to be had."""
        self.line.says(commands.Connection.Blocked("a mark"))
        while "a mark" not in self.blocked:  # noqa: ASYNC110 -- who hears it is the test's
            await asyncio.sleep(0)
        self.blocked.remove("a mark")


@asynccontextmanager
async def talking(
    login: Login = LOGIN, tune: commands.Connection.Tune = TUNE, **changes: float
) -> AsyncGenerator[Talk]:
    """Open a connection to a peer that lets it in."""
    lost: list[WireError] = []
    blocked: list[str | None] = []
    is_lost = asyncio.Event()

    def on_closed(error: WireError) -> None:
        lost.append(error)
        is_lost.set()

    async with listening() as peer:
        login = replace(login, **changes)  # type: ignore[arg-type]  # its seconds only
        opening = asyncio.create_task(
            Connection.open("127.0.0.1", peer.port, login, on_closed=on_closed, on_blocked=blocked.append)
        )
        line = await peer.line()
        await line.lets_in(tune)
        connection = await soon(opening)
        try:
            yield Talk(connection, line, lost, blocked, is_lost)
        finally:
            connection.abort("the test is over")
            await soon(connection.close(0))
