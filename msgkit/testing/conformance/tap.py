"""A consumer below the face: what the seam gives, kept, and settled by hand."""

from collections.abc import AsyncGenerator, Callable, Hashable, Sequence
from contextlib import asynccontextmanager

from msgkit.settlement import Accept
from msgkit.spi import Binding, Consumer, Dead, Event, RawDelivery, RawSettlement, Release, RetryCopy, Subscription
from msgkit.testing.conformance.journal import Journal
from msgkit.testing.conformance.ledger import content
from msgkit.testing.conformance.ledger.records import Settled

__all__ = ["Tap"]


class Tap:
    """A sink that only collects. What it is given counts as handled from its delivery on."""

    consumer: Consumer

    def __init__(self, queue: str, name: str, journal: Journal) -> None:
        self._queue = queue
        self._name = name
        self._journal = journal
        self._tokens: dict[RawDelivery, str] = {}
        #: All that was delivered, in that order.
        self.deliveries: list[RawDelivery] = []
        self.losses: list[Hashable] = []
        self.revocations: list[Hashable] = []
        self.events: list[Event] = []
        #: What is done when a scope is asked for back, before it is let go of.
        self.on_revoke: Callable[[Sequence[RawDelivery]], object] = lambda _: None

    @property
    def ids(self) -> list[str]:
        return [raw.envelope.message_id for raw in self.deliveries]

    @property
    def unsettled(self) -> list[RawDelivery]:
        return list(self._tokens)

    async def settle(self, raw: RawDelivery, how: RawSettlement) -> None:
        """End a delivery, and return when the broker has heard of it."""
        self._end(raw, how)
        if (future := self.consumer.settle(raw, how)) is not None:
            await future

    def _end(self, raw: RawDelivery, how: RawSettlement) -> None:
        kind: Settled
        after = 0.0
        match how:
            case Accept():
                kind = "accepted"
            case Release():
                kind = "released"
            case RetryCopy():
                kind, after = "retried", how.after
            case Dead():
                kind = "rejected"
        self._ended(raw, kind, after)

    def _ended(self, raw: RawDelivery, kind: Settled, after: float = 0.0) -> None:
        with self._journal.writing() as ledger:
            ledger.ended(self._tokens.pop(raw), kind, self._journal.now(), after=after)

    @asynccontextmanager
    async def consuming(self, binding: Binding, subscription: Subscription) -> AsyncGenerator[None]:
        """Consume within a block; what is unsettled at its end goes back."""
        self.consumer = await binding.subscribe(subscription, self)
        try:
            yield
        finally:
            await self.consumer.drain()
            self.release_all()
            await self.consumer.close()

    def release_all(self) -> None:
        """Record that closing the consumer gives back what is unsettled."""
        for raw in self.unsettled:
            self._ended(raw, "released")

    # -- the sink

    def deliver(self, batch: Sequence[RawDelivery], /) -> None:
        with self._journal.writing() as ledger:
            for raw in batch:
                envelope = raw.envelope
                self.deliveries.append(raw)
                self._tokens[raw] = ledger.began(
                    self._queue,
                    self._name,
                    envelope.message_id,
                    raw.attempt,
                    self._journal.now(),
                    content(envelope.body, envelope.headers, key=envelope.key, subject=envelope.subject),
                )

    def lost(self, scope: Hashable, /) -> None:
        self.losses.append(scope)
        for raw in self.unsettled:
            if raw.scope == scope:
                raw.lost = True
                self._ended(raw, "lost")

    async def revoke(self, scope: Hashable, deadline: float, /) -> None:
        del deadline
        self.revocations.append(scope)
        mine = [raw for raw in self.unsettled if raw.scope == scope]
        self.on_revoke(mine)
        for raw in mine:
            if raw in self._tokens:
                await self.settle(raw, Release())
        self._journal.pulse()

    def event(self, event: Event, /) -> None:
        self.events.append(event)
        self._journal.pulse()
