"""One consumer of one queue: a member of its group, that hands out records and is told what became of each."""

import asyncio
from asyncio import Future, Task
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from msgkit.settlement import Accept
from msgkit.spi import Dead, Event, RawDelivery, RawSettlement, Release, RetryCopy, Sink, Subscription, failed
from msgkit.spi.addresses import address
from msgkit.spi.filtering import Filter
from msgkit_kafka.byhand import ByHand, NoCommits
from msgkit_kafka.committing import Commits
from msgkit_kafka.copies import Copies, taken_back
from msgkit_kafka.entering import Profile
from msgkit_kafka.feeding import Feed
from msgkit_kafka.home import Home
from msgkit_kafka.layout import own_topic
from msgkit_kafka.mapping import ORIGIN, Source, understood
from msgkit_kafka.membership import Membership
from msgkit_kafka.moves import Moves, Origin
from msgkit_kafka.offsets import Point, Standing
from msgkit_kafka.orders import Order
from msgkit_kafka.part import Handle, Part
from msgkit_kafka.progress import Committed
from msgkit_kafka.wire.errors import WireError
from msgkit_kafka.wire.records import Record
from msgkit_kafka.wire.subscriptions import Partition

__all__ = ["KafkaConsumer"]

#: Seconds for running handlers of a partition that another member is to have. It waits for them.
_HANDOVER = 300.0
#: Seconds for copies to be confirmed when a consumer is closed, and then for what is done to be committed.
_PATIENCE = 5.0
_NOTHING: Mapping[str, str] = {}


class KafkaConsumer:
    """Takes part in the group of its queue from `open` to `close`."""

    #: An ordered lane's next message waits here, behind the one that is tried again.
    holds = True

    def __init__(
        self, home: Home, subscription: Subscription, sink: Sink, topics: Mapping[str, tuple[Source, Filter | None]]
    ) -> None:
        """Consume; `topics` are those that are read, with what its records are addressed to, and the filter."""
        self._home = home
        self._sink = sink
        self._queue = subscription.queue
        self._topics = topics
        self._most_bytes = subscription.max_bytes
        self._loop = asyncio.get_running_loop()
        self._parts: dict[Partition, Part] = {}
        self._credit = self._bytes = 0
        self._feed = Feed(home.fetcher, on_came=self._look, on_failed=self._unreadable)
        self._handing_over = self._drained = self._closing = False
        self._leaving: Task[None] | None = None
        self._own = own_topic(self._queue)
        self._membership: Membership | ByHand
        self._commits: Commits | NoCommits
        if self._queue.anonymous:
            self._membership, self._commits = ByHand(home.cluster, sorted(topics), self), NoCommits()
        else:
            filters = {topic: each for topic, (_, each) in topics.items() if each is not None}
            group, session = home.group_of(self._queue), home.settings.session_timeout
            profile = Profile(home.instance_in(group), home.settings.rack, filters)
            self._membership = Membership(home.cluster, group, sorted(topics), self, session=session, profile=profile)
            self._commits = Commits(home.cluster, self._membership, self._point)
        moves = Moves(home.producers, self.membership, self._is_ours, self._commits.alone)
        self._copies = Copies(home.publisher, moves, self._end_if_ours)

    @property
    def is_well(self) -> bool:
        return self._membership.is_well

    def look(self) -> None:
        """See at once whether it is still in its group."""
        self._membership.look()

    def event(self, event: Event) -> None:
        self._sink.event(event)

    async def open(self) -> None:
        """Join the group.

        :raises BrokerError: when it cannot be joined
        """
        await self._membership.open()

    # -- for the core

    def credit(self, n: int, /) -> None:
        self._credit += n
        self._look()

    def settle(self, delivery: RawDelivery, how: RawSettlement, /) -> "Future[None] | None":
        if (handle := self.handle_of(delivery)) is None:
            return failed(taken_back(delivery))
        match how:
            case Accept():
                self._end(handle)
            case Release():
                part = handle.part
                self._bytes -= handle.size
                part.in_hand -= handle.size
                part.give_back(handle.record)
                self._look()
            case RetryCopy() if self._own is None:
                self._retry_here(handle, how)
            case RetryCopy():
                envelope = delivery.envelope
                origin = {ORIGIN: address(envelope.kind, envelope.destination)}
                return self._copies.send(delivery, handle, how.copy._replace(delay=how.after), origin)
            case Dead():
                return self._copies.send(delivery, handle, how.copy, _NOTHING)
        return None

    def handle_of(self, delivery: RawDelivery) -> Handle | None:
        """Return what is known of a delivery; None when it is another's by now, or done."""
        handle = delivery.handle
        if not isinstance(handle, Handle):
            raise TypeError(f"{delivery!r} is not a delivery of this broker")
        return handle if self._is_ours(handle.part) and handle.part.is_open(handle.record.offset) else None

    def _is_ours(self, part: Origin) -> bool:
        return self._parts.get(part.partition) is part

    def alone(self) -> AbstractAsyncContextManager[object]:
        """Keep everything from being committed for the length of a block."""
        return self._commits.alone()

    def ended_elsewhere(self, deliveries: Sequence[RawDelivery]) -> None:
        """Hear that a transaction has settled these."""
        for delivery in deliveries:
            if (handle := self.handle_of(delivery)) is not None:
                self._end(handle)

    def _end_if_ours(self, handle: Handle) -> bool:
        if is_ours := self._is_ours(handle.part):
            self._end(handle)
        return is_ours

    @property
    def membership(self) -> Membership | None:
        """The place in the group; None where there is none."""
        return self._membership if isinstance(self._membership, Membership) else None

    def _end(self, handle: Handle) -> None:
        part = handle.part
        self._bytes -= handle.size
        part.in_hand -= handle.size
        part.done(handle.record)
        self._commits.note(part.partition)
        self._look()

    def _retry_here(self, handle: Handle, how: RetryCopy) -> None:
        """Try it again where it is, since the queue has no topic for copies."""
        part, record = handle.part, handle.record
        self._bytes -= handle.size
        part.in_hand -= handle.size
        part.attempts[record.offset] = how.copy.attempt
        self._loop.call_later(how.after, self._come_again, part, record)

    def _come_again(self, part: Part, record: Record) -> None:
        if self._parts.get(part.partition) is part and part.is_at_work and not self._drained:
            part.give_back(record)
            self._look()

    async def drain(self) -> None:
        self._drained = True
        for part in self._parts.values():
            self._feed.stop(part)

    async def close(self) -> None:
        self._drained = self._closing = True
        if self._leaving is None:
            self._leaving = self._home.spawn(self._leave())
        # It leaves even if nobody waits for it any longer: else its group counted on a member that reads nothing.
        await asyncio.wait([self._leaving])

    async def _leave(self) -> None:
        await self.drain()
        try:
            await self._copies.finish(_PATIENCE)
            await self._commits.finish(tuple(self._parts), _PATIENCE)
        finally:
            self._parts.clear()
            await self._commits.close()
            await self._membership.close()
            self.alarm(None)
            self._home.leave(self)

    # -- for the membership

    async def take(self, partitions: Sequence[Partition], /) -> None:
        standings = await self._membership.standings(partitions)
        new = [each for each in partitions if standings[each].offset is None]
        begins = await self._home.begins(self._membership.group, new)
        for each in partitions:
            self._parts[each] = self._begun(each, standings[each], begins.get(each, 0))
        # Whoever comes after us, if we die, is to know that we did.
        await self._commits.flush(partitions)
        self._look()

    def _begun(self, partition: Partition, standing: Standing, begin: int) -> Part:
        return Part.begun(partition, standing, begin, *self._topics[partition.topic])

    async def give_up(self, partition: Partition, /) -> None:
        if (part := self._parts.get(partition)) is None:
            return
        part.is_closing = part.is_leaving = True
        self._feed.stop(part)
        try:
            await self._vacated(part)
            await self._commits.finish([partition], _PATIENCE)
        finally:
            if self._parts.get(partition) is part:
                del self._parts[partition]
                self._let_go(part)

    def lose(self, partitions: Sequence[Partition], why: str, /) -> None:  # noqa: ARG002 -- the holder's shape
        lost = [part for each in partitions if (part := self._parts.pop(each, None)) is not None]
        self._commits.forget(partitions)
        for part in lost:
            self._feed.stop(part)
            self._let_go(part)
            if part.progress.outstanding:
                self._sink.lost(part)

    async def _vacated(self, part: Part) -> None:
        """Return when nothing of it is in anybody's hands."""
        await self._sink.revoke(part, _HANDOVER)
        # Whoever closes waits for no answers any more, and a copy may be on its way all the same.
        await self._copies.left(part)

    def _let_go(self, part: Part) -> None:
        """Count what is in hand of it as nothing: nobody hears of it any more."""
        self._bytes -= part.in_hand
        part.in_hand = 0

    def go_on(self, order: Order, /) -> None:
        for each, offset in order.points.items():
            if (part := self._parts.get(each)) is not None and part.order != order.name:
                _ = self._home.spawn(self._move(part, offset, order))

    async def _move(self, part: Part, offset: int, order: Order) -> None:
        """Go on elsewhere: what is in hand ends as it will, and comes again where it is read again."""
        if part.is_closing:
            return
        if (order.forward or offset >= part.progress.end) and not part.is_broken:
            self._feed.skip(part, max(offset, part.progress.end))
        else:
            part.is_closing = True
            self._feed.stop(part)
            await self._vacated(part)
            if part.is_leaving or not self._is_ours(part):
                # Whoever has it next hears where to go on, too.
                return
            self._let_go(part)
            part = self._parts[part.partition] = self._begun(part.partition, Standing(offset, Committed()), offset)
        part.order = order.name
        await self._commits.finish([part.partition], _PATIENCE)
        self.alarm(None)
        self._look()

    def alarm(self, why: str | None, /) -> None:
        if why is not None or not any(part.is_broken for part in self._parts.values()):
            self._home.alarm(self, self._queue.name, why)

    def _point(self, partition: Partition) -> Point | None:
        part = self._parts.get(partition)
        return None if part is None else part.point(clean=part.is_closing or self._closing)

    # -- fetching

    def _unreadable(self, part: Part, error: WireError) -> None:
        """Stop here rather than lose what cannot be read."""
        part.is_broken = True
        self.alarm(part.unreadable(error))

    # -- handing out

    def _look(self) -> None:
        if not self._handing_over and not self._drained:
            # Once for all that came in one piece.
            self._handing_over = True
            self._loop.call_soon(self._hand_over)

    def _hand_over(self) -> None:
        self._handing_over = False
        if self._drained:
            return
        batch: list[RawDelivery] = []
        at_work = [part for part in self._parts.values() if part.is_at_work]
        parts = [part for part in at_work if not part.is_watched]
        while parts:
            # One of each in turn, so that none waits for all of another.
            parts = [part for part in parts if self._may_take and self._take_next(part, batch)]
        if batch:
            self._sink.deliver(batch)
        for part in at_work:
            if part.is_watched and not part.is_marking and self._may_take:
                part.is_marking = True
                _ = self._home.spawn(self._hand_out_alone(part))
            self._feed.read_on(part)

    @property
    def _may_take(self) -> bool:
        return self._credit > 0 and self._bytes < self._most_bytes and not self._drained

    def _take_next(self, part: Part, batch: list[RawDelivery]) -> bool:
        """Add the next message of a partition; tell whether there was one."""
        waiting = part.buffered
        while (record := part.next()) is not None:
            envelope = understood(record, part.source)
            if part.filter is not None and not part.filter.takes(envelope):
                part.done(record)
                self._commits.note(part.partition)
                continue
            if record.offset in part.attempts:
                envelope = envelope._replace(attempt=part.attempts.pop(record.offset))
            handle = Handle(part, record)
            self._credit -= 1
            self._bytes += handle.size
            part.in_hand += handle.size
            lane = envelope.key if envelope.key is None or not self._queue.ordered else (part.topic, envelope.key)
            batch.append(RawDelivery(envelope, envelope.attempt, part.crashes_at(record.offset), lane, part, handle))
            break
        self._feed.buffered -= waiting - part.buffered
        return record is not None

    async def _hand_out_alone(self, part: Part) -> None:
        """Hand out one message when it is written down that it is the only one: in case we die of it."""
        batch: list[RawDelivery] = []
        try:
            if self._take_next(part, batch):
                handle = batch[0].handle
                assert isinstance(handle, Handle)  # noqa: S101 -- it was made just now
                part.suspect(handle.record.offset)
                await self._commits.finish([part.partition], _PATIENCE)
        finally:
            part.is_marking = False
        if batch and self._is_ours(part) and part.is_at_work and not self._drained:
            self._sink.deliver(batch)
        elif batch:
            self._credit += 1
            if self._is_ours(part):
                self._let_go(part)
