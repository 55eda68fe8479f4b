"""One channel: calls that are answered, messages out and in, confirms and acknowledgements."""

import asyncio
from asyncio import Future
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct
from typing import NamedTuple, Protocol

from msgkit_rabbitmq.wire import methods
from msgkit_rabbitmq.wire.errors import ChannelClosed, WireError
from msgkit_rabbitmq.wire.frames import BODY, HEADER, METHOD, content_frames, frame, publish_frame
from msgkit_rabbitmq.wire.methods import Method
from msgkit_rabbitmq.wire.tables import Table

__all__ = ["Channel", "Delivered", "QueueState", "Returned", "Writer"]

_DELIVER, _ACK, _NACK = b"\x00\x3c\x00\x3c", b"\x00\x3c\x00\x50", b"\x00\x3c\x00\x78"
_TAG = Struct(">Q")
_SIZE = Struct(">Q")
#: Where the size of the body stands in a header frame, and where the properties begin.
_SIZE_AT, _PROPERTIES_AT = 4, 12
_ACK_FRAME = Struct(">BHLIQBB")
_ACK_METHOD, _NACK_METHOD, _END = 60 << 16 | 80, 60 << 16 | 120, 0xCE


@dataclass(slots=True, eq=False)
class Delivered:
    """A message as it came, its properties still encoded."""

    tag: int
    redelivered: bool
    exchange: str
    key: str
    properties: bytes = b""
    body: bytes = b""


@dataclass(slots=True, eq=False)
class Returned:
    """A message that no queue took."""

    code: int
    text: str
    exchange: str
    key: str
    properties: bytes = b""
    body: bytes = b""


class QueueState(NamedTuple):
    """What a broker says of a queue that was declared."""

    name: str
    messages: int
    consumers: int


class Writer(Protocol):
    """The connection, as a channel sees it."""

    @property
    def frame_max(self) -> int: ...
    def write(self, data: bytes) -> None: ...
    def forget(self, number: int) -> None: ...


class Channel:
    """Calls are answered in their order. What is written after an error of the broker is lost with the channel."""

    def __init__(self, writer: Writer, number: int, on_closed: Callable[[WireError], None]) -> None:
        self.number = number
        self._writer = writer
        self.on_closed = on_closed
        self._loop = asyncio.get_running_loop()
        self._calls: deque[tuple[tuple[int, int], Future[tuple[object, ...]]]] = deque()
        self._consumers: dict[str, tuple[Callable[[Delivered], None], Callable[[], None]]] = {}
        self._ended: WireError | None = None
        self._closing = False
        self._content: Delivered | Returned | None = None
        self._take: Callable[[Delivered], None] | None = None
        self._missing = 0
        self._parts: list[bytes] = []
        self._published = 0
        #: Hears of confirms: up to and with which tag if `multiple`, and whether the broker has it.
        self.on_confirm: Callable[[int, bool, bool], None] = _nobody_confirms
        self.on_return: Callable[[Returned], None] = _nobody_hears

    @property
    def is_open(self) -> bool:
        return self._ended is None and not self._closing

    # -- calls

    async def open(self) -> None:
        await self._call(methods.CHANNEL_OPEN_OK, methods.CHANNEL_OPEN, "")

    async def close(self) -> None:
        """Close in order: what was written before is heard, what is unacknowledged goes back."""
        if not self.is_open:
            return
        self._closing = True
        self._consumers.clear()
        try:
            await self._call(methods.CHANNEL_CLOSE_OK, methods.CHANNEL_CLOSE, 200, "", 0, 0)
        except WireError:
            return
        self.end(ChannelClosed(200, "closed by ourselves"))

    async def confirm(self) -> None:
        """Have the broker confirm each message."""
        await self._call(methods.CONFIRM_SELECT_OK, methods.CONFIRM_SELECT, 0)

    async def qos(self, prefetch: int) -> None:
        """Limit the unacknowledged messages of each consumer to come."""
        await self._call(methods.BASIC_QOS_OK, methods.BASIC_QOS, 0, prefetch, 0)

    async def declare_exchange(
        self,
        name: str,
        kind: str,
        *,
        passive: bool = False,
        durable: bool = True,
        auto_delete: bool = False,
        internal: bool = False,
        arguments: Table | None = None,
    ) -> None:
        bits = (passive, durable, auto_delete, internal, False)
        values = (0, name, kind, *bits, dict(arguments or {}))
        await self._call(methods.EXCHANGE_DECLARE_OK, methods.EXCHANGE_DECLARE, *values)

    async def declare_queue(
        self,
        name: str,
        *,
        passive: bool = False,
        durable: bool = True,
        exclusive: bool = False,
        auto_delete: bool = False,
        arguments: Table | None = None,
    ) -> QueueState:
        bits = (passive, durable, exclusive, auto_delete, False)
        values = (0, name, *bits, dict(arguments or {}))
        said, messages, consumers = await self._call(methods.QUEUE_DECLARE_OK, methods.QUEUE_DECLARE, *values)
        return QueueState(str(said), _number(messages), _number(consumers))

    async def bind_queue(self, queue: str, exchange: str, key: str, arguments: Table | None = None) -> None:
        values = (0, queue, exchange, key, False, dict(arguments or {}))
        await self._call(methods.QUEUE_BIND_OK, methods.QUEUE_BIND, *values)

    async def unbind_queue(self, queue: str, exchange: str, key: str, arguments: Table | None = None) -> None:
        values = (0, queue, exchange, key, dict(arguments or {}))
        await self._call(methods.QUEUE_UNBIND_OK, methods.QUEUE_UNBIND, *values)

    async def bind_exchange(self, to: str, source: str, key: str, arguments: Table | None = None) -> None:
        values = (0, to, source, key, False, dict(arguments or {}))
        await self._call(methods.EXCHANGE_BIND_OK, methods.EXCHANGE_BIND, *values)

    async def purge(self, queue: str) -> int:
        (count,) = await self._call(methods.QUEUE_PURGE_OK, methods.QUEUE_PURGE, 0, queue, 0)
        return _number(count)

    async def consume(
        self,
        queue: str,
        tag: str,
        deliver: Callable[[Delivered], None],
        cancelled: Callable[[], None],
        *,
        no_ack: bool = False,
    ) -> None:
        """Have a queue's messages given to `deliver`; `cancelled` hears when the broker ends that."""
        self._consumers[tag] = deliver, cancelled
        values: tuple[object, ...] = (0, queue, tag, False, no_ack, False, False, {})
        await self._call(methods.BASIC_CONSUME_OK, methods.BASIC_CONSUME, *values)

    async def cancel(self, tag: str) -> None:
        """End a consumer; deliveries that are under way still come, and none after the return."""
        try:
            await self._call(methods.BASIC_CANCEL_OK, methods.BASIC_CANCEL, tag, 0)
        finally:
            self._consumers.pop(tag, None)

    async def _call(self, reply: Method, method: Method, *values: object) -> tuple[object, ...]:
        if self._ended is not None:
            raise self._ended
        answer: Future[tuple[object, ...]] = self._loop.create_future()
        self._calls.append((reply.number, answer))
        self._writer.write(frame(METHOD, self.number, method.encode(*values)))
        return await answer

    # -- messages

    def publish(self, exchange: bytes, key: bytes, properties: bytes, body: bytes) -> int:
        """Write a message, and return the number by which it will be confirmed."""
        number = self.number
        write = self._writer.write
        write(publish_frame(number, exchange, key))
        for part in content_frames(number, properties, body, self._writer.frame_max):
            write(part)
        self._published += 1
        return self._published

    def ack(self, tag: int, *, multiple: bool = False) -> None:
        self._writer.write(_ACK_FRAME.pack(METHOD, self.number, 13, _ACK_METHOD, tag, multiple, _END))

    def nack(self, tag: int, *, multiple: bool = False) -> None:
        """Give a message back; or all that are unacknowledged up to it."""
        bits = 0b10 | multiple
        self._writer.write(_ACK_FRAME.pack(METHOD, self.number, 13, _NACK_METHOD, tag, bits, _END))

    # -- for the connection

    def received(self, kind: int, payload: bytes) -> None:
        if kind == METHOD:
            self._method(payload)
        elif kind == HEADER:
            content = self._content
            if content is not None:
                content.properties = payload[_PROPERTIES_AT:]
                (self._missing,) = _SIZE.unpack_from(payload, _SIZE_AT)
                if not self._missing:
                    self._complete(content)
        elif kind == BODY:
            content = self._content
            if content is not None:
                self._body(content, payload)

    def end(self, error: WireError, *, expected: bool = False) -> None:
        """Hear that the channel is no more."""
        if self._ended is not None:
            return
        self._ended = error
        self._writer.forget(self.number)
        calls, self._calls = self._calls, deque()
        for _, answer in calls:
            if not answer.done():
                answer.set_exception(error)
        if not self._closing and not expected:
            self.on_closed(error)

    def _method(self, payload: bytes) -> None:
        method = payload[:4]
        if method == _DELIVER:
            self._announced(payload)
        elif method in (_ACK, _NACK):
            (tag,) = _TAG.unpack_from(payload, 4)
            self.on_confirm(tag, bool(payload[12] & 1), method == _ACK)
        else:
            self._other(payload)

    def _announced(self, payload: bytes) -> None:
        # class, method, consumer tag, delivery tag, redelivered, exchange, routing key
        at = 5 + payload[4]
        consumer = payload[5:at].decode()
        (tag,) = _TAG.unpack_from(payload, at)
        end = at + 10 + payload[at + 9]
        exchange, key = payload[at + 10 : end].decode(), payload[end + 1 :].decode("utf-8", "replace")
        found = self._consumers.get(consumer)
        self._take = found[0] if found is not None else None
        self._content = Delivered(tag, bool(payload[at + 8]), exchange, key)

    def _body(self, content: Delivered | Returned, payload: bytes) -> None:
        self._missing -= len(payload)
        if self._missing > 0:
            self._parts.append(payload)
            return
        if self._parts:
            self._parts.append(payload)
            payload = b"".join(self._parts)
            self._parts.clear()
        content.body = payload
        self._complete(content)

    def _complete(self, content: Delivered | Returned) -> None:
        self._content = None
        if isinstance(content, Returned):
            self.on_return(content)
        elif self._take is not None:
            self._take(content)
        elif not self._closing:
            # Its consumer is gone. It must not be among those that are acknowledged up to a later one.
            self.nack(content.tag)

    def _other(self, payload: bytes) -> None:
        number = methods.number(payload)
        if self._calls and number == self._calls[0][0]:
            _, answer = self._calls.popleft()
            if not answer.done():
                answer.set_result(methods.BY_NUMBER[number].decode(payload))
        elif number == methods.CHANNEL_CLOSE.number:
            code, text, *_ = methods.CHANNEL_CLOSE.decode(payload)
            self._writer.write(frame(METHOD, self.number, methods.CHANNEL_CLOSE_OK.encode()))
            self.end(ChannelClosed(_number(code), str(text)))
        elif number == methods.BASIC_RETURN.number:
            code, text, exchange, key = methods.BASIC_RETURN.decode(payload)
            self._content = Returned(_number(code), str(text), str(exchange), str(key))
        elif number == methods.BASIC_CANCEL.number:
            tag, _ = methods.BASIC_CANCEL.decode(payload)
            if (found := self._consumers.pop(str(tag), None)) is not None:
                found[1]()


def _number(value: object) -> int:
    assert isinstance(value, int)  # noqa: S101 -- the field is declared as a number
    return value


def _nobody_confirms(_tag: int, _multiple: bool, _stored: bool) -> None:  # noqa: FBT001 -- the shape of `on_confirm`
    return None


def _nobody_hears(_returned: Returned) -> None:
    return None
