"""Where messages leave for one exchange: a channel of their own, so that no other sends are harmed."""

import asyncio
import logging
from asyncio import Task
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from msgkit.envelope import Kind, Receipt
from msgkit.errors import SendRefused, SendUnknown, Unroutable
from msgkit_rabbitmq.mapping import REPLIES
from msgkit_rabbitmq.outcomes import Send, fates, is_alike, is_equal, nobody_takes, not_stored, refusal
from msgkit_rabbitmq.wire import Channel, ChannelClosed, Connection, ConnectionLost, MalformedTable, Returned, WireError

__all__ = ["Outlet", "Outlets"]

_log = logging.getLogger("msgkit.rabbitmq")
_PAUSE = 0.2
_NO_LEVEL = (
    "nothing waits at {!r} any more: delete exchange 'msgkit.delay', and an application with topology=create makes "
    "all levels again"
)


@dataclass(slots=True, eq=False)
class Outlets:
    """What all outlets of a publisher share."""

    broker: str
    #: The connection, while there is one.
    connection: Connection | None = None
    #: Why the broker takes nothing at the moment.
    blocked: str | None = None
    #: Hears that there is no channel to spare.
    on_crowded: Callable[[], None] = lambda: None
    #: Hears of a message that waits again, and where.
    on_waiting: Callable[[Send, deque[Send]], None] = lambda _send, _waiting: None
    #: Hears of a message that no queue takes.
    on_unheard: Callable[[str, str], None] = lambda _exchange, _subject: None


class Outlet:
    """Messages wait here in their order while there is no channel, and are confirmed over it."""

    def __init__(self, exchange: str, shared: Outlets) -> None:
        self.exchange = exchange
        self._name = exchange.encode()
        self._shared = shared
        self._channel: Channel | None = None
        self._opening: Task[None] | None = None
        self.waiting: deque[Send] = deque()
        #: Written and not confirmed, by number.
        self.open: dict[int, Send] = {}

    @property
    def is_idle(self) -> bool:
        return not self.waiting and not self.open and self._opening is None

    def put(self, send: Send) -> bool:
        """Write a message if it can be; tell whether it was."""
        shared, channel = self._shared, self._channel
        if channel is not None and not self.waiting and shared.blocked is None and not _is_full(shared.connection):
            self._write(channel, send)
            return True
        self.waiting.append(send)
        self.go_on()
        return False

    def go_on(self) -> None:
        """Write what waits, or see to it that it can be."""
        connection = self._shared.connection
        if not self.waiting or self._opening is not None or self._shared.blocked is not None:
            return
        if connection is None or not connection.is_open:
            return
        if self._channel is None or connection.is_full:
            self._opening = asyncio.get_running_loop().create_task(self._make_ready(connection))
            return
        self._write_all(self._channel)

    def _write_all(self, channel: Channel) -> None:
        waiting, connection = self.waiting, self._shared.connection
        while waiting and self._shared.blocked is None and not _is_full(connection):
            send = waiting.popleft()
            if not send.future.done():
                self._write(channel, send)
        self.go_on()

    def _write(self, channel: Channel, send: Send) -> None:
        try:
            self.open[channel.publish(self._name, send.key, send.properties, send.envelope.body)] = send
        except MalformedTable as error:
            send.fail(SendRefused(f"message {send.envelope.message_id}: {error}"))

    async def _make_ready(self, connection: Connection) -> None:
        try:
            if self._channel is None:
                self._channel = await self._open_channel(connection)
            await connection.room()
        except ChannelClosed as error:
            await self._refused(error)
        except WireError:
            # The connection is gone: whoever brings the next one says go_on. Or it has no channel to spare.
            if connection.is_open:
                self._shared.on_crowded()
                await asyncio.sleep(_PAUSE)
        finally:
            self._opening = None
        self.go_on()

    async def _open_channel(self, connection: Connection) -> Channel:
        channel = await connection.channel(self._lost, confirms=True)
        channel.on_confirm = self._confirmed
        channel.on_return = self._returned
        if self.exchange:
            # What is not there would be found out by the loss of the channel, and of what else is on it.
            await channel.declare_exchange(self.exchange, "topic", passive=True)
        if not channel.is_open:
            raise ConnectionLost("the channel was lost before it was used")
        return channel

    async def _refused(self, error: ChannelClosed) -> None:
        if error.code // 100 != 4:  # noqa: PLR2004 -- not the request is wrong, and it will not stay so
            await asyncio.sleep(_PAUSE)
            return
        waiting, self.waiting = self.waiting, deque()
        for send in waiting:
            send.fail(refusal(self.exchange, error))

    # -- what the broker answers

    def _confirmed(self, number: int, multiple: bool, stored: bool) -> None:  # noqa: FBT001 -- the channel's shape
        if not multiple:
            if (send := self.open.pop(number, None)) is not None:
                self._ended(send, stored=stored)
        else:
            while self.open and (first := next(iter(self.open))) <= number:
                self._ended(self.open.pop(first), stored=stored)

    def _ended(self, send: Send, *, stored: bool) -> None:
        envelope = send.envelope
        if send.future.done():
            return
        if not stored:
            send.fail(not_stored(send))
        elif send.returned is None:
            self._succeed(send)
        elif send.is_delayed:
            send.fail(SendRefused(_NO_LEVEL.format(send.exchange)))
        elif envelope.kind is Kind.REPLY and envelope.destination.startswith(REPLIES):
            # Each of these comes back, whether it was delivered or not; that somebody waits was looked up before.
            self._succeed(send)
        elif send.is_to_one_queue or envelope.require_route:
            send.fail(Unroutable(nobody_takes(send)))
        else:
            self._shared.on_unheard(envelope.destination, envelope.subject or "")
            self._succeed(send)

    def _succeed(self, send: Send) -> None:
        if not send.future.done():
            envelope = send.envelope
            send.future.set_result(Receipt(envelope.message_id, envelope.destination, self._shared.broker))

    def _returned(self, message: Returned) -> None:
        # The whole of a message comes back, and before its confirm. Two that are alike in all share their fate.
        # The broker may have written their properties anew.
        for is_the_same in (is_equal, is_alike):
            for send in self.open.values():
                if send.returned is None and is_the_same(send, message):
                    send.returned = message.text
                    return
        _log.error("a message came back from %r that is not known here", message.exchange)

    def _lost(self, error: WireError) -> None:
        self._channel = None
        written, self.open = tuple(self.open.values()), {}
        fate = fates(written, error)
        for send, failure in fate.failed:
            send.fail(failure)
        self.waiting.extendleft(reversed(fate.again))
        for send in fate.again:
            self._shared.on_waiting(send, self.waiting)
        if not isinstance(error, ConnectionLost):
            _log.warning("the channel for exchange %r was closed: %s", self.exchange, error)
            self.go_on()

    # -- the end

    def connection_lost(self) -> None:
        """Forget the channel; those of its messages that were not confirmed have heard already."""
        self._channel = None

    async def close(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()

    def without(self, reply_to: str) -> list[Send]:
        """Take out what waits and asks for answers there."""
        taken = [send for send in self.waiting if send.envelope.reply_to == reply_to]
        for send in taken:
            self.waiting.remove(send)
        return taken

    def give_up(self) -> None:
        """Fail all that was written."""
        if self._opening is not None:
            self._opening.cancel()
        for send in self.open.values():
            send.fail(SendUnknown("the connection was closed before the confirm"))
        self.open.clear()
        self.waiting.clear()


def _is_full(connection: Connection | None) -> bool:
    return connection is None or connection.is_full
