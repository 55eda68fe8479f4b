"""Animals that end deliveries wrongly, or forget how they ended."""

import asyncio
from asyncio import Future
from collections import Counter
from collections.abc import Hashable, Sequence

from msgkit.envelope import Envelope, Kind
from msgkit.errors import DeliveryLost
from msgkit.settlement import ACCEPT, Accept
from msgkit.spi import Dead, RawDelivery, RawSettlement, Release, RetryCopy
from tests.zoo.animal import Animal, Line, caught_by, ignore, settled

__all__: list[str] = []


@caught_by()
class DropsWhatIsReleased(Animal):
    """Forgets what is given back unhandled."""

    def settle(self, line: Line, raw: RawDelivery, how: RawSettlement) -> "Future[None] | None":
        return super().settle(line, raw, ACCEPT if isinstance(how, Release) else how)

    async def leave(self, line: Line) -> None:
        for raw in list(line.held):
            line.settle(raw, Release())
        await super().leave(line)


@caught_by()
class AcceptsBeforeHandling(Animal):
    """Takes what it delivers for handled."""

    def deliver(self, line: Line, batch: Sequence[RawDelivery]) -> None:
        for raw in batch:
            line.consumer.settle(raw, ACCEPT)
        super().deliver(line, batch)

    def settle(self, line: Line, raw: RawDelivery, how: RawSettlement) -> "Future[None] | None":
        del line, raw
        return settled(self.send(how.copy)) if isinstance(how, Dead | RetryCopy) else None


@caught_by()
class AcceptsAllBefore(Animal):
    """Accepts with a delivery all that were delivered before it."""

    def settle(self, line: Line, raw: RawDelivery, how: RawSettlement) -> "Future[None] | None":
        if isinstance(how, Accept):
            earlier = list(line.held)[: list(line.held).index(raw)] if raw in line.held else []
            for each in earlier:
                ignore(line.consumer.settle(each, ACCEPT))
                del line.held[each]
        # What was accepted along with another cannot be settled again, and seems to be.
        return super().settle(line, raw, how) if raw in line.held else None


@caught_by()
class SettlesTwice(Animal):
    """Settles each delivery a second time, which the broker does not like."""

    def settle(self, line: Line, raw: RawDelivery, how: RawSettlement) -> "Future[None] | None":
        ignore(super().settle(line, raw, how))
        return super().settle(line, raw, how)


@caught_by()
class ForgetsToAccept(Animal):
    """Keeps every fifth accepted message for later."""

    number = 0

    def settle(self, line: Line, raw: RawDelivery, how: RawSettlement) -> "Future[None] | None":
        self.number += isinstance(how, Accept)
        if isinstance(how, Accept) and self.number % 5 == 0:
            how = Release()
        return super().settle(line, raw, how)


@caught_by()
class SettlesTheLostInSilence(Animal):
    """Says yes to the settlement of what is another's."""

    def settle(self, line: Line, raw: RawDelivery, how: RawSettlement) -> "Future[None] | None":
        future = super().settle(line, raw, how)
        lost = future is not None and future.done() and isinstance(future.exception(), DeliveryLost)
        return None if lost else future


@caught_by()
class NeverAsksTheBroker(Animal):
    """Takes a settlement for done once it is written."""

    def settle(self, line: Line, raw: RawDelivery, how: RawSettlement) -> "Future[None] | None":
        ignore(super().settle(line, raw, how))
        return None


@caught_by()
class AnswersNoSettlement(Animal):
    """Settles, and never says so."""

    def settle(self, line: Line, raw: RawDelivery, how: RawSettlement) -> "Future[None] | None":
        ignore(super().settle(line, raw, how))
        return asyncio.get_running_loop().create_future()


@caught_by()
class LosesWhatWasInFlight(Animal):
    """Takes what comes back after a loss for handled."""

    def lose(self, line: Line, scope: Hashable) -> None:
        self.memory.update(raw.envelope.message_id for raw in line.held if raw.scope == scope)
        super().lose(line, scope)

    def deliver(self, line: Line, batch: Sequence[RawDelivery]) -> None:
        for raw in batch:
            if raw.envelope.message_id in self.memory:
                line.consumer.settle(raw, ACCEPT)
        super().deliver(line, [raw for raw in batch if raw.envelope.message_id not in self.memory])


@caught_by()
class KeepsLossesToItself(Animal):
    """Does not say that deliveries are another's now."""

    def lose(self, line: Line, scope: Hashable) -> None:
        """Say nothing."""


@caught_by()
class KeepsItsScope(Animal):
    """Calls all deliveries of a consumer by one scope, whatever was lost before."""

    def deliver(self, line: Line, batch: Sequence[RawDelivery]) -> None:
        for raw in batch:
            raw.scope = line.queue.name
        super().deliver(line, batch)

    def lose(self, line: Line, scope: Hashable) -> None:
        del scope
        super().lose(line, line.queue.name)


@caught_by()
class RevokesWithoutWaiting(Animal):
    """Takes deliveries back at once from whoever could still have finished."""

    async def revoke(self, line: Line, scope: Hashable, deadline: float) -> None:
        del deadline
        self.lose(line, scope)


@caught_by()
class RevokesInSilence(Animal):
    """Gives deliveries to others without a word to who has them."""

    async def revoke(self, line: Line, scope: Hashable, deadline: float) -> None:
        """Say nothing."""

    def lose(self, line: Line, scope: Hashable) -> None:
        """Say nothing."""


@caught_by()
class RenewsNoLeases(Animal):
    """Lets the lease of a delivery run out while it is being handled."""

    def deliver(self, line: Line, batch: Sequence[RawDelivery]) -> None:
        super().deliver(line, batch)
        expire = self.broker.faults.expire
        asyncio.get_running_loop().call_later(0.2, expire, line.queue.name)


@caught_by()
class LosesWhatItHolds(Animal):
    """Forgets, when a consumer goes, what it had and did not handle."""

    async def leave(self, line: Line) -> None:
        for raw in list(line.held):
            ignore(line.consumer.settle(raw, ACCEPT))
        await super().leave(line)


@caught_by()
class SendsTheReleasedToTheEnd(Animal):
    """Puts what is given back behind all that waits."""

    def settle(self, line: Line, raw: RawDelivery, how: RawSettlement) -> "Future[None] | None":
        if not isinstance(how, Release):
            return super().settle(line, raw, how)
        self.put(line.queue, raw.envelope)
        return super().settle(line, raw, ACCEPT)

    async def leave(self, line: Line) -> None:
        for raw in list(line.held):
            line.settle(raw, Release())
        await super().leave(line)


# -- attempts


@caught_by()
class ForgetsAttempts(Animal):
    """Calls every attempt the first."""

    def deliver(self, line: Line, batch: Sequence[RawDelivery]) -> None:
        for raw in batch:
            raw.attempt = 1
        super().deliver(line, batch)


@caught_by()
class InflatesAttempts(Animal):
    """Counts each failure twice."""

    def deliver(self, line: Line, batch: Sequence[RawDelivery]) -> None:
        for raw in batch:
            raw.attempt = 2 * raw.attempt - 1
        super().deliver(line, batch)


@caught_by()
class CountsReleases(Animal):
    """Takes what is given back for failed."""

    def settle(self, line: Line, raw: RawDelivery, how: RawSettlement) -> "Future[None] | None":
        if isinstance(how, Release):
            how = RetryCopy(0.0, raw.envelope)
        return super().settle(line, raw, how)

    async def leave(self, line: Line) -> None:
        for raw in list(line.held):
            line.settle(raw, Release())
        await super().leave(line)


class _Deliveries(Animal):
    """Counts deliveries at the client, where it is forgotten with it."""

    def born(self) -> None:
        self.count = Counter[str]()


@caught_by()
class CountsDeliveries(_Deliveries):
    """Takes the number of deliveries for that of attempts, losses and releases included."""

    def deliver(self, line: Line, batch: Sequence[RawDelivery]) -> None:
        for raw in batch:
            self.count[raw.envelope.message_id] += 1
            raw.attempt = self.count[raw.envelope.message_id]
        super().deliver(line, batch)


@caught_by()
class CountsAttemptsAtTheClient(_Deliveries):
    """Remembers failures only as long as its application runs."""

    def deliver(self, line: Line, batch: Sequence[RawDelivery]) -> None:
        for raw in batch:
            raw.attempt = 1 + self.count[raw.envelope.message_id]
        super().deliver(line, batch)

    def settle(self, line: Line, raw: RawDelivery, how: RawSettlement) -> "Future[None] | None":
        self.count[raw.envelope.message_id] += isinstance(how, RetryCopy)
        return super().settle(line, raw, how)


@caught_by()
class GivesUpOnReceipt(Animal):
    """Takes away what was tried three times, whoever wants to try again."""

    def deliver(self, line: Line, batch: Sequence[RawDelivery]) -> None:
        for raw in batch:
            if raw.attempt > 3 and line.queue.dead_letters:
                copy = raw.envelope._replace(destination=line.queue.dead_letters, kind=Kind.QUEUE)
                line.consumer.settle(raw, Dead(copy))
        super().deliver(line, [raw for raw in batch if raw.attempt <= 3])


@caught_by()
class CountsNoCrashes(Animal):
    """Has a message kill its process for ever."""

    def deliver(self, line: Line, batch: Sequence[RawDelivery]) -> None:
        for raw in batch:
            raw.crashes = 0
        super().deliver(line, batch)


@caught_by()
class TakesLeavingForACrash(Animal):
    """Counts a consumer that leaves among those that a message has killed."""

    async def leave(self, line: Line) -> None:
        with self.broker.lock:
            for taker in self.server(line.queue).takers:
                if taker.unsettled >= set(line.held):
                    taker.queue.reclaim(taker, crashed=True)
        await super().leave(line)


# -- retries


@caught_by()
class RetriesAtOnce(Animal):
    """Does not wait before the next attempt."""

    def settle(self, line: Line, raw: RawDelivery, how: RawSettlement) -> "Future[None] | None":
        if isinstance(how, RetryCopy):
            how = RetryCopy(0.0, how.copy)
        return super().settle(line, raw, how)


@caught_by()
class RetriesLate(Animal):
    """Waits a second longer than it was asked to."""

    def settle(self, line: Line, raw: RawDelivery, how: RawSettlement) -> "Future[None] | None":
        if isinstance(how, RetryCopy):
            how = RetryCopy(how.after + 1.5, how.copy)
        return super().settle(line, raw, how)


@caught_by()
class RetriesInFront(Animal):
    """Holds everything up until the next attempt."""

    def settle(self, line: Line, raw: RawDelivery, how: RawSettlement) -> "Future[None] | None":
        if isinstance(how, RetryCopy):
            with self.broker.lock:
                for taker in self.server(line.queue).takers:
                    taker.queue.bench(taker)
                    asyncio.get_running_loop().call_later(how.after, self.go_on, line)
        return super().settle(line, raw, how)

    def go_on(self, line: Line) -> None:
        with self.broker.lock:
            for taker in self.server(line.queue).takers:
                taker.queue.join(taker)


class _Copies(Animal):
    def settle(self, line: Line, raw: RawDelivery, how: RawSettlement) -> "Future[None] | None":
        if not isinstance(how, RetryCopy):
            return super().settle(line, raw, how)
        ignore(super().settle(line, raw, ACCEPT))
        return settled(self.send(self.copy(raw, how)))

    def copy(self, raw: RawDelivery, how: RetryCopy) -> Envelope:
        del raw
        return how.copy


@caught_by()
class LetsRetriesBeOvertaken(_Copies):
    """Retries with a copy, behind what follows it in its lane."""


@caught_by()
class RetriesEverywhere(_Copies):
    """Retries with a copy to the exchange that the message came from."""

    def copy(self, raw: RawDelivery, how: RetryCopy) -> Envelope:
        origin = raw.envelope
        return how.copy._replace(destination=origin.destination, kind=origin.kind)


@caught_by()
class RetriesWithoutHeaders(_Copies):
    """Retries with a copy that has only the body."""

    def copy(self, raw: RawDelivery, how: RetryCopy) -> Envelope:
        del raw
        return how.copy._replace(headers={}, subject=None)


@caught_by()
class RetriesThatNeverExpire(_Copies):
    """Retries with a copy that has all the time in the world."""

    def copy(self, raw: RawDelivery, how: RetryCopy) -> Envelope:
        del raw
        return how.copy._replace(expires_at=None)
