"""One consumer of one queue: credit in, deliveries out, settlements back."""

import asyncio
from asyncio import Future, Task
from collections import deque
from collections.abc import Sequence
from functools import partial

from msgkit.envelope import Envelope, Kind
from msgkit.errors import SendRefused
from msgkit.settlement import Accept
from msgkit.spi import Dead, Event, RawDelivery, RawSettlement, Release, RetryCopy, Sink, Subscription
from msgkit.spi.addresses import address
from msgkit.spi.futures import failed
from msgkit.values import MAX_BODY
from msgkit_rocketmq.accepting import Acceptances
from msgkit_rocketmq.agreeing import agree
from msgkit_rocketmq.client.errors import ClientError, Unanswered
from msgkit_rocketmq.client.popping import MOST, Source
from msgkit_rocketmq.client.settling import Share
from msgkit_rocketmq.client.taking import Taken
from msgkit_rocketmq.copies import Copies
from msgkit_rocketmq.home import Home
from msgkit_rocketmq.loans import Loan, Loans, taken_back
from msgkit_rocketmq.mapping import understood
from msgkit_rocketmq.memory import Memory
from msgkit_rocketmq.returning import Returning
from msgkit_rocketmq.sources import feeds_of
from msgkit_rocketmq.supply import Supply

__all__ = ["RocketConsumer"]

#: Seconds for brokers to hear what was settled when a consumer is closed.
_PATIENCE = 5.0
#: Seconds for which nobody is given what cannot be read.
_UNREADABLE = 60.0
#: So often a message may come back until it is tried again as a copy, of which nobody counts how often it did.
_WORN = 4
#: Of what has no copies: so many returns are one crash, since others than we may have given it back.
_RETURNS = 5


class RocketConsumer:
    """Takes from all brokers that have the topics of its queue, from `open` to `close`."""

    #: Of an ordered queue, brokers hold what is behind the message that is tried again.
    holds = False

    def __init__(self, home: Home, subscription: Subscription, sink: Sink) -> None:
        self._home = home
        self._sink = sink
        self._queue = queue = subscription.queue
        self._most_bytes = subscription.max_bytes
        self._loop = asyncio.get_running_loop()
        self._lease = home.settings.lease
        self._group = home.layout.group_of(queue)
        self._feeds = feeds_of(queue, home.layout)
        self._own = home.layout.own_topic(queue)
        self._supply = Supply(
            home, self, self._group, self._feeds.values(), in_order=bool(queue.ordered), ready=self._is_there
        )
        self._credit = self._bytes = 0
        #: The largest that came, or 0: the next may be as large.
        self._largest = 0
        self._has_room: Future[None] | None = None
        self._inbox: deque[tuple[Loan, Envelope]] = deque()
        self._loans = Loans(home.cluster, self._lease, self._lost)
        self._acceptances = Acceptances(home.cluster)
        self._returning = Returning(home.cluster)
        self._copies = Copies(home.publisher, self._accept)
        self.memory = Memory()
        self._drained = False
        self._leaving: Task[None] | None = None

    @property
    def queue_name(self) -> str:
        return self._queue.name

    def event(self, event: Event) -> None:
        self._sink.event(event)

    def trouble(self) -> None:
        """Hear that a broker was lost."""
        self.memory.trouble(self._loop.time())
        if self._queue.anonymous:
            self._supply.doubt()

    async def open(self) -> None:
        """Take part.

        :raises ConfigurationError: when others take something else
        :raises ClientError: when it is not known where the topics are
        """
        if self._home.layout.owns(self._queue):
            await agree(self._home.cluster, self._group, self._feeds.values())
        await self._supply.open()

    async def _is_there(self) -> None:
        if self._queue.anonymous:
            await self._home.revive(self._queue)

    # -- for takers

    async def room(self) -> int:
        while self._credit <= 0 or self._bytes >= self._most_bytes:
            if self._has_room is None:
                self._has_room = self._loop.create_future()
            await asyncio.shield(self._has_room)
        fits = (self._most_bytes - self._bytes) // (self._largest or MAX_BODY)
        room = min(self._credit, MOST, max(1, fits))
        self._credit -= room
        return room

    def came(self, source: Source, taken: Sequence[Taken], room: int, asked_at: float, /) -> None:
        share = Share(source.broker, source.topic, source.group)
        unused = room
        for each in taken:
            unused -= self._took(each, Loan(each, share, asked_at + self._lease))
        self._more_room(unused)
        self._hand_over()

    def _took(self, taken: Taken, loan: Loan) -> bool:
        """Tell whether a message is one for the core."""
        record, feed = taken.record, self._feeds[loan.share.topic]
        if record.trouble is not None:
            self._home.alarm(self.queue_name, f"message {record.id} cannot be read: {record.trouble}")
            self._returning.put(loan, _UNREADABLE, _whatever)
            return False
        envelope = understood(record, feed.addressee, loan.returned)
        if not feed.takes(envelope) or self.memory.knows(loan.place, self._loop.time()):
            self._acceptances.put(loan)
            return False
        self._loans.add(loan)
        self._bytes += loan.size
        self._largest = max(self._largest, loan.size, 1)
        self._inbox.append((loan, envelope))
        return True

    def _hand_over(self) -> None:
        if self._drained:
            self._give_back_inbox()
            return
        batch: list[RawDelivery] = []
        while self._inbox:
            loan, envelope = self._inbox.popleft()
            if loan.is_open:
                loan.raw = self._delivery(loan, envelope)
                batch.append(loan.raw)
        if batch:
            self._sink.deliver(batch)

    def _delivery(self, loan: Loan, envelope: Envelope) -> RawDelivery:
        broker, topic, queue, _ = loan.place
        lane = (broker, topic, queue) if self._queue.ordered else envelope.key
        crashes = 0
        if loan.returned:
            crashes = max(0, loan.returned - self._home.returns.count(self.queue_name, envelope.message_id))
        if not self._has_copies:
            crashes //= _RETURNS
        return RawDelivery(envelope, envelope.attempt, crashes, lane, loan, loan)

    @property
    def _has_copies(self) -> bool:
        return self._own is not None and not self._queue.ordered

    def _more_room(self, n: int) -> None:
        self._credit += n
        if self._has_room is not None and self._credit > 0 and self._bytes < self._most_bytes:
            has_room, self._has_room = self._has_room, None
            has_room.set_result(None)

    def _lost(self, loan: Loan) -> None:
        self._let_go(loan)
        if loan.raw is not None:
            self._sink.lost(loan)
        else:
            self._more_room(1)

    def _let_go(self, loan: Loan) -> None:
        self._loans.end(loan)
        self._bytes -= loan.size
        self._more_room(0)

    # -- for the core

    def credit(self, n: int, /) -> None:
        self._more_room(n)

    def settle(self, delivery: RawDelivery, how: RawSettlement, /) -> "Future[None] | None":
        loan = delivery.handle
        if not isinstance(loan, Loan):
            raise TypeError(f"{delivery!r} is not a delivery of this broker")
        if not loan.is_open:
            return failed(taken_back(delivery))
        match how:
            case Accept():
                self._accept(loan, delivery.envelope)
                return None
            case Dead():
                return self._copies.send(delivery, loan, how.copy, None)
            case Release() | RetryCopy():
                return self._come_again(loan, delivery, how)

    def _come_again(self, loan: Loan, delivery: RawDelivery, how: Release | RetryCopy) -> "Future[None]":
        envelope = delivery.envelope
        if isinstance(how, Release) and self._has_copies:
            # The broker would count it as it counts a failure, and be in no hurry.
            copy = envelope._replace(destination=self.queue_name, kind=Kind.QUEUE, require_route=False)
        elif isinstance(how, RetryCopy) and self._is_worn(loan):
            copy = how.copy._replace(delay=how.after)
        else:
            return self._returned(loan, delivery, how.after if isinstance(how, RetryCopy) else 0.0)
        return self._copies.send(delivery, loan, copy, address(envelope.kind, envelope.destination))

    def _is_worn(self, loan: Loan) -> bool:
        return loan.returned >= _WORN and self._has_copies

    def _accept(self, loan: Loan, envelope: Envelope) -> None:
        self._let_go(loan)
        self.memory.note(loan.place, self._loop.time())
        self._home.returns.forget(self.queue_name, envelope.message_id)
        self._acceptances.put(loan)

    # -- giving back: it comes again, now or later

    def _returned(self, loan: Loan, delivery: RawDelivery, after: float) -> "Future[None]":
        settled: Future[None] = self._loop.create_future()
        self._loans.end(loan)
        self._returning.put(loan, after, partial(self._told, settled, loan, delivery))
        return settled

    def _told(self, settled: "Future[None]", loan: Loan, delivery: RawDelivery, error: ClientError | None) -> None:
        # Who may have heard hands it out again in any case: to be told twice would make two of it.
        if error is None or isinstance(error, Unanswered):
            self._home.returns.note(self.queue_name, delivery.envelope.message_id)
            self._let_go(loan)
            if not settled.done():
                settled.set_result(None)
            return
        if loan.ends_at > self._loop.time():
            self._loans.reopen(loan)
        else:
            self._lost(loan)
        if not settled.done():
            settled.set_exception(SendRefused(f"message {delivery.envelope.message_id} is not given back: {error}"))

    def _give_back_inbox(self) -> None:
        while self._inbox:
            loan, envelope = self._inbox.popleft()
            if loan.is_open:
                self._release(loan, self._delivery(loan, envelope))

    def _release(self, loan: Loan, delivery: RawDelivery) -> None:
        self._come_again(loan, delivery, Release()).add_done_callback(_look_at)

    # -- the end

    async def drain(self) -> None:
        self._drained = True
        await self._supply.close()
        self._give_back_inbox()

    async def close(self) -> None:
        if self._leaving is None:
            self._leaving = self._home.spawn(self._leave())
        # It leaves even if nobody waits for it any longer: else it would go on taking what nobody handles.
        await asyncio.shield(self._leaving)

    async def _leave(self) -> None:
        try:
            await self.drain()
            for loan in tuple(self._loans.open):
                if loan.raw is not None and loan not in self._copies:
                    self._release(loan, loan.raw)
            await self._copies.finish(_PATIENCE)
            await self._returning.finish(_PATIENCE)
            await self._acceptances.finish(_PATIENCE)
        finally:
            await self._loans.close()
            await self._home.leave(self._queue, self)


def _whatever(_: ClientError | None) -> None:
    """Leave it at that: it comes back when its lease ends."""


def _look_at(settled: "Future[None]") -> None:
    """See an error, if there is one: then it comes back when its lease ends."""
    if not settled.cancelled():
        settled.exception()
