"""One consumer: credit in, deliveries out, settlements back.

Over a lost channel credit is kept thus: what no delivery has used stays good. For each delivery
that the core has seen and that is lost (`Sink.lost`) the credit is the core's again: it grants it anew.
"""

import asyncio
import logging
from asyncio import Future
from collections.abc import Coroutine
from functools import partial
from typing import Any

from msgkit.envelope import NO_HEADERS, Envelope, Kind
from msgkit.settlement import Accept
from msgkit.spi import Dead, Event, RawDelivery, RawSettlement, Release, RetryCopy, Sink, Subscription, failed
from msgkit.spi.addresses import address
from msgkit_rabbitmq.copies import Copies, look_at
from msgkit_rabbitmq.gathering import Gathering
from msgkit_rabbitmq.home import Home
from msgkit_rabbitmq.inbox import Inbox
from msgkit_rabbitmq.mapping import ORIGIN
from msgkit_rabbitmq.taking import Handle, channel_to, id_of, taken, taken_back
from msgkit_rabbitmq.unsettled import Unsettled
from msgkit_rabbitmq.wire import Channel, ChannelClosed, Connection, ConnectionLost, Delivered, Table, WireError

__all__ = ["RabbitConsumer"]

_log = logging.getLogger("msgkit.rabbitmq")
#: The most that AMQP lets be asked for.
_MOST = 65_535
#: Each consumer of an ordered queue may hold so many, so that none gives back more than the next one takes.
_LINE = 64
#: Seconds between two looks at whether more is to come.
_GLIMPSE = 0.01
_SURE = 2
#: Seconds for copies to be confirmed when a consumer is closed.
_PATIENCE = 5.0


class RabbitConsumer:
    """A channel of the consuming connection, and what came over it."""

    #: An ordered lane's next message waits here, behind the one that is tried again.
    holds = True

    def __init__(self, home: Home, subscription: Subscription, sink: Sink) -> None:
        self._home = home
        self._sink = sink
        self._queue = subscription.queue
        self._most_bytes = subscription.max_bytes
        self._prefetch = min(max(subscription.max_in_flight, _LINE if subscription.queue.ordered else 1), _MOST)
        # A single active consumer that stops consuming hands its queue over, with messages in hand.
        self._steady = subscription.steady or bool(subscription.queue.ordered)
        self._loop = asyncio.get_running_loop()
        self._channel: Channel | None = None
        self._scope: object = object()
        self._inbox = Inbox(self._opened)
        self._credit = 0
        self._bytes = 0
        self._tag: str | None = None
        self._tags = 0
        #: How many more the consumer of that tag may be sent.
        self._quota = 0
        self._changing: asyncio.Task[None] | None = None
        self._handing_over = self._flushing = False
        self._unsettled = Unsettled()
        self._gathering: Gathering | None = None
        self._copies = Copies(home.publisher)
        self._drained = self._is_closed = False
        #: Why the last channel was lost.
        self._trouble: WireError | None = None

    @property
    def queue_name(self) -> str:
        return self._queue.name

    @property
    def is_attached(self) -> bool:
        return self._channel is not None

    def event(self, event: Event) -> None:
        self._sink.event(event)

    async def attach(self, connection: Connection, /) -> None:
        channel = await channel_to(self.queue_name, connection)
        if self._channel is not None or self._is_closed:
            channel.leave()
            return
        channel.on_closed = self._lost
        self._channel, self._scope, self._tag, self._trouble = channel, object(), None, None
        self._gathering = Gathering(self._prefetch) if self._queue.ordered else None
        if self._credit > 0 and not self._drained:
            self._change(self._start(channel))
            await self._settled_down()
            if self._trouble is not None:
                # It was lost as it began to be consumed.
                raise self._trouble

    # -- for the core

    def credit(self, n: int, /) -> None:
        self._credit += n
        self._hand_over()
        self._balance()

    def settle(self, delivery: RawDelivery, how: RawSettlement, /) -> "Future[None] | None":
        handle = delivery.handle
        if not isinstance(handle, Handle):
            raise TypeError(f"{delivery!r} is not a delivery of this broker")
        if handle.scope is not self._scope or not self._unsettled.is_in_hand(handle.tag, delivery):
            return failed(taken_back(delivery))
        match how:
            case Accept():
                self._accept(handle, delivery.envelope)
            case Release():
                return self._release(handle, delivery)
            case RetryCopy():
                envelope = delivery.envelope
                origin = {ORIGIN: address(envelope.kind, envelope.destination)}
                return self._copied(delivery, handle, how.copy._replace(delay=how.after), origin)
            case Dead():
                return self._copied(delivery, handle, how.copy, NO_HEADERS)
        return None

    def _accept(self, handle: Handle, envelope: Envelope) -> None:
        self._bytes -= handle.size
        self._unsettled.accept(handle.tag)
        self._home.returns.forget(self.queue_name, envelope.message_id)
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)
        self._look_into_inbox()

    def _release(self, handle: Handle, delivery: RawDelivery) -> "Future[None] | None":
        channel = self._channel
        assert channel is not None  # noqa: S101 -- its scope is alive
        if handle.is_worn and not self._queue.ordered:
            return self._renewed(delivery, handle)
        self._bytes -= handle.size
        if self._queue.ordered:
            # All that is not handled goes back together, in order, when the channel is closed.
            self._unsettled.took_back(handle.tag)
            self._inbox.put_back(delivery, handle)
        else:
            self._unsettled.went_back(handle.tag)
            self._home.returns.note(self.queue_name, delivery.envelope.message_id)
            channel.nack(handle.tag)
        self._look_into_inbox()
        return None

    def _renewed(self, delivery: RawDelivery, handle: Handle) -> "Future[None]":
        """Give a message back as a new one: who lets go of it in order has not died with it."""
        envelope = delivery.envelope
        copy = envelope._replace(destination=self.queue_name, kind=Kind.QUEUE, require_route=False)
        return self._copied(delivery, handle, copy, {ORIGIN: address(envelope.kind, envelope.destination)})

    def _copied(self, delivery: RawDelivery, handle: Handle, copy: Envelope, also: Table) -> "Future[None]":
        return self._copies.send(delivery, handle, copy, also, partial(self._end, handle, delivery.envelope))

    def _end(self, handle: Handle, envelope: Envelope) -> bool:
        """Accept a delivery whose copy is stored; tell whether it was not taken back meanwhile."""
        is_here = handle.scope is self._scope
        if is_here:
            self._accept(handle, envelope)
        return is_here

    async def drain(self) -> None:
        self._drained = True
        if self._queue.ordered:
            # Whoever came next would begin with what follows the messages that are still in hand here.
            return
        await self._settled_down()
        if self._channel is not None and self._tag is not None:
            await self._stop(self._channel, self._tag)
        self._give_back_inbox()

    async def close(self) -> None:
        self._drained = self._is_closed = True
        try:
            await self._settled_down()
            if not self._queue.ordered:
                for raw in tuple(self._unsettled.in_hand()):
                    if isinstance(raw.handle, Handle) and raw.handle.is_worn and raw not in self._copies:
                        self._renewed(raw, raw.handle).add_done_callback(look_at)
            await self._copies.finish(_PATIENCE)
        finally:
            # Also when nobody waits any more: a channel that stays keeps messages, and the turn of an ordered queue.
            self._flush()
            channel = self._let_go()
            self._home.leave(self)
            if channel is not None:
                channel.leave()
        if channel is not None:
            await channel.close()

    async def _settled_down(self) -> None:
        if self._changing is not None:
            await asyncio.wait([self._changing])

    # -- fetching: as much as there is credit for, and no more

    def _balance(self) -> None:
        channel = self._channel
        if channel is None or self._drained or self._changing is not None:
            return
        if self._tag is None:
            if self._credit > 0:
                self._change(self._start(channel))
            else:
                self._give_back_inbox()
        elif not self._steady and (self._credit == 0 or self._credit > self._quota):
            self._change(self._stop(channel, self._tag))

    def _change(self, work: Coroutine[Any, Any, None]) -> None:
        self._changing = self._loop.create_task(work)
        self._changing.add_done_callback(self._changed)

    def _changed(self, task: "asyncio.Task[None]") -> None:
        self._changing = None
        error = None if task.cancelled() else task.exception()
        if error is None:
            self._balance()
        elif not isinstance(error, WireError):
            # A channel that is lost has told so, and is brought back by others. This is something else.
            _log.error("queue %r cannot be consumed", self.queue_name, exc_info=error)

    async def _start(self, channel: Channel) -> None:
        self._tags += 1
        tag = f"msgkit-{self._tags}"
        self._quota = self._prefetch if self._steady else min(self._credit, _MOST)
        await channel.qos(self._quota)
        self._tag = tag
        take, end = partial(self._delivered, channel), partial(self._cancelled, channel)
        await channel.consume(self.queue_name, tag, take, end)

    async def _stop(self, channel: Channel, tag: str) -> None:
        try:
            await channel.cancel(tag)
        except WireError as error:
            _log.debug("queue %r was lost before it was let go of: %s", self.queue_name, error)
        if self._tag == tag:
            self._tag = None

    # -- what comes

    def _delivered(self, channel: Channel, message: Delivered) -> None:
        if channel is not self._channel:
            # It goes back when that channel is closed.
            return
        self._unsettled.came(message.tag)
        self._quota -= not self._steady
        if self._gathering is None:
            self._inbox.add([message])
            self._look_into_inbox()
        elif self._gathering.add(message):
            self._gathered(self._gathering)
        elif len(self._gathering.messages) == 1:
            self._home.spawn(self._watch(self._gathering, channel))

    async def _watch(self, gathering: Gathering, channel: Channel) -> None:
        """Look whether all that came back is here.

        The channel answers before it passes on what it was given meanwhile: so it is asked twice.
        """
        empty = 0
        while gathering is self._gathering and empty < _SURE:
            try:
                state = await channel.declare_queue(self.queue_name, passive=True)
            except WireError:
                return
            empty = empty + 1 if state.is_certain and state.messages == 0 else 0
            if not empty:
                await asyncio.sleep(_GLIMPSE)
        self._gathered(gathering)

    def _gathered(self, gathering: Gathering) -> None:
        if gathering is self._gathering:
            self._gathering = None
            self._inbox.add(gathering.in_order())
            self._look_into_inbox()

    def _look_into_inbox(self) -> None:
        if self._inbox and not self._handing_over:
            # Once for all that came in one piece.
            self._handing_over = True
            self._loop.call_soon(self._hand_over)

    def _hand_over(self) -> None:
        self._handing_over = False
        inbox, batch = self._inbox, list[RawDelivery]()
        while inbox and self._credit > 0 and self._bytes < self._most_bytes and not self._drained:
            raw, handle = inbox.next()
            self._credit -= 1
            self._bytes += handle.size
            self._unsettled.handed(handle.tag, raw)
            batch.append(raw)
        if batch:
            self._sink.deliver(batch)
        if not self._steady:
            self._balance()

    def _opened(self, message: Delivered) -> tuple[RawDelivery, Handle]:
        ordered = bool(self._queue.ordered)
        return taken(message, self.queue_name, self._scope, self._home.returns, ordered=ordered)

    def _give_back_inbox(self) -> None:
        if (channel := self._channel) is not None:
            for message in self._inbox.take_out():
                self._unsettled.went_back(message.tag)
                self._home.returns.note(self.queue_name, id_of(message))
                channel.nack(message.tag)

    def _flush(self) -> None:
        self._flushing = False
        if self._channel is not None:
            self._unsettled.acknowledge(self._channel)

    # -- what goes

    def _lost(self, error: WireError) -> None:
        scope, self._trouble = self._scope, error
        self._let_go()
        self._copies.abandon()
        self._sink.lost(scope)
        if not isinstance(error, ConnectionLost):
            self._home.bring_back(self, str(error))

    def _cancelled(self, channel: Channel) -> None:
        if channel is self._channel:
            self._lost(ChannelClosed(0, "the queue was deleted, or its node went away"))
            # What is in hand of it goes back.
            self._home.spawn(channel.close())

    def _let_go(self) -> Channel | None:
        """Forget the channel and what came over it: the broker gives it to somebody again."""
        returns = self._home.returns
        for raw in self._unsettled.in_hand():
            returns.note(self.queue_name, raw.envelope.message_id)
        if self._gathering is not None:
            self._inbox.add(self._gathering.messages)
            self._gathering = None
        for message_id in self._inbox.clear():
            returns.note(self.queue_name, message_id)
        channel, self._channel, self._tag, self._scope = self._channel, None, None, object()
        self._unsettled.clear()
        self._bytes = 0
        return channel
