"""One consumer: credit in, deliveries out, settlements back.

Over a lost connection credit is kept thus: what no delivery has used stays good, and what
was used by a delivery that the core never saw is given back here. For each delivery that the
core has seen and that is lost (`Sink.lost`) the credit is the core's again: it grants it anew.
"""

import asyncio
from asyncio import Future
from collections.abc import Callable
from functools import partial

from msgkit.errors import DeliveryLost, MessagingError, TopologyMismatch
from msgkit.settlement import Accept
from msgkit.spi import Event, RawDelivery, RawSettlement, Sink, Subscription, failed
from msgkit_memory.queues import ServerQueue, Taker
from msgkit_memory.server import Broker
from msgkit_memory.session import Session
from msgkit_memory.stored import Stored

__all__ = ["MemoryConsumer", "subscribe"]


async def subscribe(session: Session, subscription: Subscription, sink: Sink) -> "MemoryConsumer":
    """Return a consumer that takes part.

    :raises TopologyMismatch: when its queue does not exist
    """
    made: list[MemoryConsumer] = []

    def join() -> MemoryConsumer:
        queue = session.broker.content.queues.get(subscription.queue.name)
        if queue is None:
            raise TopologyMismatch(f"queue {subscription.queue.name!r} does not exist")
        if not made:
            made.append(MemoryConsumer(session, queue, sink, subscription.max_bytes))
        made[0].join()
        return made[0]

    try:
        consumer = await session.wire.request(join)
    except BaseException:
        for orphan in made:
            orphan.leave()
        raise
    session.members.append(consumer)
    return consumer


class MemoryConsumer:
    """A taker's other side, on its client's loop."""

    __slots__ = ("_client", "_drained", "_lock", "_session", "_settling", "_sink", "taker")

    #: A lane's next message stays in the broker until the one before it has ended.
    holds = False

    def __init__(self, session: Session, queue: ServerQueue, sink: Sink, max_bytes: int) -> None:
        self.taker = Taker(queue, self, max_bytes)
        self._session = session
        self._client = session.client
        self._lock = session.broker.lock
        self._sink = sink
        self._settling: set[Future[None]] = set()
        self._drained = False

    @property
    def broker(self) -> Broker:
        return self._session.broker

    @property
    def queue_name(self) -> str:
        return self.taker.queue.name

    # -- for the core

    def credit(self, n: int, /) -> None:
        if n > 0:
            with self._lock:
                self.taker.queue.grant(self.taker, n)

    def settle(self, delivery: RawDelivery, how: RawSettlement, /) -> "Future[None] | None":
        if type(how) is Accept and self._client.clear and isinstance(delivery, Stored):
            taker = self.taker
            with self._lock:
                if delivery in taker.unsettled:
                    taker.let_go(delivery)
                    if not taker.queue.plain:
                        taker.queue.gone(delivery)
                    return None
        return self._settle(delivery, how)

    def _settle(self, delivery: RawDelivery, how: RawSettlement) -> "Future[None] | None":
        if not isinstance(delivery, Stored):
            raise TypeError(f"{delivery!r} is not a delivery of this broker")
        if delivery not in self.taker.unsettled:
            return failed(_lost(delivery))
        settle = partial(self._session.broker.settle, self.taker, delivery, how)
        if not self._client.clear:
            return self._later(settle, delivery)
        try:
            with self._lock:
                settle()
        except MessagingError as error:
            return failed(error.with_traceback(None))
        return None

    def _later(self, settle: Callable[[], None], delivery: Stored) -> "Future[None]":
        settled = self._session.wire.request(settle, partial(_lost, delivery))
        self._settling.add(settled)
        settled.add_done_callback(self._settling.discard)
        return settled

    async def drain(self) -> None:
        self._drained = True
        with self._lock:
            queue = self.taker.queue
            queue.bench(self.taker)
            queue.recall(self.taker)
            queue.go_on()

    async def close(self) -> None:
        try:
            if self._settling:
                await asyncio.wait(self._settling)
        finally:
            self.leave()

    def leave(self) -> None:
        """Give back what is left."""
        self._drained = True
        with self._lock:
            queue = self.taker.queue
            queue.leave(self.taker)
            queue.reclaim(self.taker, crashed=False)
            self.taker.lost.clear()
            queue.go_on()
            if self.taker in self._client.takers:
                self._client.takers.remove(self.taker)
        if self in self._session.members:
            self._session.members.remove(self)

    # -- for the session

    def join(self) -> None:
        if self.taker not in self._client.takers:
            self._client.takers.append(self.taker)
        # An anonymous queue that was away too long is another one now.
        self.taker.queue = self._session.broker.content.queues[self.queue_name]
        if not self._drained:
            self.taker.queue.join(self.taker)

    def event(self, event: Event, /) -> None:
        self._sink.event(event)

    # -- for the server

    def wake(self) -> None:
        if not self._client.post(self._look):
            self._session.broker.leave(self._client)

    def revoke(self, deadline: float, done: Callable[[], None], /) -> None:
        if not self._client.post(partial(self._start_revoking, deadline, done)):
            done()

    def _look(self) -> None:
        """Tell the core what was lost and what has come: one call for a burst."""
        taker = self.taker
        batch: list[Stored] = []
        with self._lock:
            taker.woken = False
            lost, taker.lost = taker.lost, []
            if taker.inbox and not self._session.broker.faults.paused:
                batch, taker.inbox = taker.inbox, batch
        for scope in lost:
            self._sink.lost(scope)
        if batch:
            self._sink.deliver(batch)

    def _start_revoking(self, deadline: float, done: Callable[[], None]) -> None:
        self._session.spawn(self._revoke(deadline, done))

    async def _revoke(self, deadline: float, done: Callable[[], None]) -> None:
        scope = self.taker.scope
        finished = asyncio.Event()
        try:
            self._session.spawn(self._finish(scope, deadline, finished))
            timer = self._session.broker.clock.call_later(deadline, finished.set)
            await finished.wait()
            timer.cancel()
        finally:
            with self._lock:
                # A connection lost meanwhile has taken it all back already.
                if self.taker.scope == scope:
                    self._take_back()
            done()

    async def _finish(self, scope: object, deadline: float, finished: asyncio.Event) -> None:
        try:
            await self._sink.revoke(scope, deadline)
        finally:
            finished.set()

    def _take_back(self) -> None:
        queue = self.taker.queue
        queue.reclaim(self.taker, crashed=False)
        self.taker.wake()
        queue.go_on()
        if self._client.connected and not self._drained:
            queue.join(self.taker)


def _lost(delivery: Stored) -> DeliveryLost:
    return DeliveryLost(f"message {delivery.envelope.message_id} was taken back by the broker")
