"""What the routes of a queue have brought, kept in a stream beside it: sent to the queue once more."""

import asyncio
from asyncio import Future
from datetime import UTC, datetime
from functools import partial
from secrets import token_hex

from msgkit.envelope import Envelope, Kind, Receipt
from msgkit.errors import BrokerUnavailable
from msgkit_rabbitmq.mapping import DUE, ORIGIN, address
from msgkit_rabbitmq.publisher import Publisher
from msgkit_rabbitmq.taking import opened
from msgkit_rabbitmq.wire import Channel, ConnectionLost, Delivered, Properties

__all__ = ["send_again"]

#: The header of what says how far a stream is to be read. It is nobody's message.
_END = "msgkit-end-of-history"
_AT_ONCE = 500
#: Seconds within which a stream that has more to give gives some.
_SILENCE = 30.0


async def send_again(stream: str, queue: str, since: datetime | None, channel: Channel, publisher: Publisher) -> int:
    """Send a queue what its history holds from a moment on, up to now; return how many messages that made.

    :param channel: one that nobody else uses
    :raises Unroutable: when there is no such stream
    :raises BrokerUnavailable: when not all of it could be read
    """
    end = token_hex(8)
    await publisher.send(Envelope(b"", stream, Kind.QUEUE, end, headers={_END: end}))
    rereading = _Rereading(queue, since, channel, publisher)
    await rereading.up_to(end, stream)
    return rereading.sent


class _Rereading:
    """A message is acknowledged to the stream, which gives so many at a time, when the broker has it in the queue."""

    def __init__(self, queue: str, since: datetime | None, channel: Channel, publisher: Publisher) -> None:
        self.sent = 0
        self._queue = queue
        self._since = since
        self._channel = channel
        self._publisher = publisher
        self._came: asyncio.Queue[Delivered] = asyncio.Queue()
        self._under_way: set[Future[Receipt]] = set()
        self._failed: Future[None] = asyncio.get_running_loop().create_future()
        channel.on_closed = self._fail

    async def up_to(self, end: str, stream: str) -> None:
        # Whole chunks come, and the first of them may begin before that moment.
        offset = "first" if self._since is None else self._since.astimezone(UTC)
        cancelled = partial(self._fail, ConnectionLost("the broker gives no more of it"))
        await self._channel.qos(_AT_ONCE)
        await self._channel.consume(
            stream, "history", self._came.put_nowait, cancelled, arguments={"x-stream-offset": offset}
        )
        reading = asyncio.create_task(self._read(end, stream))
        try:
            await asyncio.wait((reading, self._failed), return_when=asyncio.FIRST_COMPLETED)
            await (self._failed if self._failed.done() else reading)
        finally:
            reading.cancel()
            self._failed.cancel()

    async def _read(self, end: str, stream: str) -> None:
        while True:
            try:
                message = await asyncio.wait_for(self._came.get(), _SILENCE)
            except TimeoutError:
                if not self._under_way:
                    raise BrokerUnavailable(f"stream {stream!r} is silent before its end") from None
                continue
            envelope, properties, _ = opened(message, self._queue)
            if envelope.headers.get(_END) == end:
                break
            if _END in envelope.headers or self._is_older(envelope, properties):
                self._channel.ack(message.tag)
                continue
            copy = envelope._replace(destination=self._queue, kind=Kind.QUEUE)
            origin = {ORIGIN: address(envelope.kind, envelope.destination)}
            sent = self._publisher.send(copy, properties, origin)
            self._under_way.add(sent)
            sent.add_done_callback(partial(self._ended, message.tag))
        while self._under_way:
            await asyncio.wait(self._under_way)

    def _is_older(self, envelope: Envelope, properties: Properties) -> bool:
        # A delayed one came when it was due, and its chunk is all that tells when that was.
        is_delayed = DUE in (properties.headers or {})
        sent = envelope.sent_at
        return self._since is not None and not is_delayed and sent is not None and sent < self._since.timestamp()

    def _ended(self, tag: int, sent: "Future[Receipt]") -> None:
        self._under_way.discard(sent)
        if sent.cancelled():
            return
        error = sent.exception()
        if error is None:
            self.sent += 1
            self._channel.ack(tag)
        else:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if not self._failed.done():
            self._failed.set_exception(error)
