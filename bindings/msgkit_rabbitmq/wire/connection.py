"""One connection to a RabbitMQ: the way in, signs of life, and the channels on it."""

import asyncio
import platform
import ssl
from asyncio import Future
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Self

from msgkit_rabbitmq.wire import methods
from msgkit_rabbitmq.wire.channel import Channel
from msgkit_rabbitmq.wire.errors import ConnectionLost, LoginRefused, WireError
from msgkit_rabbitmq.wire.frames import HEAD, HEARTBEAT_FRAME, METHOD, frame
from msgkit_rabbitmq.wire.methods import Method

__all__ = ["Connection", "Login"]

_GREETING = b"AMQP\x00\x00\x09\x01"
_END = 0xCE
_FRAME_MAX = 128 * 1024
_CHANNELS = 2047
_CAPABILITIES = (
    "publisher_confirms",
    "exchange_exchange_bindings",
    "basic.nack",
    "consumer_cancel_notify",
    "connection.blocked",
    "authentication_failure_close",
)
#: Signs of life that may be missing before the peer is taken for dead.
_MISSED = 2.2
_REFUSALS = (403, 530)


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """What a broker wants to know before it talks."""

    user: str
    password: str = field(repr=False)
    vhost: str = "/"
    #: What the broker calls the connection where it lists them.
    name: str = "msgkit"
    mechanism: str = "PLAIN"
    tls: ssl.SSLContext | None = None
    #: The name that the certificate must bear, if it is not the host's.
    server_hostname: str | None = None
    #: Seconds; signs of life are sent and expected twice as often.
    heartbeat: float = 5.0
    #: Seconds to get in.
    timeout: float = 10.0


class Connection(asyncio.Protocol):
    """Open when it exists: `await Connection.open(...)`. Used on one event loop."""

    def __init__(
        self,
        login: Login,
        on_closed: Callable[[WireError], None],
        on_blocked: Callable[[str | None], None],
    ) -> None:
        self._login = login
        self._on_closed = on_closed
        self._on_blocked = on_blocked
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._rest = b""
        self._out: list[bytes] = []
        self._channels: dict[int, Channel] = {}
        self._last_number = 0
        self._ended: WireError | None = None
        self._is_open = self._closing = False
        self._most_channels = _CHANNELS
        self._expected: tuple[Method, Future[tuple[object, ...]]] | None = None
        self._gone: Future[None] = self._loop.create_future()
        self._room: Future[None] | None = None
        self._heard = self._wrote = self._beat_at = self._loop.time()
        self._beat: asyncio.TimerHandle | None = None
        self._heartbeat = login.heartbeat
        self.frame_max = _FRAME_MAX
        #: What the broker says of itself: product, version, cluster_name.
        self.server: Mapping[str, object] = {}

    @classmethod
    async def open(
        cls,
        host: str,
        port: int,
        login: Login,
        *,
        on_closed: Callable[[WireError], None],
        on_blocked: Callable[[str | None], None],
    ) -> Self:
        """Get in. `on_closed` hears once when an open connection is lost; `on_blocked` why it takes no messages.

        :raises LoginRefused: when it would not help to try again
        :raises ConnectionLost: when it might
        """
        connection = cls(login, on_closed, on_blocked)
        try:
            async with asyncio.timeout(login.timeout):
                await connection._connect(host, port)
                await connection._log_in()
        except TimeoutError:
            connection.abort("no answer")
            raise ConnectionLost(f"no answer within {login.timeout:g} s") from None
        except ssl.SSLError as error:
            raise LoginRefused(0, f"TLS failed: {error.strerror or error}") from error
        except OSError as error:
            connection.abort(str(error))
            raise ConnectionLost(error.strerror or str(error)) from error
        except BaseException:
            connection.abort("not wanted any more")
            raise
        return connection

    async def _connect(self, host: str, port: int) -> None:
        tls = self._login.tls
        name = (self._login.server_hostname or host) if tls is not None else None
        await self._loop.create_connection(lambda: self, host, port, ssl=tls, server_hostname=name)

    async def _log_in(self) -> None:
        self._put(_GREETING)
        _, _, server, offered, _ = await self._next(methods.CONNECTION_START)
        self.server = server if isinstance(server, dict) else {}
        login = self._login
        if login.mechanism not in _words(offered):
            raise LoginRefused(0, f"the broker offers {' '.join(_words(offered))}, and not {login.mechanism}")
        secret = f"\0{login.user}\0{login.password}".encode() if login.mechanism == "PLAIN" else b""
        self.write_method(methods.CONNECTION_START_OK, _about(login.name), login.mechanism, secret, "en_US")
        channels, frame_max, _ = await self._next(methods.CONNECTION_TUNE)
        self.frame_max = min(int(str(frame_max)) or _FRAME_MAX, _FRAME_MAX)
        most = min(int(str(channels)) or _CHANNELS, _CHANNELS)
        self.write_method(methods.CONNECTION_TUNE_OK, most, self.frame_max, max(1, round(self._heartbeat)))
        self.write_method(methods.CONNECTION_OPEN, login.vhost, "", 0)
        await self._next(methods.CONNECTION_OPEN_OK)
        self._is_open = True
        self._most_channels = most
        self._beat_at = self._loop.time()
        self._beat = self._loop.call_later(self._heartbeat / 2, self._on_beat)

    async def _next(self, method: Method) -> tuple[object, ...]:
        if self._ended is not None:
            raise self._ended
        answer: Future[tuple[object, ...]] = self._loop.create_future()
        self._expected = method, answer
        return await answer

    # -- for those who use it

    @property
    def is_open(self) -> bool:
        return self._ended is None and self._is_open and not self._closing

    async def channel(self, on_closed: Callable[[WireError], None] | None = None, *, confirms: bool = False) -> Channel:
        """Open a channel; `on_closed` hears when it ends and we did not close it."""
        if self._ended is not None or self._closing:
            raise ConnectionLost("the connection is closed")
        channel = Channel(self, self._free_number(), on_closed or _ignore)
        self._channels[channel.number] = channel
        await channel.open()
        if confirms:
            await channel.confirm()
        return channel

    def _free_number(self) -> int:
        for _ in range(self._most_channels):
            self._last_number = self._last_number % self._most_channels + 1
            if self._last_number not in self._channels:
                return self._last_number
        raise ConnectionLost(f"all {self._most_channels} channels of the connection are in use")

    @property
    def is_full(self) -> bool:
        """Does the peer take bytes more slowly than we write them?"""
        return self._room is not None

    async def room(self) -> None:
        """Return when the peer has taken enough of what was written."""
        while self._room is not None and self._ended is None:
            await asyncio.shield(self._room)

    async def close(self, deadline: float) -> None:
        """Say goodbye, and wait for the answer within so many seconds."""
        if self._ended is None and not self._closing:
            self._closing = True
            self.write_method(methods.CONNECTION_CLOSE, 200, "", 0, 0)
            await asyncio.wait([self._gone], timeout=deadline)
        self.abort("closed by ourselves")

    def abort(self, reason: str) -> None:
        """Let go of the peer at once."""
        if self._transport is not None:
            self._transport.abort()
        self._end(ConnectionLost(reason))

    # -- writing

    def write(self, data: bytes) -> None:
        """Write in this turn of the loop, together with all else that is written in it."""
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(data)

    def write_method(self, method: Method, *values: object) -> None:
        self._put(frame(METHOD, 0, method.encode(*values)))

    def _put(self, data: bytes) -> None:
        self.write(data)
        self._flush()

    def _flush(self) -> None:
        out = self._out
        if out and self._transport is not None:
            self._wrote = self._loop.time()
            self._transport.write(b"".join(out))
        out.clear()

    def pause_writing(self) -> None:
        self._room = self._loop.create_future()

    def resume_writing(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        self._room = None

    # -- reading

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 -- what create_connection makes
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._heard = self._loop.time()
        if self._rest:
            data = self._rest + data
        at, size = 0, len(data)
        channels = self._channels
        while size - at > HEAD.size:
            kind, number, length = HEAD.unpack_from(data, at)
            end = at + HEAD.size + length
            if end >= size:
                if length > self.frame_max:
                    self._garbled(data, at)
                    return
                break
            if data[end] != _END:
                self._garbled(data, at)
                return
            payload = data[at + HEAD.size : end]
            at = end + 1
            if number == 0:
                self._control(kind, payload)
            elif (channel := channels.get(number)) is not None:
                channel.received(kind, payload)
        self._rest = data[at:]

    def _garbled(self, data: bytes, at: int) -> None:
        if not self._is_open and data.startswith(b"AMQP"):
            self._refuse(LoginRefused(0, "the broker does not speak AMQP 0-9-1"))
        elif not self._is_open:
            self._refuse(LoginRefused(0, f"this is no AMQP: it answered {data[at : at + 16]!r}"))
        else:
            self.abort("the broker sent a frame that is none")

    def _control(self, kind: int, payload: bytes) -> None:
        if kind != METHOD:
            return
        number = methods.number(payload)
        if self._expected is not None and number == self._expected[0].number:
            (method, answer), self._expected = self._expected, None
            if not answer.done():
                answer.set_result(method.decode(payload))
        elif number == methods.CONNECTION_CLOSE.number:
            code, text, *_ = methods.CONNECTION_CLOSE.decode(payload)
            self._closed_by_broker(int(str(code)), str(text))
        elif number == methods.CONNECTION_CLOSE_OK.number:
            self.abort("closed by ourselves")
        elif number == methods.CONNECTION_BLOCKED.number:
            (reason,) = methods.CONNECTION_BLOCKED.decode(payload)
            self._on_blocked(str(reason))
        elif number == methods.CONNECTION_UNBLOCKED.number:
            self._on_blocked(None)

    def _closed_by_broker(self, code: int, text: str) -> None:
        self.write_method(methods.CONNECTION_CLOSE_OK)
        if self._transport is not None:
            self._transport.close()
        if not self._is_open and code in _REFUSALS:
            self._end(LoginRefused(code, text))
        else:
            self._end(ConnectionLost(f"the broker closed it: {code} {text}"))

    def _refuse(self, error: LoginRefused) -> None:
        if self._transport is not None:
            self._transport.abort()
        self._end(error)

    def eof_received(self) -> None:
        self._end(ConnectionLost("the broker hung up"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(ConnectionLost(str(exc) if exc else "the broker hung up"))
        if not self._gone.done():
            self._gone.set_result(None)

    def _end(self, error: WireError) -> None:
        if self._ended is not None:
            return
        self._ended = error
        if self._beat is not None:
            self._beat.cancel()
        if self._expected is not None and not self._expected[1].done():
            self._expected[1].set_exception(error)
        for channel in tuple(self._channels.values()):
            channel.end(error, expected=self._closing)
        self._channels.clear()
        self.resume_writing()
        if not self._gone.done():
            self._gone.set_result(None)
        if self._is_open and not self._closing:
            self._on_closed(error)

    def forget(self, number: int) -> None:
        """Hear that a channel is no more."""
        self._channels.pop(number, None)

    # -- signs of life

    def _on_beat(self) -> None:
        now = self._loop.time()
        every = self._heartbeat / 2
        # A loop that was kept busy has not read what lies there for it: it gets another turn first.
        was_late, self._beat_at = now - self._beat_at > 2 * every, now
        if not was_late and now - self._heard > _MISSED * self._heartbeat:
            self.abort(f"no sign of life for {now - self._heard:.0f} s")
            return
        if now - self._wrote >= every * 0.9:
            self._put(HEARTBEAT_FRAME)
        self._beat = self._loop.call_later(every, self._on_beat)


def _about(name: str) -> dict[str, object]:
    return {
        "product": "msgkit",
        "platform": f"{platform.python_implementation()} {platform.python_version()}",
        "connection_name": name,
        "capabilities": dict.fromkeys(_CAPABILITIES, True),
    }


def _words(offered: object) -> list[str]:
    return offered.decode().split() if isinstance(offered, bytes) else []


def _ignore(_error: WireError) -> None:
    return None
