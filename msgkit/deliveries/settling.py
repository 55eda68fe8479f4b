"""Ending deliveries: the decision carried out, tried again until the broker has it, and credit given back."""

import asyncio
import logging
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from msgkit.clock import Clock, Timer
from msgkit.dead_letters import dead_copy
from msgkit.deliveries.answers import Answers
from msgkit.deliveries.counts import Counts, Observer
from msgkit.deliveries.lanes import Lanes
from msgkit.deliveries.telling import tell
from msgkit.envelope import Envelope, Kind
from msgkit.policy import Again, Backoff, Decision, GiveUp, decide
from msgkit.settlement import ACCEPT, Accept, Settlement
from msgkit.spi import Consumer, Dead, RawDelivery, RawSettlement, Release, RetryCopy, Subscription

__all__ = ["Settling", "Terms", "current"]

logger = logging.getLogger("msgkit")

#: How many consumers may die with a message before it is taken for the cause.
_MAX_CRASHES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What holds for all deliveries of a consumer."""

    policy: Backoff
    clock: Clock
    counts: Counts
    observer: Observer | None = None
    #: Is credit given back as deliveries end? Who takes by hand asks for each one himself.
    returns_credit: bool = True


class Settling:
    """The unsettled deliveries of one consumer, and how each of them ends."""

    def __init__(
        self,
        subscription: Subscription,
        consumer: Consumer,
        lanes: Lanes,
        terms: Terms,
        *,
        on_ready: Callable[[], None],
    ) -> None:
        self._queue = subscription.queue
        self._consumer = consumer
        self._lanes = lanes
        self._policy = terms.policy
        self._clock = terms.clock
        self._on_ready = on_ready
        self._observer = terms.observer
        self._holds = bool(self._queue.ordered) and consumer.holds
        # Many at once, since each call may be a frame; but soon enough that the broker never waits.
        self._enough_credit = max(1, subscription.max_in_flight // 4) if terms.returns_credit else sys.maxsize
        self._credit = 0
        #: What waits here for its next attempt, and until when by the steady clock.
        self._timers: dict[RawDelivery, tuple[Timer, float]] = {}
        self._answers = Answers(self._queue.name, consumer, clock=self._clock, on_end=self._answered)
        self._abandoned: set[RawDelivery] = set()
        self._left_open: set[RawDelivery] = set()
        self._out_of_lane: set[RawDelivery] = set()
        self._progress: asyncio.Event | None = None
        self._stopped = False
        self.counts = terms.counts
        #: Delivered and not settled.
        self.held: set[RawDelivery] = set()

    def fit(self, raw: RawDelivery, envelope: Envelope) -> bool:
        """Is it to be handled at all? What is not, ends here."""
        if envelope.expires_at is not None and envelope.expires_at <= self._clock.now():
            self.expire(raw)
            return False
        if raw.follows is not None:
            self.give_up(raw, envelope, GiveUp(f"follows the dead letter {raw.follows}"))
            return False
        if raw.crashes >= _MAX_CRASHES:
            self.give_up(raw, envelope, GiveUp("crash-loop"))
            return False
        return True

    def is_open(self, raw: RawDelivery, attempt: int) -> bool:
        """Is it still to be decided how this attempt ends? One that is held here for the next has ended."""
        return raw in self.held and raw.attempt == attempt

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
        tell(
            logging.ERROR,
            raw,
            self._queue.name,
            f"goes to {self._queue.dead_letters!r}: {why.reason}",
            why.error,
        )
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
            self._once_more(raw, envelope, Again(max(self._policy.limit, 1.0), why.error))
            return
        self.counts.dropped += 1
        tell(
            logging.ERROR,
            raw,
            self._queue.name,
            f"is dropped, there are no dead letters: {why.reason}",
            why.error,
        )
        self.end(raw, ACCEPT)

    def _again(self, raw: RawDelivery, envelope: Envelope, decision: Again) -> None:
        self.counts.failed += 1
        self._once_more(raw, envelope, decision)

    def _once_more(self, raw: RawDelivery, envelope: Envelope, decision: Again) -> None:
        self.counts.retried += 1
        after = decision.after
        tell(
            logging.WARNING,
            raw,
            self._queue.name,
            f"is tried again in {after:.3g} s",
            decision.error,
        )
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
        timer = self._clock.call_later(after, partial(self._held_long_enough, raw))
        self._timers[raw] = timer, self._clock.steady() + after

    def _held_long_enough(self, raw: RawDelivery) -> None:
        del self._timers[raw]
        self._lanes.again(raw)
        self._on_ready()

    # -- the broker's part

    def end(self, raw: RawDelivery, how: RawSettlement) -> None:
        """Settle a delivery; the lane and the credit are free when that is done."""
        self.held.discard(raw)
        if self._answers.settle(raw, how):
            self._ended(raw)
        elif type(how) is Accept and self._lanes.done(raw):
            # What is done is done: the next of the lane need not wait for the broker to hear of it.
            self._on_ready()

    async def heard(self, raw: RawDelivery) -> None:
        """Return when the broker has heard how a delivery ends.

        :raises DeliveryLost: when it was told too late
        """
        await self._answers.heard(raw)

    def _answered(self, raw: RawDelivery, how: RawSettlement, lost: bool) -> None:  # noqa: FBT001 -- a callback's
        self.counts.lost += lost
        self._ended(raw, lane_is_free=type(how) is Accept or raw in self._out_of_lane)
        self._out_of_lane.discard(raw)

    def _ended(self, raw: RawDelivery, *, lane_is_free: bool = False) -> None:
        self._credit += 1
        if not lane_is_free and self._lanes.done(raw) and not self._stopped:
            self._on_ready()
        if self._credit >= self._enough_credit:
            self.give_credit()
        if self._progress is not None:
            self._progress.set()
            self._progress = None

    def give_credit(self) -> None:
        """Tell the broker how many more it may send."""
        if self._credit and not self._stopped:
            credit, self._credit = self._credit, 0
            self._consumer.credit(credit)

    # -- losing and stopping

    def forget(self, raw: RawDelivery, *, is_running: bool, lane_is_free: bool) -> None:
        """Let go of a delivery that is another's now; its handler, if one runs, keeps the lane."""
        self.counts.lost += 1
        self.held.discard(raw)
        if (waiting := self._timers.pop(raw, None)) is not None:
            waiting[0].cancel()
        if is_running:
            self._abandoned.add(raw)
        else:
            self._ended(raw, lane_is_free=lane_is_free)

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
        """Give a delivery back unhandled and uncounted, when it was taken out of its lane."""
        self.held.discard(raw)
        if self._answers.settle(raw, Release()):
            self._ended(raw, lane_is_free=True)
        else:
            self._out_of_lane.add(raw)

    def release_held(self, scope: object, within: float) -> None:
        """Give back what waits here longer for its next attempt; the failures recorded in place are forgotten."""
        until = self._clock.steady() + within
        for raw in [raw for raw, (_, due) in self._timers.items() if raw.scope == scope and due > until]:
            self._timers.pop(raw)[0].cancel()
            self.end(raw, Release())

    def leave_open(self, raw: RawDelivery) -> None:
        """Hear that nobody is at work on a delivery any more, and that closing is to give it back."""
        self._left_open.add(raw)

    def hand_back(self, raw: RawDelivery) -> None:
        """Give a delivery back uncounted, when nobody is at work on it any more; the next of its lane may begin."""
        if self._lanes.done(raw):
            self._on_ready()
        self.release(raw)

    def lose(self, scope: object) -> None:
        """Stop settling what the broker has not heard of a scope."""
        self._answers.lose(scope)

    async def left(self, scope: object) -> None:
        """Return when nothing of a scope is here any more."""
        while self._answers.has_of(scope) or any(raw.scope == scope for raw in self.held):
            await self._next_end()

    async def finished_by_hand(self) -> None:
        """Return when nothing is open but what waits for its next attempt, or was left so."""
        while len(self.held - self._left_open) > len(self._timers):
            await self._next_end()

    async def settled(self) -> None:
        """Return when the broker has heard of everything."""
        while self._answers:
            await self._next_end()

    async def _next_end(self) -> None:
        if self._progress is None:
            self._progress = asyncio.Event()
        await self._progress.wait()

    def stop(self) -> None:
        """Hold nothing any more; what is unsettled stays the broker's."""
        self._stopped = True
        for timer, _ in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self.held.clear()
        self._answers.stop()

    @property
    def busy(self) -> int:
        """How many settlements the broker has not answered."""
        return len(self._answers)

    @property
    def trouble(self) -> str | None:
        """Why settlements fail at the moment."""
        return self._answers.trouble

    @property
    def holding(self) -> int:
        """How many wait in place for their next attempt."""
        return len(self._timers)


def current(raw: RawDelivery) -> Envelope:
    """Return the envelope with the attempt that is counted for it."""
    envelope = raw.envelope
    return envelope if envelope.attempt == raw.attempt else envelope._replace(attempt=raw.attempt)
