"""One channel: calls that are answered, messages out and in, confirms and acknowledgements."""

import asyncio
from asyncio import Future
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from struct import Struct, error
from typing import Protocol

from msgkit_rabbitmq.wire import methods
from msgkit_rabbitmq.wire.errors import ChannelClosed, Garbled, WireError, closed
from msgkit_rabbitmq.wire.frames import (
    BODY,
    END,
    FRAME_MAX,
    HEADER,
    HEARTBEAT,
    METHOD,
    MOST,
    OVERHEAD,
    content_frames,
    frame,
    message_frame,
    publish_frame,
)
from msgkit_rabbitmq.wire.incoming import Delivered, Incoming, Returned, leave_it
from msgkit_rabbitmq.wire.methods import Method, integer
from msgkit_rabbitmq.wire.states import QueueState
from msgkit_rabbitmq.wire.tables import MalformedTable, Table

__all__ = ["Channel", "Writer"]

_DELIVER, _ACK, _NACK = b"\x00\x3c\x00\x3c", b"\x00\x3c\x00\x50", b"\x00\x3c\x00\x78"
_CONFIRM = Struct(">QB")
_TAG = Struct(">QB")
_ACK_FRAME = Struct(">BHLIQBB")
_ACK_METHOD, _NACK_METHOD = 60 << 16 | 80, 60 << 16 | 120


class Writer(Protocol):
    """The connection, as a channel sees it."""

    @property
    def frame_max(self) -> int: ...
    def write(self, data: bytes | memoryview, /) -> None: ...
    def forget(self, number: int) -> None: ...


class Channel:
    """Calls are answered in their order. What is written after an error of the broker is lost with the channel."""

    def __init__(self, writer: Writer, number: int, on_closed: Callable[[WireError], None]) -> None:
        self.number = number
        self._writer = writer
        self.on_closed = on_closed
        self._loop = asyncio.get_running_loop()
        self._calls: deque[tuple[Method, Future[tuple[object, ...]]]] = deque()
        self._consumers: dict[bytes, tuple[Callable[[Delivered], None], Callable[[], None]]] = {}
        #: Consumers whose messages are not to be acknowledged.
        self._no_acks: set[bytes] = set()
        self._is_open = True
        self._ended: WireError | None = None
        #: Is there once we close it ourselves.
        self._goodbye: Future[None] | None = None
        self._incoming = Incoming()
        self._published = 0
        #: Hears of confirms: up to and with which tag if `multiple`, and whether the broker has it.
        self.on_confirm: Callable[[int, bool, bool], None] = _nobody_confirms
        self.on_return: Callable[[Returned], None] = _nobody_hears

    @property
    def is_open(self) -> bool:
        return self._is_open

    # -- calls

    async def open(self) -> None:
        await self._call(methods.CHANNEL_OPEN_OK, methods.CHANNEL_OPEN, "")

    async def close(self) -> None:
        """Close in order: what was written before is heard, what is unacknowledged goes back."""
        self.leave()
        if self._goodbye is not None:
            await asyncio.shield(self._goodbye)

    def leave(self) -> None:
        """Close, and do not wait for the answer."""
        if not self._is_open:
            return
        self._is_open = False
        self._goodbye = self._loop.create_future()
        self._consumers.clear()
        self._incoming.take = leave_it
        self._write(methods.CHANNEL_CLOSE.encode(200, "", 0, 0))

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
        return QueueState(str(said), integer(messages), integer(consumers))

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
        return integer(count)

    async def delete_queue(self, queue: str) -> None:
        await self._call(methods.QUEUE_DELETE_OK, methods.QUEUE_DELETE, 0, queue, False, False, False)  # noqa: FBT003 -- fields

    async def consume(
        self,
        queue: str,
        tag: str,
        deliver: Callable[[Delivered], None],
        cancelled: Callable[[], None],
        *,
        no_ack: bool = False,
        arguments: Table | None = None,
    ) -> None:
        """Have a queue's messages given to `deliver`; `cancelled` hears when the broker ends that."""
        values: tuple[object, ...] = (0, queue, tag, False, no_ack, False, False, dict(arguments or {}))
        answer = self._ask(methods.BASIC_CONSUME_OK, methods.BASIC_CONSUME, *values)
        consumer = tag.encode()
        self._consumers[consumer] = deliver, cancelled
        (self._no_acks.add if no_ack else self._no_acks.discard)(consumer)
        try:
            await answer
        except BaseException:
            self._consumers.pop(consumer, None)
            if self._is_open:
                # Nobody waits for the answer, and the broker would go on delivering.
                self._write(methods.BASIC_CANCEL.encode(tag, True))  # noqa: FBT003 -- a field of the method
            raise

    async def cancel(self, tag: str) -> None:
        """End a consumer; deliveries that are under way still come, and none after the return."""
        try:
            await self._call(methods.BASIC_CANCEL_OK, methods.BASIC_CANCEL, tag, False)  # noqa: FBT003 -- as above
        finally:
            self._consumers.pop(tag.encode(), None)

    async def _call(self, reply: Method, method: Method, *values: object) -> tuple[object, ...]:
        return await self._ask(reply, method, *values)

    def _ask(self, reply: Method, method: Method, *values: object) -> "Future[tuple[object, ...]]":
        if not self._is_open:
            raise (self._ended or ChannelClosed(200, "closed by ourselves")).with_traceback(None)
        payload = method.encode(*values)
        if len(payload) + OVERHEAD > self._writer.frame_max:
            raise MalformedTable(f"{method.name} has {len(payload):,} bytes, which do not fit into a frame")
        answer: Future[tuple[object, ...]] = self._loop.create_future()
        self._calls.append((reply, answer))
        self._write(payload)
        return answer

    def _write(self, payload: bytes) -> None:
        self._writer.write(frame(METHOD, self.number, payload))

    # -- messages

    def publish(self, exchange: bytes, key: bytes, properties: bytes, body: bytes) -> int:
        """Write a message, and return the number by which it will be confirmed; on a closed channel it is lost.

        :raises MalformedTable: when a name or the properties do not fit; then nothing is written
        """
        announced = publish_frame(self.number, exchange, key)
        writer = self._writer
        frame_max = writer.frame_max
        if len(properties) > frame_max - FRAME_MAX + MOST:
            raise MalformedTable(f"the properties and headers have {len(properties):,} bytes, too many for a frame")
        if not self._is_open:
            # A frame on a channel that is closed would cost the connection.
            pass
        elif len(body) <= frame_max - OVERHEAD:
            writer.write(message_frame(self.number, announced, properties, body))
        else:
            writer.write(announced)
            for piece in content_frames(self.number, properties, body, frame_max):
                writer.write(piece)
        self._published += 1
        return self._published

    def ack(self, tag: int, *, multiple: bool = False) -> None:
        """Let the broker forget a message, or all that are unacknowledged up to it; on a closed channel, nothing."""
        if self._is_open:
            self._writer.write(_ACK_FRAME.pack(METHOD, self.number, 13, _ACK_METHOD, tag, multiple, END))

    def nack(self, tag: int, *, multiple: bool = False) -> None:
        """Give a message back, or all that are unacknowledged up to it; on a closed channel, nothing."""
        if self._is_open:
            self._writer.write(_ACK_FRAME.pack(METHOD, self.number, 13, _NACK_METHOD, tag, 0b10 | multiple, END))

    # -- for the connection

    def received(self, kind: int, payload: bytes) -> None:
        """Take a frame.

        :raises Garbled: when none such can be here
        :raises MalformedTable: when it is not what it says it is
        """
        if kind == METHOD:
            self._method(payload)
        elif kind == BODY:
            self._incoming.body(payload)
        elif kind == HEADER:
            self._incoming.header(payload)
        elif kind != HEARTBEAT:
            raise Garbled(f"frames of kind {kind} are unknown")

    def end(self, why: WireError, *, expected: bool = False) -> None:
        """Hear that the channel is no more."""
        if self._ended is not None:
            return
        self._is_open, self._ended = False, why
        self._writer.forget(self.number)
        calls, self._calls = self._calls, deque()
        for _, answer in calls:
            if not answer.done():
                answer.set_exception(why)
        self._consumers.clear()
        if self._goodbye is not None:
            self._goodbye.set_result(None)
        elif not expected:
            self.on_closed(why)

    def _method(self, payload: bytes) -> None:
        if not self._incoming.is_idle:
            raise Garbled("a message is not complete when something else comes")
        method = payload[:4]
        if method == _DELIVER:
            self._announced(payload)
        elif method in (_ACK, _NACK):
            try:
                tag, multiple = _CONFIRM.unpack_from(payload, 4)
            except error:
                raise Garbled("a confirm is too short") from None
            self.on_confirm(tag, bool(multiple & 1), method == _ACK)
        else:
            self._other(payload)

    def _announced(self, payload: bytes) -> None:
        # class, method, consumer tag, delivery tag, redelivered, exchange, routing key
        try:
            at = 5 + payload[4]
            end = at + 10 + payload[at + 9]
            tag, redelivered = _TAG.unpack_from(payload, at)
            last = end + 1 + payload[end]
        except (IndexError, error):
            raise Garbled("a delivery is too short") from None
        if last > len(payload):
            raise Garbled("a delivery is too short")
        found = self._consumers.get(consumer := payload[5:at])
        if found is not None:
            take = found[0]
        else:
            take = leave_it if self._goodbye is not None or consumer in self._no_acks else self._give_back
        exchange, key = _text(payload[at + 10 : end]), payload[end + 1 : last].decode("utf-8", "replace")
        self._incoming.begin(Delivered(tag, bool(redelivered & 1), exchange, key), take)

    def _give_back(self, message: Delivered) -> None:
        # Its consumer is gone. It must not be among those that are acknowledged up to a later one.
        self.nack(message.tag)

    def _other(self, payload: bytes) -> None:
        number = methods.number(payload)
        if self._calls and number == self._calls[0][0].number:
            values = self._calls[0][0].decode(payload)
            _, answer = self._calls.popleft()
            if not answer.done():
                answer.set_result(values)
        elif number == methods.CHANNEL_CLOSE_OK.number and self._goodbye is not None:
            self.end(ChannelClosed(200, "closed by ourselves"))
        elif number == methods.CHANNEL_CLOSE.number:
            code, text, *_ = methods.CHANNEL_CLOSE.decode(payload)
            self._write(methods.CHANNEL_CLOSE_OK.encode())
            self.end(closed(integer(code), str(text)))
        elif number == methods.BASIC_RETURN.number:
            code, text, exchange, key = methods.BASIC_RETURN.decode(payload)
            returned = Returned(integer(code), str(text), str(exchange), str(key))
            self._incoming.begin(returned, self.on_return)
        elif number == methods.BASIC_CANCEL.number:
            tag, _ = methods.BASIC_CANCEL.decode(payload)
            if (found := self._consumers.pop(str(tag).encode(), None)) is not None:
                found[1]()


@lru_cache(maxsize=1024)
def _text(name: bytes) -> str:
    return name.decode("utf-8", "replace")


def _nobody_confirms(_tag: int, _multiple: bool, _stored: bool) -> None:  # noqa: FBT001 -- the shape of `on_confirm`
    return None


def _nobody_hears(_returned: Returned) -> None:
    return None
