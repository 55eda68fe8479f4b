"""The sending side: envelopes become records of topics, and what the broker says becomes what became of a send."""

import asyncio
from asyncio import Future, Task
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import NamedTuple

from msgkit.clock import Clock
from msgkit.envelope import Envelope, Kind, Receipt
from msgkit.errors import Closed, MessagingError, SendRefused, SendUnknown, Unroutable
from msgkit.spi.absent import absent
from msgkit.spi.addresses import address
from msgkit_kafka.asking import answering
from msgkit_kafka.delays import LONGEST, level_for
from msgkit_kafka.lines import InDoubt, NoSuchTopic, Stored
from msgkit_kafka.mapping import DUE, ORIGIN, WAIT, encoded, size
from msgkit_kafka.options import MAX_RECORD
from msgkit_kafka.producing import Producer
from msgkit_kafka.replies import place_of
from msgkit_kafka.wire.errors import WireError
from msgkit_kafka.wire.records import NewRecord, Record

__all__ = ["Placed", "Publisher"]

#: So many messages that are not confirmed do not pile up yet.
_ENOUGH = 4096
_NOTHING: Mapping[str, str] = {}


class Placed(NamedTuple):
    """A record, and where it goes: to the partition of its key, if none is said."""

    topic: str
    record: NewRecord
    partition: int | None


class _Send(NamedTuple):
    envelope: Envelope
    future: "Future[Receipt]"


class Publisher:
    """Sends go out in call order, for each destination and key."""

    def __init__(
        self,
        broker: str,
        clock: Clock,
        producer: Producer,
        topic_of: Callable[[str], str],
        make_delays: Callable[[], Awaitable[None]],
    ) -> None:
        self._broker = broker
        self._clock = clock
        self._producer = producer
        #: Tells the topic of a queue's own.
        self._topic_of = topic_of
        self._make_delays = make_delays
        self._loop = asyncio.get_running_loop()
        #: What is under way, and where the broker is to have it.
        self._stored: dict[Future[Receipt], Future[Stored]] = {}
        self._open = 0
        self._room: Future[None] | None = None
        self._closed = False
        #: Delayed messages, until it is sure that there is what delays need.
        self._delayed: deque[_Send] = deque()
        self._making: Task[None] | None = None
        self._has_delays = False

    def send(self, envelope: Envelope) -> "Future[Receipt]":
        send = _Send(envelope, self._loop.create_future())
        self._open += 1
        send.future.add_done_callback(self._ended)
        try:
            self._put(send)
        except MessagingError as error:
            send.future.set_exception(error)
        return send.future

    def _put(self, send: _Send) -> None:
        if not self._has_delays and self._delay(send.envelope) > 0:
            self._await_delays(send)
            return
        topic, record, partition = self._placed(send.envelope, None, _NOTHING)
        stored = self._producer.write(topic, record, partition)
        self._stored[send.future] = stored
        stored.add_done_callback(partial(self._came_of_it, send.envelope, send.future))

    async def place(
        self, envelope: Envelope, origin: Record | None = None, also: Mapping[str, str] = _NOTHING
    ) -> Placed:
        """Return a record, for whoever writes it himself; `origin` is the one that it is a copy of.

        :raises SendRefused: when it cannot be written
        """
        if not self._has_delays and self._delay(envelope) > 0:
            await self._make_delays()
            self._has_delays = True
        return self._placed(envelope, origin, also)

    def _placed(self, envelope: Envelope, origin: Record | None, also: Mapping[str, str]) -> Placed:
        if self._closed:
            raise Closed("the connection to Kafka is closed")
        delay = self._delay(envelope)
        partition: int | None = None
        topic = envelope.destination
        if envelope.kind is Kind.QUEUE:
            topic = self._topic_of(topic)
        elif envelope.kind is Kind.REPLY:
            topic, partition = place_of(topic)
            also = {**also, ORIGIN: address(envelope.kind, envelope.destination)}
            envelope = answering(envelope)
        if delay > 0:
            also = {**also, DUE: address(envelope.kind, topic), WAIT: repr(delay)}
            topic, partition = level_for(delay), 0
        record = encoded(envelope, self._clock.now(), origin=origin, also=also)
        if (bytes_ := size(record)) > MAX_RECORD:
            raise SendRefused(f"message {envelope.message_id} has {bytes_:,} bytes, and at most {MAX_RECORD:,} go")
        return Placed(topic, record, partition)

    def _delay(self, envelope: Envelope) -> float:
        delay = envelope.delay or 0.0
        if envelope.deliver_at is not None:
            delay = envelope.deliver_at - self._clock.now()
        if delay > LONGEST:
            raise SendRefused(f"a delay of {delay:.0f} s is too long; at most {LONGEST:.0f} s can be waited")
        return delay

    def _came_of_it(self, envelope: Envelope, future: "Future[Receipt]", stored: "Future[Stored]") -> None:
        self._stored.pop(future, None)
        if future.done():
            return
        error = stored.exception()
        if error is None:
            place = stored.result()
            position = f"{place.topic}/{place.partition}/{place.offset}" if place.offset >= 0 else None
            future.set_result(Receipt(envelope.message_id, envelope.destination, self._broker, position))
        else:
            future.set_exception(_failure(envelope, error))

    # -- delays are made when they are first needed

    def _await_delays(self, send: _Send) -> None:
        self._delayed.append(send)
        if self._making is None:
            self._making = self._loop.create_task(self._made())

    async def _made(self) -> None:
        error: Exception | None = None
        try:
            await self._make_delays()
            self._has_delays = True
        except (MessagingError, WireError, TimeoutError) as failed:
            error = failed
        finally:
            self._making = None
        delayed, self._delayed = self._delayed, deque()
        for send in delayed:
            if send.future.done():
                continue
            if error is not None:
                text = f"message {send.envelope.message_id} cannot be delayed: {error}"
                send.future.set_exception(SendRefused(text))
            else:
                try:
                    self._put(send)
                except MessagingError as wrong:
                    send.future.set_exception(wrong)

    # -- waiting, and giving up

    def abandon(self, future: "Future[Receipt]") -> bool:
        """Take back what the broker cannot have; tell whether it was taken back."""
        for send in self._delayed:
            if send.future is future:
                self._delayed.remove(send)
                return True
        stored = self._stored.get(future)
        return stored is not None and self._producer.abandon(stored)

    async def writable(self) -> None:
        while self._open >= _ENOUGH and not self._closed:
            if self._room is None:
                self._room = self._loop.create_future()
            await asyncio.shield(self._room)

    def _ended(self, future: "Future[Receipt]") -> None:
        stored = self._stored.pop(future, None)
        if stored is not None and not stored.done():
            # Nobody waits for it any more.
            stored.cancel()
        self._open -= 1
        if self._room is not None and self._open < _ENOUGH:
            room, self._room = self._room, None
            room.set_result(None)

    async def idle(self) -> None:
        """Return when all is confirmed or given up."""
        while self._stored or self._delayed:
            await asyncio.wait([*self._stored, *(send.future for send in self._delayed)])

    def close(self) -> None:
        """Fail what is left: as refused if the broker cannot have it."""
        self._closed = True
        if self._making is not None:
            self._making.cancel()
        for future in (*self._stored, *(send.future for send in self._delayed)):
            if not future.done():
                is_unsent = self.abandon(future)
                text = "the connection was closed before it was " + ("sent" if is_unsent else "confirmed")
                future.set_exception(SendRefused(text) if is_unsent else SendUnknown(text))
        if self._room is not None and not self._room.done():
            self._room.set_result(None)


def _failure(envelope: Envelope, error: BaseException) -> MessagingError:
    match error:
        case NoSuchTopic():
            return Unroutable(absent(f"{envelope.kind.value} {envelope.destination!r}"))
        case InDoubt():
            return SendUnknown(f"message {envelope.message_id}: {error}")
        case _:
            return SendRefused(f"message {envelope.message_id} to {envelope.destination!r}: {error}")
