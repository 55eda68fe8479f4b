"""One connection to one broker: questions in order, answers in the same order."""

import asyncio
from asyncio import Future
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from ssl import SSLCertVerificationError, SSLContext
from struct import Struct
from typing import Any, NamedTuple, Self, TypeVar, cast

from msgkit_kafka.wire.api import Api
from msgkit_kafka.wire.doors import API_VERSIONS, Nothing
from msgkit_kafka.wire.errors import ConnectionLost, Garbled, LoginRefused, NotWritten, checked
from msgkit_kafka.wire.fields import Reader
from msgkit_kafka.wire.versions import missing

__all__ = ["Connection", "Door"]

Q = TypeVar("Q", bound=tuple[Any, ...])
A = TypeVar("A", bound=tuple[Any, ...])
_SIZE, _NUMBER = Struct(">i"), Struct(">i")
#: No answer is larger: what announces more is not Kafka.
_MOST = 1 << 28
#: Seconds without a question. Brokers end what nobody uses, most of them after ten minutes.
_IDLE = 20.0
#: Unsent bytes above which nothing more is to be written.
_FULL = 4 * 1024 * 1024
_HTTP = (b"HTTP", b"\x15\x03")


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """How to get in."""

    client: str
    tls: SSLContext | None = None
    #: What the broker's certificate must name; None: the host.
    server_hostname: str | None = None
    #: Seconds to get in, and for an answer that nothing delays.
    timeout: float = 10.0


class _Asked(NamedTuple):
    number: int
    api: Api[Any, Any]
    answer: "Future[Any]"
    deadline: float


class Connection(asyncio.Protocol):
    """Questions may be asked before the answers to earlier ones are there."""

    def __init__(self, door: Door, on_lost: Callable[["Connection"], None]) -> None:
        self._door = door
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._rest = bytearray()
        self._open: deque[_Asked] = deque()
        self._number = 0
        self._ended: ConnectionLost | None = None
        self._room: Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._asked_at = self._loop.time()
        #: Had nothing been asked for so long when it ended that the broker may have thought nobody needs it?
        self.was_idle = False

    @classmethod
    async def open(cls, host: str, port: int, door: Door, on_lost: Callable[["Connection"], None]) -> Self:
        """Reach a broker that knows what is asked of it here; nobody has logged in yet.

        :raises NotWritten: when it is not there
        :raises LoginRefused: when it would not help to try again
        """
        connection = cls(door, on_lost)
        name = (door.server_hostname or host) if door.tls is not None else None
        try:
            async with asyncio.timeout(door.timeout):
                loop = asyncio.get_running_loop()
                await loop.create_connection(lambda: connection, host, port, ssl=door.tls, server_hostname=name)
                known = await connection.ask(API_VERSIONS, Nothing())
        except ConnectionLost as error:
            raise NotWritten(f"{host}:{port}: {error}") from error
        except SSLCertVerificationError as error:
            connection.abort(str(error))
            why = f"the certificate of the broker at {host}:{port} is not trusted: {error.verify_message}"
            raise LoginRefused(f"{why}; the options ca_file and server_hostname say what is") from error
        except (OSError, UnicodeError) as error:
            connection.abort(str(error))
            raise NotWritten(f"{host}:{port}: {_why(error, door)}") from error
        except BaseException:
            connection.abort("not wanted any more")
            raise
        checked(known.error)
        if lacking := missing(known.known):
            connection.abort("too old")
            raise LoginRefused(f"the broker at {host}:{port} is older than Kafka 2.5: it does not know {lacking}")
        return connection

    # -- asking

    @property
    def is_open(self) -> bool:
        return self._ended is None and self._transport is not None

    @property
    def why(self) -> str:
        """Why it is closed."""
        return str(self._ended or "")

    def ask(self, api: Api[Q, A], question: Q, *, patience: float | None = 0.0) -> "Future[A]":
        """Write a question; the future is its answer.

        It fails with `NotWritten` when there is no connection, and with `ConnectionLost` when that ends before
        the answer: as it does when the answer takes longer than the door's time-out and `patience` more
        seconds. None is for what may take as long as it likes.
        """
        answer: Future[A] = self._loop.create_future()
        if self._ended is not None or self._transport is None:
            answer.set_exception(NotWritten(str(self._ended or "not connected")))
            return answer
        self._number = number = self._number + 1 & 0x7FFF_FFFF
        self._asked_at = self._loop.time()
        deadline = float("inf") if patience is None else self._asked_at + self._door.timeout + patience
        self._open.append(_Asked(number, api, answer, deadline))
        self._transport.write(api.encode(number, self._door.client, question))
        if self._timer is None:
            self._timer = self._loop.call_later(self._door.timeout / 4, self._look)
        return answer

    @property
    def is_full(self) -> bool:
        return self._room is not None

    async def room(self) -> None:
        """Return when what was written has left."""
        while self._room is not None:
            await asyncio.shield(self._room)

    def _look(self) -> None:
        """See whether the broker is still there."""
        self._timer = None
        if any(asked.deadline < self._loop.time() for asked in self._open):
            self.abort(f"the broker did not answer within {self._door.timeout:g} s")
        elif self._open:
            self._timer = self._loop.call_later(self._door.timeout / 4, self._look)

    # -- for the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_FULL)

    def data_received(self, data: bytes) -> None:
        rest = self._rest
        if not rest and len(data) >= _SIZE.size and _SIZE.unpack_from(data)[0] == len(data) - _SIZE.size:
            self._take(memoryview(data)[_SIZE.size :])
            return
        rest += data
        at = 0
        while len(rest) - at >= _SIZE.size:
            (size,) = _SIZE.unpack_from(rest, at)
            if not 0 < size <= _MOST:
                self.abort(_no_kafka(bytes(rest[:16])))
                return
            if len(rest) - at - _SIZE.size < size:
                break
            frame = bytes(memoryview(rest)[at + _SIZE.size : at + _SIZE.size + size])
            at += _SIZE.size + size
            self._take(memoryview(frame))
            if self._ended is not None:
                return
        del rest[:at]

    def _take(self, frame: memoryview) -> None:
        reader = Reader(frame)
        try:
            number = reader.number(_NUMBER)
            asked = self._open[0] if self._open and self._open[0].number == number else None
            value = asked.api.decode(reader) if asked is not None else None
        except Garbled as error:
            self.abort(f"what came is not Kafka: {error}")
            return
        if asked is None:
            self.abort(f"an answer came to question {number}, which was not asked next")
            return
        self._open.popleft()
        if not asked.answer.done():
            asked.answer.set_result(value)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(str(exc) if exc is not None else "the broker hung up")

    def pause_writing(self) -> None:
        if self._room is None:
            self._room = self._loop.create_future()

    def resume_writing(self) -> None:
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    # -- the end

    def abort(self, why: str) -> None:
        """End it at once."""
        self._end(why)
        if self._transport is not None:
            self._transport.abort()

    async def close(self) -> None:
        """End it when what was written has left."""
        self._end("closed by ourselves")
        if self._transport is not None:
            self._transport.close()

    def _end(self, why: str) -> None:
        if self._ended is not None:
            return
        self._ended = ConnectionLost(why)
        self.was_idle = not self._open and self._loop.time() - self._asked_at > _IDLE
        if self._timer is not None:
            self._timer.cancel()
        waiting, self._open = self._open, deque()
        for asked in waiting:
            if not asked.answer.done():
                asked.answer.set_exception(ConnectionLost(why))
        self.resume_writing()
        self._rest.clear()
        self._on_lost(self)


def _why(error: BaseException, door: Door) -> str:
    if isinstance(error, TimeoutError):
        return f"it did not answer within {door.timeout:g} s"
    return str(error) or ("it hung up" if door.tls is None else "it hung up: it may speak no TLS there")


def _no_kafka(begin: bytes) -> str:
    if begin.startswith(_HTTP[0]):
        return "what answers there is a web server"
    if begin.startswith(_HTTP[1]):
        return "what answers there wants TLS"
    return "what answers there is not Kafka"
