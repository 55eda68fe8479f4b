"""Queues and those who take from them. Everything here is called with the server's lock held."""

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from itertools import count
from typing import Protocol

from msgkit.clock import Clock
from msgkit.envelope import Envelope
from msgkit.spi import Depth, QueueSpec
from msgkit_memory.due import Ticket
from msgkit_memory.log import Log
from msgkit_memory.ready import Fifo, Lanes, Prioritized, Ready
from msgkit_memory.stored import Guard, Parked, Stored

__all__ = ["ServerQueue", "Taker", "TakerEars"]

_numbers = count(1)


class TakerEars(Protocol):
    """What a consumer is told. Called under the lock, from any thread: pass it on and return."""

    def wake(self) -> None:
        """Look into the inbox, and at what was lost."""
        ...

    def revoke(self, deadline: float, done: Callable[[], None], /) -> None:
        """Let the core finish, give the rest back, come back into the round, call `done`."""
        ...


class Taker:
    """The server's side of a consumer: what it may have, and what it has."""

    __slots__ = (
        "active",
        "bytes",
        "credit",
        "ears",
        "in_round",
        "inbox",
        "lost",
        "max_bytes",
        "queue",
        "scope",
        "unsettled",
        "woken",
    )

    def __init__(self, queue: "ServerQueue", ears: TakerEars, max_bytes: int) -> None:
        self.queue = queue
        self.ears = ears
        self.max_bytes = max_bytes
        #: Does it want anything at all?
        self.active = False
        #: Is it among those that something may be handed to now?
        self.in_round = False
        self.credit = 0
        #: Handed out, and not yet seen by the consumer.
        self.inbox: list[Stored] = []
        #: Handed out; what is in the inbox included.
        self.unsettled: set[Stored] = set()
        #: Of the bodies of the unsettled.
        self.bytes = 0
        #: Scopes whose deliveries are others' now, and of which the consumer was not told yet.
        self.lost: list[Hashable] = []
        self.woken = False
        self.scope = self.new_scope()

    def new_scope(self) -> Hashable:
        return self.queue.name, next(_numbers)

    def let_go(self, stored: Stored) -> None:
        """Have one unsettled less."""
        self.unsettled.remove(stored)
        self.bytes -= len(stored.envelope.body)
        if self.credit and not self.in_round:
            self.queue.enter(self)

    def wake(self) -> None:
        if not self.woken:
            self.woken = True
            self.ears.wake()


class ServerQueue:
    """What waits for one group of competing consumers, and who is next.

    At the end of each call, nothing that may be delivered waits while somebody has credit.
    """

    __slots__ = (
        "_clock",
        "_lanes",
        "_parked",
        "_places",
        "_ready",
        "_round",
        "anonymous",
        "delayed",
        "expired",
        "log",
        "name",
        "ordered",
        "plain",
        "priorities",
        "takers",
    )

    def __init__(self, spec: QueueSpec, places: Iterator[int], clock: Clock, log: Log | None) -> None:
        self.name = spec.name
        self.ordered = spec.ordered
        self.priorities = spec.priorities
        self.anonymous = spec.anonymous
        self.log = log
        self.takers: list[Taker] = []
        #: Held for a retry, or sent here with a delay and without a place yet.
        self.delayed: dict[Stored, Ticket] = {}
        #: How many were dropped because their time was over.
        self.expired = 0
        #: Is there nothing to do when a message ends?
        self.plain = not spec.ordered
        self._clock = clock
        self._places = places
        self._parked: Parked = {}
        self._lanes = Lanes() if spec.ordered else None
        self._ready = _unordered(spec.priorities) if self._lanes is None else self._lanes
        #: Those with credit, the next one first.
        self._round: deque[Taker] = deque()

    # -- in

    def put(self, envelope: Envelope, guard: Guard | None = None) -> None:
        """Take in a new message."""
        stored = Stored(envelope, envelope.attempt, 0, next(self._places))
        if guard is not None:
            stored.guard = guard
            self.plain = False
        if self._lanes is None and self._round and envelope.expires_at is None:
            self._hand_out(stored)
        else:
            self._ready.push(stored)
            if self._round:
                self.pump()

    def later(self, envelope: Envelope) -> Stored:
        """Return what a message becomes that is sent here with a delay: it has no place yet."""
        return Stored(envelope, envelope.attempt, 0, 0)

    def due(self, stored: Stored) -> None:
        """Let in what was held: behind the others, but a lane's head at its old place."""
        del self.delayed[stored]
        if self._lanes is not None and stored.place:
            self._ready.restore(stored)
        else:
            stored.place = next(self._places)
            self._ready.push(stored)
        self.pump()

    # -- out

    def pump(self) -> None:
        """Hand out what may be, as long as somebody wants it."""
        while self._round:
            stored = self._ready.pop()
            if stored is None:
                return
            expires_at = stored.envelope.expires_at
            if expires_at is not None and expires_at <= self._clock.now():
                self.expired += 1
                self._let_go(stored)
            else:
                self._hand_out(stored)

    def _hand_out(self, stored: Stored) -> None:
        taker = self._round[0]
        taker.credit -= 1
        taker.bytes += len(stored.envelope.body)
        if taker.credit and taker.bytes < taker.max_bytes:
            self._round.rotate(-1)
        else:
            self._round.popleft()
            taker.in_round = False
        if self._parked:
            stored.follows = self._predecessor(stored)
        stored.scope = taker.scope
        taker.unsettled.add(stored)
        taker.inbox.append(stored)
        if not taker.woken:
            taker.woken = True
            taker.ears.wake()

    def _predecessor(self, stored: Stored) -> str | None:
        """Return the id of the dead letter that a message follows; none follows itself."""
        key = stored.envelope.key
        if key is None or key not in self._parked:
            return None
        first = next(iter(self._parked[key])).message_id
        return None if first == stored.envelope.message_id else first

    # -- how a delivery ends

    def gone(self, stored: Stored) -> None:
        """Forget a message that has ended; what waited for that may come."""
        self._let_go(stored)
        if self._lanes is not None and self._round:
            self.pump()

    def _let_go(self, stored: Stored) -> None:
        if stored.guard is not None:
            stored.guard.lift()
        if self._lanes is not None:
            self._lanes.ended(stored)

    def put_back(self, stored: Stored) -> None:
        """Take back one message, at its old place."""
        self._ready.restore(stored.again())
        self.pump()

    def guard(self, stored: Stored, message_id: str) -> Guard | None:
        """Have successors follow a dead letter, where order is strict."""
        key = stored.envelope.key
        if self.ordered != "strict" or key is None:
            return None
        return Guard(self._parked, key, message_id)

    # -- who takes

    def join(self, taker: Taker) -> None:
        """Let it take part in the round."""
        if taker not in self.takers:
            self.takers.append(taker)
        taker.active = True
        self.enter(taker)

    def enter(self, taker: Taker) -> None:
        """Let something be handed to it, if it wants and may have it."""
        if not taker.in_round and taker.active and taker.credit and taker.bytes < taker.max_bytes:
            taker.in_round = True
            self._round.append(taker)
            self.pump()

    def go_on(self) -> None:
        """Hand out what was taken back."""
        for taker in tuple(self.takers):
            self.enter(taker)
        self.pump()

    def leave(self, taker: Taker) -> None:
        """Know it no longer. What it has is to be reclaimed."""
        self.bench(taker)
        if taker in self.takers:
            self.takers.remove(taker)

    def bench(self, taker: Taker) -> None:
        """Give it nothing more; what it has stays its own."""
        taker.active = False
        if taker.in_round:
            taker.in_round = False
            self._round.remove(taker)

    def grant(self, taker: Taker, n: int) -> None:
        taker.credit += n
        if not taker.in_round:
            self.enter(taker)

    def recall(self, taker: Taker) -> None:
        """Take back what the consumer has not seen. It has to go on after."""
        for stored in taker.inbox:
            taker.unsettled.remove(stored)
            taker.bytes -= len(stored.envelope.body)
            self._ready.restore(stored.again())
        taker.credit += len(taker.inbox)
        taker.inbox.clear()

    def reclaim(self, taker: Taker, *, crashed: bool) -> None:
        """Take back all it has. It has to go on after.

        `crashed` counts against what the consumer has seen, and nothing else.
        """
        self.recall(taker)
        for stored in taker.unsettled:
            self._ready.restore(stored.again(crashes=int(crashed)))
        if taker.unsettled:
            taker.lost.append(taker.scope)
        taker.unsettled.clear()
        taker.bytes = 0
        taker.scope = taker.new_scope()

    # -- looking, and all at once

    def depth(self) -> Depth:
        unsettled = sum(len(taker.unsettled) for taker in self.takers)
        held_up = 0
        if self._lanes is not None:
            held_up = sum(self._lanes.behind(stored) for stored in self.delayed if stored.place)
        ready = len(self._ready) - held_up
        return Depth(ready=ready, unsettled=unsettled, delayed=len(self.delayed) + held_up)

    def waiting(self, limit: int | None = None) -> list[Envelope]:
        now = self._clock.now()
        return [s.envelope for s in self._ready.waiting() if not _over(s.envelope, now)][:limit]

    def purge(self) -> int:
        """Drop what waits, now or for later; what consumers have stays theirs."""
        dropped = self._ready.clear()
        self._lift_guards(dropped)
        held, self.delayed = self.delayed, {}
        for stored, ticket in held.items():
            ticket.cancel()
            if stored.place:
                self.gone(stored)
        return len(dropped) + len(held)

    @staticmethod
    def _lift_guards(dropped: Iterable[Stored]) -> None:
        for stored in dropped:
            if stored.guard is not None:
                stored.guard.lift()

    def refill(self, envelopes: Iterable[Envelope], keep: Callable[[Envelope], bool]) -> int:
        """Let wait what is given, in that order, and before it what waits and is to be kept."""
        waiting = {id(stored.envelope): stored for stored in self._ready.clear()}
        taken = {id(s.envelope) for taker in self.takers for s in taker.unsettled}
        taken.update(id(stored.envelope) for stored in self.delayed)
        again: list[Stored] = []
        for envelope in envelopes:
            if id(envelope) not in taken:
                known = waiting.pop(id(envelope), None)
                again.append(known or Stored(envelope, envelope.attempt, 0, 0))
        kept = [stored for stored in waiting.values() if keep(stored.envelope)]
        self._lift_guards(stored for stored in waiting.values() if not keep(stored.envelope))
        for stored in kept + again:
            stored.place = next(self._places)
            self._ready.push(stored)
        self.pump()
        return len(kept) + len(again)


def _unordered(priorities: int | None) -> Ready:
    return Fifo() if priorities is None else Prioritized(priorities)


def _over(envelope: Envelope, now: float) -> bool:
    return envelope.expires_at is not None and envelope.expires_at <= now
