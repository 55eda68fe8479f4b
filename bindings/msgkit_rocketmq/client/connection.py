"""One connection to a name server or a broker: any number of questions at once, each answered in its own time."""

import asyncio
import ssl
from asyncio import Future
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Self, cast

from msgkit.reaching import Address, Outbox, explained
from msgkit_rocketmq.client.codes import Request, Response
from msgkit_rocketmq.client.errors import NotWritten, Unanswered, Unfit, Unreadable
from msgkit_rocketmq.client.frames import SIZE, Frame, Value, decode, encode, written
from msgkit_rocketmq.client.signing import Credentials

__all__ = ["Connection", "Door"]

#: No frame is larger: what announces more is not RocketMQ.
_MOST = 1 << 27
#: Brokers end the connection, and with it all that waits there, when they are given more.
_MOST_TAKEN = 1 << 24
#: Seconds for the other side to take our last words.
_LINGER = 1.0
#: Unsent bytes above which nothing more is to be written.
_FULL = 4 * 1024 * 1024
_HTTP, _ALERT = b"HTTP", b"\x15\x03"


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """How to get in."""

    tls: ssl.SSLContext | None = None
    #: What the certificate must name; None: the host.
    server_hostname: str | None = None
    #: None: nobody asks who we are.
    credentials: Credentials | None = None
    #: Seconds to get in; and after which one that owes an answer and says nothing at all is taken for gone.
    timeout: float = 10.0


class Connection(asyncio.Protocol):
    def __init__(
        self,
        address: Address,
        door: Door,
        on_request: Callable[["Connection", Frame], None],
        on_lost: Callable[["Connection"], None],
    ) -> None:
        self.address = address
        #: What RocketMQ calls its own version, in numbers; 0 until something came.
        self.version = 0
        self._door = door
        self._on_request = on_request
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._rest = bytearray()
        self._waiting: dict[int, Future[Frame]] = {}
        self._opaque = 0
        self._outbox = Outbox(self._loop)
        self._heard_at = self._loop.time()
        self._ended: str | None = None
        self._failure: Exception | None = None
        self._gone: Future[None] = self._loop.create_future()

    @classmethod
    async def open(
        cls,
        address: Address,
        door: Door,
        greet: Callable[["Connection", float], Awaitable[None]],
        *,
        on_request: Callable[["Connection", Frame], None],
        on_lost: Callable[["Connection"], None],
    ) -> Self:
        """Reach somebody, and find out whether he is who is wanted.

        :param greet: asks the first question, until a time by the loop's clock; it raises `Unfit` for a wrong answer
        :raises NotWritten: when nobody is there
        :raises Unfit: when it would not help to try again
        """
        connection = cls(address, door, on_request, on_lost)
        name = (door.server_hostname or address.host) if door.tls is not None else None
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(door.timeout):
                await loop.create_connection(lambda: connection, *address, ssl=door.tls, server_hostname=name)
                await greet(connection, loop.time() + door.timeout)
        except (OSError, UnicodeError, Unanswered) as error:
            connection.abort(str(error))
            # What the other side thinks of our certificate is known only afterwards.
            raise _not_reached(address, connection._failure or error, door) from error
        except BaseException:
            connection.abort("not wanted any more")
            raise
        return connection

    # -- asking

    @property
    def is_open(self) -> bool:
        return self._ended is None and self._transport is not None

    @property
    def why(self) -> str:
        """Why it is closed."""
        return self._ended or ""

    async def ask(self, request: Request, fields: Mapping[str, Value], body: bytes, deadline: float) -> Frame:
        """Return the answer, whatever it says.

        :param deadline: by the loop's clock
        :raises NotWritten: when there is no connection, or no room in it; `Unfit`, when it is too much
        :raises Unanswered: when it ends before the answer, or time is up
        """
        if self._outbox.is_full:
            await self._ready(deadline)
        opaque = self._write(request, fields, body)
        answer: Future[Frame] = self._loop.create_future()
        self._waiting[opaque] = answer
        timer = self._loop.call_at(deadline, self._expire, opaque, self._loop.time())
        try:
            return await answer
        finally:
            timer.cancel()
            self._waiting.pop(opaque, None)

    async def tell(self, request: Request, fields: Mapping[str, Value], body: bytes, deadline: float) -> None:
        """Say what nobody answers.

        :raises NotWritten: when there is no connection, or no room in it
        """
        if self._outbox.is_full:
            await self._ready(deadline)
        self._write(request, fields, body, is_oneway=True)

    def answer(self, asked: Frame, code: Response = Response.SUCCESS, remark: str = "") -> None:
        """Answer what the other side asked, if it still wants to know."""
        if not asked.is_oneway:
            self._outbox.write(encode(Frame(code, opaque=asked.opaque, is_response=True, remark=remark)))

    async def _ready(self, deadline: float) -> None:
        """Return when what was written before has left."""
        try:
            async with asyncio.timeout_at(deadline):
                await self._outbox.room()
        except TimeoutError:
            raise NotWritten(f"{self.address}: what was written before has not left yet") from None

    def _write(self, request: Request, fields: Mapping[str, Value], body: bytes, *, is_oneway: bool = False) -> int:
        if self._ended is not None or self._transport is None:
            raise NotWritten(f"{self.address}: {self._ended or 'not connected'}")
        said = written(fields)
        if self._door.credentials is not None:
            said = self._door.credentials.signed(said, body)
        self._opaque = self._opaque + 1 & 0x7FFF_FFFF
        frame = encode(Frame(request, said, body, self._opaque, is_oneway=is_oneway))
        if len(frame) > _MOST_TAKEN:
            raise Unfit(f"{self.address}: nobody takes {len(frame):,} bytes at once; {_MOST_TAKEN:,} is the most")
        self._outbox.write(frame)
        return self._opaque

    def _expire(self, opaque: int, asked_at: float) -> None:
        answer = self._waiting.get(opaque)
        if answer is not None and not answer.done():
            within = self._loop.time() - asked_at
            answer.set_exception(Unanswered(f"{self.address}: no answer within {within:.3g} s"))
        # One answer may be late; one who says nothing at all is gone.
        self._loop.call_at(asked_at + self._door.timeout, self._end_unless_heard_since, asked_at)

    def _end_unless_heard_since(self, asked_at: float) -> None:
        if self._heard_at < asked_at and self._ended is None:
            self.abort(f"nothing was heard for {self._loop.time() - asked_at:.3g} s")

    # -- for the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = self._outbox.transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_FULL)

    def data_received(self, data: bytes) -> None:
        self._heard_at = self._loop.time()
        rest = self._rest
        rest += data
        at = 0
        while len(rest) - at >= SIZE.size:
            (size,) = SIZE.unpack_from(rest, at)
            if not 0 < size <= _MOST:
                self.abort(_no_rocketmq(bytes(rest[:16])))
                return
            end = at + SIZE.size + size
            if len(rest) < end:
                break
            self._take(bytes(memoryview(rest)[at + SIZE.size : end]))
            if self._ended is not None:
                return
            at = end
        del rest[:at]

    def _take(self, data: bytes) -> None:
        try:
            frame = decode(data)
        except Unreadable as error:
            self.abort(f"what came is not RocketMQ: {error}")
            return
        self.version = frame.version
        if not frame.is_response:
            self._on_request(self, frame)
        elif (answer := self._waiting.get(frame.opaque)) is not None and not answer.done():
            answer.set_result(frame)

    def connection_lost(self, exc: Exception | None) -> None:
        self._failure = exc
        if not self._gone.done():
            self._gone.set_result(None)
        self._end(str(exc) if exc is not None else "the other side hung up")

    def pause_writing(self) -> None:
        self._outbox.pause()

    def resume_writing(self) -> None:
        self._outbox.resume()

    # -- the end

    def abort(self, why: str) -> None:
        """End it at once."""
        self._end(why)
        if self._transport is not None:
            self._transport.abort()

    async def close(self) -> None:
        """End it when what was written has left. With TLS the other side has a word to say as well."""
        self._outbox.flush()
        self._end("closed by ourselves")
        if self._transport is not None:
            self._transport.close()
            await asyncio.wait([self._gone], timeout=_LINGER)
            self._transport.abort()

    def _end(self, why: str) -> None:
        if self._ended is not None:
            return
        self._ended = why
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(Unanswered(f"{self.address}: {why}"))
        self._outbox.end()
        self._rest.clear()
        self._on_lost(self)


def _not_reached(address: Address, error: Exception, door: Door) -> NotWritten:
    match error:
        case TimeoutError():
            return NotWritten(f"{address}: nothing was heard within {door.timeout:g} s")
        case ssl.SSLEOFError() | ssl.SSLZeroReturnError() | ConnectionResetError() if door.tls is not None:
            return NotWritten(f"{address}: it hung up while TLS began; is that the port for rocketmq://?")
        case ssl.SSLError():
            return Unfit(f"RocketMQ at {address}: {explained(error, 'rocketmq')}")
        case Unanswered():
            return NotWritten(str(error))
        case _:
            return NotWritten(f"{address}: {error}")


def _no_rocketmq(begin: bytes) -> str:
    if begin.startswith(_HTTP):
        return "what answers there is a web server"
    if begin.startswith(_ALERT):
        return "what answers there wants TLS"
    return "what answers there is not RocketMQ"
