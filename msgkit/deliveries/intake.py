"""Where a consumer's deliveries come in, and what of them is lost again before it is settled."""

import asyncio
from collections.abc import Callable, Hashable, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Protocol

from msgkit.deliveries.lanes import Lanes
from msgkit.deliveries.settling import Settling, Terms
from msgkit.errors import AlreadySettled, Closed, DeliveryLost
from msgkit.message import Delivery
from msgkit.spi import Binding, Consumer, Event, RawDelivery, Subscription

__all__ = ["Intake", "Taker"]


class Taker(Protocol):
    """Who takes the deliveries: the crew of a queue's listeners, or somebody by hand."""

    def arrived(self, count: int, /) -> None:
        """Hear that deliveries came in."""
        ...

    def ready(self) -> None:
        """Hear that one which waited here is ready: the next of a lane, or one for its next attempt."""
        ...

    def running(self) -> AbstractSet[RawDelivery]:
        """Return what handlers have at hand."""
        ...

    def some_lost(self) -> None:
        """Hear that some of what is at hand is another's now."""
        ...

    def event(self, event: Event, /) -> None: ...


class Intake:
    """The seam's sink: one subscription's deliveries, in their lanes until they are taken, held until settled."""

    def __init__(self, taker: Taker, terms: Terms, *, lanes: Lanes) -> None:
        self.lanes = lanes
        self._taker = taker
        self._terms = terms
        self._consumer: Consumer | None = None
        self._settling: Settling | None = None

    async def open(self, binding: Binding, subscription: Subscription) -> Settling:
        """Subscribe; nothing comes before there is credit."""
        consumer = await binding.subscribe(subscription, self)
        self.lanes.clear()
        self._consumer = consumer
        self._settling = Settling(subscription, consumer, self.lanes, self._terms, on_ready=self._taker.ready)
        return self._settling

    async def drain(self) -> None:
        """Take in nothing any more, and forget what was not taken: it goes back on closing."""
        await self.consumer.drain()
        self.forget_what_has_not_begun()

    def forget_what_has_not_begun(self) -> None:
        for raw in (*self.lanes.ready, *self.lanes.take_out(lambda _: True)):
            self.settling.held.discard(raw)
            raw.lost = True
        self.lanes.clear()

    async def close(self) -> None:
        """Give back what is not settled."""
        consumer, self._consumer = self.consumer, None
        left = tuple(self.settling.held)
        self.settling.stop()
        try:
            await consumer.close()
        finally:
            for raw in left:
                # Whoever still has one at hand comes too late.
                raw.lost = True

    @property
    def is_open(self) -> bool:
        return self._consumer is not None

    @property
    def consumer(self) -> Consumer:
        if self._consumer is None:
            msg = "the queue is not consumed any more"
            raise Closed(msg)
        return self._consumer

    @property
    def settling(self) -> Settling:
        if self._settling is None:
            msg = "the queue was not consumed yet"
            raise Closed(msg)
        return self._settling

    # -- the sink

    def deliver(self, batch: Sequence[RawDelivery], /) -> None:
        self.settling.held.update(batch)
        add = self.lanes.add
        for raw in batch:
            add(raw)
        self._taker.arrived(len(batch))

    def lost(self, scope: Hashable, /) -> None:
        settling, running = self.settling, self._taker.running()
        settling.lose(scope)
        not_begun = set(self.lanes.take_out(lambda raw: raw.scope == scope))
        for raw in [raw for raw in settling.held if raw.scope == scope]:
            raw.lost = True
            settling.forget(raw, is_running=raw in running, lane_is_free=raw in not_begun)
        self._taker.some_lost()

    async def revoke(self, scope: Hashable, deadline: float, /) -> None:
        settling = self._settling
        if settling is None:
            # Taken away before anything of it could come.
            return
        for raw in self.lanes.take_out(lambda raw: raw.scope == scope):
            settling.release(raw)
        settling.release_held(scope, deadline)
        try:
            async with asyncio.timeout(deadline):
                await settling.left(scope)
        except TimeoutError:
            self.lost(scope)

    def event(self, event: Event, /) -> None:
        self._taker.event(event)

    # -- deliveries in somebody's hands

    def at_hand(self, delivery: Delivery[Any]) -> RawDelivery:
        """Return what a delivery stands for, while it can be settled.

        :raises AlreadySettled: when it was settled before
        :raises DeliveryLost: when it is another's now
        """
        raw = delivery.raw
        if isinstance(raw, RawDelivery) and raw.lost:
            msg = f"message {delivery.id} was taken back by the broker"
            raise DeliveryLost(msg)
        if not isinstance(raw, RawDelivery) or not self.settling.is_open(raw, delivery.attempt):
            msg = f"message {delivery.id} is settled already; a delivery ends once"
            raise AlreadySettled(msg)
        return raw

    def enlist(self, delivery: Delivery[Any]) -> tuple[Consumer, RawDelivery, Callable[[], None]]:
        """Return what a transaction needs to settle the delivery itself, and how to say that it did."""
        raw, settling = self.at_hand(delivery), self.settling
        return self.consumer, raw, lambda: settling.settled_elsewhere(raw)
