"""One connection to a RabbitMQ: the way in, signs of life, and the channels on it."""

import asyncio
import ssl
from asyncio import Future
from collections.abc import Callable, Mapping
from functools import partial
from typing import Self, cast

from msgkit.reaching import Outbox
from msgkit_rabbitmq.wire import methods
from msgkit_rabbitmq.wire.channel import Channel
from msgkit_rabbitmq.wire.errors import ConnectionLost, Garbled, LoginRefused, WireError
from msgkit_rabbitmq.wire.frames import END, FRAME_MAX, FRAME_MIN, HEAD, HEARTBEAT, METHOD, OVERHEAD, frame
from msgkit_rabbitmq.wire.login import GREETING, Login, about, no_amqp, not_reached, secret, words
from msgkit_rabbitmq.wire.methods import Method, integer
from msgkit_rabbitmq.wire.tables import MalformedTable

__all__ = ["Connection"]

_CHANNELS = 2047
#: Beats without a sign of life after which the peer is taken for dead: two to two and a half heartbeats.
_MISSED = 4
#: Seconds for the peer to take our last words.
_LINGER = 1.0
_REFUSALS = (403, 530)


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
        #: The beginning of a frame that is not there whole, and how many bytes it lacks at least.
        self._rest: list[bytes] = []
        self._lacking = 0
        self._outbox = Outbox(self._loop)
        #: Write in this turn of the loop, together with all else that is written in it.
        self.write = self._outbox.write
        self._channels: dict[int, Channel] = {}
        self._last_number = 0
        self._ended: WireError | None = None
        self._is_open = self._closing = False
        self._most_channels = _CHANNELS
        self._expected: tuple[Method, Future[tuple[object, ...]]] | None = None
        self._gone: Future[None] = self._loop.create_future()
        #: Beats since the last sign of life.
        self._silence = 0
        self._timer: asyncio.TimerHandle | None = None
        self.frame_max = FRAME_MAX
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
        except (OSError, UnicodeError) as error:
            connection.abort(str(error))
            raise not_reached(error, login) from error
        except BaseException:
            connection.abort("not wanted any more")
            raise
        return connection

    async def _connect(self, host: str, port: int) -> None:
        tls = self._login.tls
        name = (self._login.server_hostname or host) if tls is not None else None
        await self._loop.create_connection(lambda: self, host, port, ssl=tls, server_hostname=name)

    async def _log_in(self) -> None:
        self._put(GREETING)
        _, _, server, offered, _ = await self._next(methods.CONNECTION_START)
        self.server = cast("Mapping[str, object]", server)
        login = self._login
        if login.mechanism not in words(offered):
            raise LoginRefused(0, f"the broker offers {' '.join(words(offered))}, and not {login.mechanism}")
        self.write_method(methods.CONNECTION_START_OK, about(login), login.mechanism, secret(login), "en_US")
        channels, frame_max, _ = await self._next(methods.CONNECTION_TUNE)
        self.frame_max = max(FRAME_MIN, min(integer(frame_max) or FRAME_MAX, FRAME_MAX))
        most = min(integer(channels) or _CHANNELS, _CHANNELS)
        self.write_method(methods.CONNECTION_TUNE_OK, most, self.frame_max, max(1, round(login.heartbeat)))
        self.write_method(methods.CONNECTION_OPEN, login.vhost, "", False)  # noqa: FBT003 -- a field of the method
        await self._next(methods.CONNECTION_OPEN_OK)
        self._is_open = True
        self._most_channels = most
        self._timer = self._loop.call_later(login.heartbeat / 2, self._on_beat)

    async def _next(self, method: Method) -> tuple[object, ...]:
        self._refuse_ended()
        self._expected = method, self._loop.create_future()
        heard = await self._expected[1]
        self._refuse_ended()  # it may have ended in the breath in which it answered
        return heard

    def _refuse_ended(self) -> None:
        if self._ended is not None:
            raise self._ended.with_traceback(None)

    # -- for those who use it

    @property
    def is_open(self) -> bool:
        return self._ended is None and self._is_open and not self._closing

    async def channel(self, on_closed: Callable[[WireError], None] | None = None, *, confirms: bool = False) -> Channel:
        """Open a channel; `on_closed` hears when it ends and we did not close it."""
        if self._ended is not None or self._closing:
            raise (self._ended or ConnectionLost("the connection is closed")).with_traceback(None)
        channel = Channel(self, self._free_number(), on_closed or _ignore)
        self._channels[channel.number] = channel
        try:
            await channel.open()
            if confirms:
                await channel.confirm()
        except BaseException:
            channel.leave()
            raise
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
        return self._outbox.is_full

    async def room(self) -> None:
        """Return when the peer has taken enough of what was written, or is gone."""
        await self._outbox.room()

    async def close(self, deadline: float) -> None:
        """Say goodbye, and wait for the answer within so many seconds."""
        if self._ended is None and not self._closing:
            self._closing = True
            self.write_method(methods.CONNECTION_CLOSE, 200, "", 0, 0)
        try:
            await asyncio.wait([self._gone], timeout=deadline)
        finally:
            self.abort("closed by ourselves")
        await asyncio.wait([self._gone], timeout=_LINGER)

    async def ends(self, within: float) -> bool:
        """Tell whether it is lost by now, or will be within so many seconds."""
        await asyncio.wait([self._gone], timeout=within)
        return not self.is_open

    def abort(self, reason: str) -> None:
        """Let go of the peer at once."""
        self._abort(ConnectionLost(reason))

    def _abort(self, error: WireError) -> None:
        if self._transport is not None:
            self._transport.abort()
        self._end(error)

    # -- writing

    def write_method(self, method: Method, *values: object) -> None:
        self._put(frame(METHOD, 0, method.encode(*values)))

    def _put(self, data: bytes) -> None:
        self._outbox.write(data)
        self._outbox.flush()

    def pause_writing(self) -> None:
        self._outbox.pause()

    def resume_writing(self) -> None:
        self._outbox.resume()

    # -- reading

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not every loop derives its transports.
        self._transport = self._outbox.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._silence = 0
        if self._rest:
            self._rest.append(data)
            self._lacking -= len(data)
            if self._lacking > 0:
                return
            data = b"".join(self._rest)
            self._rest.clear()
        try:
            at = self._frames(data)
        except (Garbled, MalformedTable) as error:
            self._garbled(data, error)
            return
        if at < len(data):
            self._rest.append(data[at:])

    def _frames(self, data: bytes) -> int:
        """Take the frames that are there whole, and return where the next one begins."""
        at, size, most = 0, len(data), self.frame_max - OVERHEAD
        channels, unpack, before = self._channels, HEAD.unpack_from, HEAD.size
        while size - at >= before:
            kind, number, length = unpack(data, at)
            if length > most:
                raise Garbled(f"a frame has {length:,} bytes, and at most {most:,} were agreed upon")
            end = at + before + length
            if end >= size:
                self._lacking = end + 1 - size
                return at
            if data[end] != END:
                raise Garbled("a frame has no end")
            payload = data[at + before : end]
            at = end + 1
            if number == 0:
                self._control(kind, payload)
            elif (channel := channels.get(number)) is not None:
                channel.received(kind, payload)
        self._lacking = at + before - size
        return at

    def _garbled(self, data: bytes, error: Exception) -> None:
        if self._is_open or self.server:
            self.abort(f"the broker sent what is no AMQP: {error}")
        else:
            self._abort(no_amqp(data))

    def _control(self, kind: int, payload: bytes) -> None:
        if kind == HEARTBEAT or self._ended is not None:
            return
        if kind != METHOD:
            raise Garbled(f"frames of kind {kind} belong to a channel")
        number = methods.number(payload)
        if self._expected is not None and number == self._expected[0].number:
            values = self._expected[0].decode(payload)
            (_, answer), self._expected = self._expected, None
            if not answer.done():
                answer.set_result(values)
        elif number == methods.CONNECTION_CLOSE.number:
            code, text, *_ = methods.CONNECTION_CLOSE.decode(payload)
            self._closed_by_broker(integer(code), str(text))
        elif number == methods.CONNECTION_CLOSE_OK.number:
            self.abort("closed by ourselves")
        elif number == methods.CONNECTION_BLOCKED.number:
            (reason,) = methods.CONNECTION_BLOCKED.decode(payload)
            self._on_blocked(str(reason))
        elif number == methods.CONNECTION_UNBLOCKED.number:
            self._on_blocked(None)

    def _closed_by_broker(self, code: int, text: str) -> None:
        self.write_method(methods.CONNECTION_CLOSE_OK)
        if not self._is_open and code in _REFUSALS:
            self._end(LoginRefused(code, text))
        else:
            self._end(ConnectionLost(f"the broker closed it: {code} {text}", code))
        if self._transport is not None:
            self._transport.close()
            self._timer = self._loop.call_later(_LINGER, self._transport.abort)

    def eof_received(self) -> None:
        self._hung_up(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._hung_up(exc)
        if self._timer is not None:
            self._timer.cancel()
        if not self._gone.done():
            self._gone.set_result(None)

    def _hung_up(self, error: Exception | None) -> None:
        if self._ended is not None:
            return
        if self._rest and not self._is_open and self._rest[0][0] not in (METHOD, HEARTBEAT):
            self._abort(no_amqp(b"".join(self._rest)))
        elif isinstance(error, ssl.SSLError) and not self._is_open:
            # What the broker thinks of our certificate is known only now.
            self._abort(not_reached(error, self._login))
        else:
            self.abort(str(error) if error is not None else "the broker hung up")

    def _end(self, error: WireError) -> None:
        if self._ended is not None:
            return
        self._ended = error
        if self._timer is not None:
            self._timer.cancel()
        if self._expected is not None and not self._expected[1].done():
            self._expected[1].set_exception(error)
        for channel in tuple(self._channels.values()):
            self._tell(partial(channel.end, error, expected=self._closing))
        self._channels.clear()
        self._rest.clear()
        self._outbox.end()
        if self._is_open and not self._closing:
            self._tell(partial(self._on_closed, error))

    def _tell(self, hear: Callable[[], None]) -> None:
        try:
            hear()
        except Exception as error:  # noqa: BLE001 -- whoever fails to hear it must not keep it from the others
            message = "the loss of a connection was not heard well"
            self._loop.call_exception_handler({"message": message, "exception": error})

    def forget(self, number: int) -> None:
        """Hear that a channel is no more."""
        self._channels.pop(number, None)

    # -- signs of life

    def _on_beat(self) -> None:
        # Beats are counted, and no seconds: a loop that was kept busy beats once when it is free again,
        # and reads what lies there for it before the next beat.
        self._silence += 1
        if self._silence > _MISSED:
            self.abort(f"no sign of life for {self._login.heartbeat * _MISSED / 2:g} s")
            return
        if not self._outbox.has_written:
            self._put(frame(HEARTBEAT, 0, b""))
        self._outbox.has_written = False
        self._timer = self._loop.call_later(self._login.heartbeat / 2, self._on_beat)


def _ignore(_error: WireError) -> None:
    return None
