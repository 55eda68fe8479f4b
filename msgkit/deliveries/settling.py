"""Ending deliveries: the decision carried out, tried again until the broker has it, and credit given back."""

import asyncio
import logging
import random
from collections.abc import Callable
from functools import partial
from typing import Protocol

from msgkit.clock import Clock, Timer
from msgkit.deliveries.lanes import Lanes
from msgkit.dead_letters import dead_copy
from msgkit.envelope import Envelope, Kind
from msgkit.errors import DeliveryLost
from msgkit.policy import Again, Backoff, Decision, GiveUp, decide
from msgkit.settlement import ACCEPT, Accept, Settlement
from msgkit.spi import Consumer, Dead, QueueSpec, RawDelivery, RawSettlement, Release, RetryCopy

__all__ = ["Counts", "Observer", "Settling", "current"]

logger = logging.getLogger("msgkit")

#: How long a settlement that failed is waited for before it is tried again, at first and at most.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0


#: How many consumers may die with a message before it is taken for the cause.
MAX_CRASHES = 10


class Counts:
    """What happened to a queue's messages here."""

    __slots__ = ("dead", "dropped", "expired", "failed", "handled", "lost", "poison", "retried")

    def __init__(self) -> None:
        self.handled = self.failed = self.retried = self.dead = 0
        self.dropped = self.expired = self.lost = self.poison = 0

    def as_dict(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in self.__slots__}


class Observer(Protocol):
    """Sees what becomes of messages: for tests."""

    def dead(self, queue: str, copy: Envelope, /) -> None: ...


class Settling:
    """The unsettled deliveries of one consumer, and how each of them ends."""

    def __init__(
        self,
        queue: QueueSpec,
        *,
        consumer: Consumer,
        lanes: Lanes,
        policy: Backoff,
        clock: Clock,
        max_in_flight: int,
        on_ready: Callable[[], None],
        counts: Counts,
        observer: Observer | None,
    ) -> None:
        self._queue = queue
        self._consumer = consumer
        self._lanes = lanes
        self._policy = policy
        self._clock = clock
        self._on_ready = on_ready
        self._observer = observer
        self._holds = bool(queue.ordered) and consumer.holds
        self._gather_credit = max(1, max_in_flight // 4)
        self._credit = 0
        self._timers: dict[RawDelivery, Timer] = {}
        self._pending: dict[RawDelivery, asyncio.Future[None] | Timer] = {}
        self._waiters: dict[RawDelivery, asyncio.Future[None]] = {}
        self._abandoned: set[RawDelivery] = set()
        self._ending: asyncio.Event | None = None
        self._stopped = False
        self.counts = counts
        #: Delivered and not settled.
        self.held: set[RawDelivery] = set()
        #: Why settlements fail at the moment.
        self.trouble: str | None = None

    def fit(self, raw: RawDelivery, envelope: Envelope) -> bool:
        """Is it to be handled at all? What is not, ends here."""
        if envelope.expires_at is not None and envelope.expires_at <= self._clock.now():
            self.expire(raw)
            return False
        if raw.follows is not None:
            self.give_up(raw, envelope, GiveUp(f"follows the dead letter {raw.follows}"))
            return False
        if raw.crashes >= MAX_CRASHES:
            self.give_up(raw, envelope, GiveUp("crash-loop"))
            return False
        return True

    # -- the ways to end

    def accept(self, raw: RawDelivery) -> None:
        self.counts.handled += 1
        self.end(raw, ACCEPT)

    def decide(self, raw: RawDelivery, outcome: Settlement | BaseException) -> Decision:
        return decide(self._policy, raw.attempt, outcome, random.random())  # noqa: S311 -- spreads retries

    def carry_out(self, raw: RawDelivery, envelope: Envelope, decision: Decision) -> None:
        """End a delivery as decided, or hold it for its next attempt."""
        match decision:
            case Accept():
                self.accept(raw)
            case Again():
                self._again(raw, envelope, decision)
            case GiveUp():
                self.give_up(raw, envelope, decision)

    def expire(self, raw: RawDelivery) -> None:
        """Drop what is too old to be handled."""
        self.counts.expired += 1
        logger.info("message %s on %r expired", raw.envelope.message_id, self._queue.name)
        self.end(raw, ACCEPT)

    def give_up(self, raw: RawDelivery, envelope: Envelope, why: GiveUp) -> None:
        """Send a delivery to the dead letters; where there are none by choice, say so aloud."""
        self.counts.failed += 1
        self.counts.poison += why.reason == "poison"
        if self._queue.dead_letters is None:
            self._without_dead_letters(raw, envelope, why)
            return
        self.counts.dead += 1
        _log(logging.ERROR, raw, self._queue.name, f"goes to {self._queue.dead_letters!r}: {why.reason}", why.error)
        copy = dead_copy(
            envelope,
            queue=self._queue.name,
            to=self._queue.dead_letters,
            why=why,
            attempts=raw.attempt,
            now=self._clock.now(),
        )
        if self._observer is not None:
            self._observer.dead(self._queue.name, copy)
        self.end(raw, Dead(copy))

    def _without_dead_letters(self, raw: RawDelivery, envelope: Envelope, why: GiveUp) -> None:
        if self._queue.dead_letters_of is not None:
            # A dead letter that cannot be handled stays what it is: there is no second grave.
            self._again(raw, envelope, Again(max(self._policy.limit, 1.0), why.error))
            return
        self.counts.dropped += 1
        _log(logging.ERROR, raw, self._queue.name, f"is dropped, there are no dead letters: {why.reason}", why.error)
        self.end(raw, ACCEPT)

    def _again(self, raw: RawDelivery, envelope: Envelope, decision: Again) -> None:
        self.counts.failed += 1
        self.counts.retried += 1
        after = decision.after
        _log(logging.WARNING, raw, self._queue.name, f"is tried again in {after:.3g} s", decision.error)
        if self._holds:
            self._hold(raw, after)
            return
        copy = envelope._replace(
            destination=self._queue.name,
            kind=Kind.QUEUE,
            attempt=raw.attempt + 1,
            delay=after,
            deliver_at=None,
            require_route=False,
        )
        self.end(raw, RetryCopy(after, copy))

    def _hold(self, raw: RawDelivery, after: float) -> None:
        """Keep the delivery and its lane, and try again in place."""
        raw.attempt += 1
        self._timers[raw] = self._clock.call_later(after, partial(self._held_long_enough, raw))

    def _held_long_enough(self, raw: RawDelivery) -> None:
        del self._timers[raw]
        self._lanes.again(raw)
        self._on_ready()

    # -- the broker's part

    def end(self, raw: RawDelivery, how: RawSettlement) -> None:
        """Settle a delivery; the lane and the credit are free when that is done."""
        self.held.discard(raw)
        future = self._consumer.settle(raw, how)
        if future is None:
            self._ended(raw)
            return
        if type(how) is Accept:
            # What is done is done: the next of the lane need not wait for the broker to hear of it.
            if self._lanes.done(raw):
                self._on_ready()
        self._pending[raw] = future
        future.add_done_callback(partial(self._answered, raw, how, _FIRST_PAUSE))

    async def ended(self, raw: RawDelivery) -> None:
        """Return when the broker has taken a settlement.

        :raises DeliveryLost: when it came too late
        """
        if raw in self._pending:
            self._waiters[raw] = asyncio.get_running_loop().create_future()
            await self._waiters[raw]

    def _answered(self, raw: RawDelivery, how: RawSettlement, pause: float, future: "asyncio.Future[None]") -> None:
        if self._stopped or future.cancelled():
            return
        error = future.exception()
        lost = raw.lost or isinstance(error, DeliveryLost)
        if error is None or lost:
            self._conclude_pending(raw, how, lost=lost)
            return
        self.trouble = f"settling on {self._queue.name!r} fails: {error}"
        logger.error("message %s: %s; trying again in %.3g s", raw.envelope.message_id, self.trouble, pause)
        self._pending[raw] = self._clock.call_later(pause, partial(self._once_more, raw, how, pause * 2))

    def _conclude_pending(self, raw: RawDelivery, how: RawSettlement, *, lost: bool) -> None:
        del self._pending[raw]
        self._ended(raw, lane_is_free=type(how) is Accept)
        waiter = self._waiters.pop(raw, None)
        if lost:
            self.counts.lost += 1
        else:
            self.trouble = None
        if waiter is not None and not waiter.done():
            if lost:
                waiter.set_exception(DeliveryLost(f"message {raw.envelope.message_id} was taken back before it was settled"))
            else:
                waiter.set_result(None)

    def _once_more(self, raw: RawDelivery, how: RawSettlement, pause: float) -> None:
        if raw.lost:
            self._conclude_pending(raw, how, lost=True)
            return
        future = self._consumer.settle(raw, how)
        if future is None:
            self._conclude_pending(raw, how, lost=False)
            return
        self._pending[raw] = future
        future.add_done_callback(partial(self._answered, raw, how, min(pause, _LONGEST_PAUSE)))

    def _ended(self, raw: RawDelivery, *, lane_is_free: bool = False) -> None:
        self._credit += 1
        if not lane_is_free and self._lanes.done(raw) and not self._stopped:
            self._on_ready()
        if self._credit >= self._gather_credit:
            self.give_credit()
        if self._ending is not None:
            self._ending.set()
            self._ending = None

    def give_credit(self) -> None:
        """Tell the broker how many more it may send; many at once, since each call may be a frame."""
        if self._credit and not self._stopped:
            credit, self._credit = self._credit, 0
            self._consumer.credit(credit)

    # -- losing and stopping

    def forget(self, raw: RawDelivery, *, is_running: bool) -> None:
        """Let go of a delivery that is another's now; its handler, if one runs, keeps the lane."""
        self.counts.lost += 1
        self.held.discard(raw)
        if (timer := self._timers.pop(raw, None)) is not None:
            timer.cancel()
        if is_running:
            self._abandoned.add(raw)
        else:
            self._ended(raw)

    def finished(self, raw: RawDelivery) -> None:
        """Hear that the handler of a delivery lost in the meantime has ended."""
        if raw in self._abandoned:
            self._abandoned.discard(raw)
            self._ended(raw)

    def settled_elsewhere(self, raw: RawDelivery) -> None:
        """Hear that a transaction has settled a delivery."""
        self.counts.handled += 1
        self.held.discard(raw)
        self._ended(raw)

    def release(self, raw: RawDelivery) -> None:
        """Give a delivery back unhandled and uncounted."""
        self.end(raw, Release())

    def lose(self, scope: object) -> None:
        """Stop settling what is pending of a scope."""
        for raw in self._pending:
            if raw.scope == scope:
                raw.lost = True

    async def left(self, scope: object) -> None:
        """Return when nothing of a scope is here any more."""
        while any(raw.scope == scope for raw in (*self.held, *self._pending)):
            await self._progress()

    async def settled(self) -> None:
        """Return when nothing is pending at the broker."""
        while self._pending:
            await self._progress()

    async def _progress(self) -> None:
        if self._ending is None:
            self._ending = asyncio.Event()
        await self._ending.wait()

    def stop(self) -> None:
        """Hold nothing any more; what is unsettled stays the broker's."""
        self._stopped = True
        for timer in self._timers.values():
            timer.cancel()
        for pending in self._pending.values():
            pending.cancel()
        self._timers.clear()
        for waiter in self._waiters.values():
            waiter.cancel()
        self._pending.clear()
        self._waiters.clear()
        self.held.clear()

    @property
    def busy(self) -> int:
        """How many settlements the broker has not answered."""
        return len(self._pending)

    @property
    def holding(self) -> int:
        """How many wait in place for their next attempt."""
        return len(self._timers)


def current(raw: RawDelivery) -> Envelope:
    """Return the envelope with the attempt that is counted for it."""
    envelope = raw.envelope
    return envelope if envelope.attempt == raw.attempt else envelope._replace(attempt=raw.attempt)


def _log(level: int, raw: RawDelivery, queue: str, what: str, error: BaseException | None) -> None:
    logger.log(
        level, "message %s on %r, attempt %d, %s", raw.envelope.message_id, queue, raw.attempt, what, exc_info=error
    )
