"""What the routes of a queue have brought, kept in a stream beside it: sent to the queue once more."""

import asyncio
from asyncio import Future
from datetime import UTC, datetime
from functools import partial
from math import floor
from secrets import token_hex

from msgkit.envelope import NO_HEADERS, Envelope, Kind, Receipt
from msgkit.errors import BrokerUnavailable, MessagingError, SendFailed, SendRefused, TopologyMismatch, Unroutable
from msgkit.spi.addresses import address
from msgkit_rabbitmq.mapping import DUE, END, ORIGIN, SENT
from msgkit_rabbitmq.publisher import Publisher
from msgkit_rabbitmq.taking import opened
from msgkit_rabbitmq.wire import (
    ACCESS_REFUSED,
    NOT_FOUND,
    Channel,
    ChannelClosed,
    ConnectionLost,
    Delivered,
    OutOfReach,
    Properties,
    Table,
    WireError,
)

__all__ = ["send_again"]

_AT_ONCE = 50
#: Seconds within which a stream that has more to give gives some.
_SILENCE = 30.0
#: Seconds by which the clock of a sender may be ahead of the broker's.
_AHEAD = 60
#: What a moment may have been rounded by since it was a message's.
_ROUNDED = 1e-6


async def send_again(stream: str, queue: str, since: float | None, channel: Channel, publisher: Publisher) -> int:
    """Send a queue what its history holds from a moment on, up to now; return how many messages that made.

    :param channel: one that nobody else uses
    :raises Unroutable: when there is no such stream
    :raises OutOfReach: when it is there and cannot be read for now; nothing of it was sent
    :raises BrokerUnavailable: when not all of it could be read, or it is not known whether all of it was sent
    :raises SendRefused: when the queue does not take one of them
    """
    rereading = _Rereading(queue, since, channel, publisher)
    try:
        await rereading.up_to_now(stream)
    except (WireError, SendFailed) as error:
        if isinstance(error, OutOfReach) and not rereading.has_begun:
            raise
        # Whoever begins anew sends twice what may have been sent.
        raise _told(error, stream, queue, rereading.sent) from error
    return rereading.sent


class _Rereading:
    """A message is acknowledged to the stream, which gives so many at a time, when the broker has it in the queue."""

    def __init__(self, queue: str, since: float | None, channel: Channel, publisher: Publisher) -> None:
        self.sent = 0
        #: May anything be on its way to the queue?
        self.has_begun = False
        self._queue = queue
        self._since = since
        self._channel = channel
        self._publisher = publisher
        #: None wakes who waits for the next one: something failed, or nothing is under way any more.
        self._came: asyncio.Queue[Delivered | None] = asyncio.Queue()
        self._under_way: set[Future[Receipt]] = set()
        self._error: BaseException | None = None
        channel.on_closed = self._fail

    async def up_to_now(self, stream: str) -> None:
        end, is_read = token_hex(8), False
        try:
            await self._begin(stream)
            self._send(Envelope(b"", stream, Kind.QUEUE, end), also={END: end})
            while self._under_way or not is_read:
                message = await self._next(stream)
                if message is not None and not is_read:
                    is_read = self._take(message, end)
        finally:
            # Nothing goes out any more when nobody waits for it.
            for sent in tuple(self._under_way):
                sent.cancel()

    async def _begin(self, stream: str) -> None:
        cancelled = partial(self._fail, ConnectionLost("the broker gives no more of it"))
        channel, arguments = self._channel, {"x-stream-offset": _offset(self._since)}
        await channel.qos(_AT_ONCE)
        await channel.consume(stream, "history", self._came.put_nowait, cancelled, arguments=arguments)
        # The broker says yes before it looks where to begin, which may be behind the last message. It answers in order,
        # so that what is sent from now on is none of those.
        await channel.qos(_AT_ONCE)

    async def _next(self, stream: str) -> Delivered | None:
        try:
            async with asyncio.timeout(_SILENCE):
                message = await self._came.get()
        except TimeoutError:
            message = None
            if not self._under_way:
                raise BrokerUnavailable(f"stream {stream!r} is silent before its end") from None
        if self._error is not None:
            raise self._error
        return message

    def _take(self, message: Delivered, end: str) -> bool:
        """Send a message again if it is to be; tell whether it is the end."""
        envelope, properties, _ = opened(message, self._queue)
        headers = properties.headers or NO_HEADERS
        if END in headers or self._is_older(envelope, headers):
            self._channel.ack(message.tag)
            return headers.get(END) == end
        copy = envelope._replace(destination=self._queue, kind=Kind.QUEUE)
        self.has_begun = True
        self._send(copy, properties, {ORIGIN: address(envelope.kind, envelope.destination)}, message.tag)
        return False

    def _is_older(self, envelope: Envelope, headers: Table) -> bool:
        since, sent = self._since, envelope.sent_at
        # A delayed one came when it was due, and its chunk is all that tells when that was.
        if since is None or sent is None or DUE in headers:
            return False
        # Others say whole seconds.
        return sent < (since - _ROUNDED if SENT in headers else floor(since))

    def _send(
        self, envelope: Envelope, origin: Properties | None = None, also: Table = NO_HEADERS, tag: int | None = None
    ) -> None:
        sent = self._publisher.send(envelope, origin, also)
        self._under_way.add(sent)
        sent.add_done_callback(partial(self._ended, tag))

    def _ended(self, tag: int | None, sent: "Future[Receipt]") -> None:
        self._under_way.discard(sent)
        if sent.cancelled():
            return
        if (error := sent.exception()) is not None:
            self._fail(error)
        elif tag is not None:
            self.sent += 1
            self._channel.ack(tag)
        if not self._under_way:
            self._came.put_nowait(None)

    def _fail(self, error: BaseException) -> None:
        if self._error is None:
            self._error = error
            self._came.put_nowait(None)


def _offset(since: float | None) -> object:
    """Return where to begin: the broker judges by its own clock when it stored whole chunks."""
    if since is None or since < _AHEAD:
        return "first"
    return datetime.fromtimestamp(floor(since) - _AHEAD, UTC)


def _told(error: WireError | SendFailed, stream: str, queue: str, sent: int) -> MessagingError:
    match error:
        case SendRefused():
            return type(error)(f"{error}; sent of its history by then: {sent:,}")
        case ChannelClosed(code=code, text=text) if code == NOT_FOUND and "no queue" in text:
            return Unroutable(f"queue {stream!r} does not exist")
        case ChannelClosed(code=code, text=text) if code == ACCESS_REFUSED:
            return TopologyMismatch(f"queue {stream!r}: it is not permitted: {text}")
        case _:
            return BrokerUnavailable(f"queue {queue!r} was not read again to the end: {error}; sent by then: {sent:,}")
