"""Animals that say of a send what is not so."""

import asyncio
from asyncio import Future, TimerHandle
from collections.abc import Callable
from functools import partial

from msgkit.envelope import Envelope, Kind, Receipt
from msgkit.errors import SendRefused, SendUnknown
from msgkit.spi import Down, Event, QueueSpec
from tests.zoo.animal import Animal, Outcome, caught_by, ignore, relay

__all__: list[str] = []


class _Late(Animal):
    def born(self) -> None:
        self.buffer: dict[TimerHandle, None] = {}

    def later(self, envelope: Envelope, then: Callable[["Future[Receipt]"], None]) -> None:
        """Write a message a little after the call."""

        def write() -> None:
            del self.buffer[timer]
            then(send(envelope))

        send = super().send
        timer = asyncio.get_running_loop().call_later(0.05, write)
        self.buffer[timer] = None

    def forget(self) -> None:
        for timer in self.buffer:
            timer.cancel()
        self.buffer.clear()

    async def close(self, deadline: float) -> None:
        self.forget()
        await super().close(deadline)


@caught_by()
class ConfirmsBeforeStoring(_Late):
    """Confirms what is still in its buffer, and loses that with the connection."""

    def send(self, envelope: Envelope) -> "Future[Receipt]":
        self.later(envelope, ignore)
        return self.confirm(envelope)

    def hear(self, tell: Callable[[Event], None], event: Event) -> None:
        if isinstance(event, Down):
            self.forget()
        super().hear(tell, event)


@caught_by()
class LeavesSendsUnanswered(_Late):
    """Forgets, when it is closed, those who wait for a confirm."""

    def send(self, envelope: Envelope) -> "Future[Receipt]":
        future = self.future()
        self.later(envelope, partial(relay, target=future))
        return future


@caught_by()
class LosesTheLastOfMany(Animal):
    """Writes together what is sent in one turn of the loop, but for the last one."""

    def born(self) -> None:
        self.batch: list[tuple[Envelope, Future[Receipt]]] = []

    def send(self, envelope: Envelope) -> "Future[Receipt]":
        if not self.batch:
            asyncio.get_running_loop().call_soon(self.flush)
        self.batch.append((envelope, self.future()))
        return self.batch[-1][1]

    def flush(self) -> None:
        batch, self.batch = self.batch, []
        last = batch[-1] if len(batch) > 1 else None
        for each in batch:
            envelope, future = each
            relay(self.confirm(envelope) if each is last else super().send(envelope), future)


class _Pairs(Animal):
    def born(self) -> None:
        self.pair: list[tuple[Envelope, Future[Receipt]]] = []

    def send(self, envelope: Envelope) -> "Future[Receipt]":
        future = self.future()
        self.pair.append((envelope, future))
        self.gathered()
        return future

    def gathered(self) -> None:
        raise NotImplementedError

    def write(self) -> None:
        for envelope, future in self.pair:
            relay(super().send(envelope), future)
        self.pair.clear()


@caught_by()
class WaitsForASecond(_Pairs):
    """Writes two messages at a time, and waits for the second as long as it takes."""

    def gathered(self) -> None:
        if len(self.pair) > 1:
            self.write()


@caught_by()
class SwapsNeighbours(_Pairs):
    """Writes the later one first of two messages that are sent at once."""

    def gathered(self) -> None:
        asyncio.get_running_loop().call_later(0.002, self.swap)

    def swap(self) -> None:
        self.pair.reverse()
        self.write()


@caught_by()
class SendsLargeBodiesAside(_Pairs):
    """Writes large bodies over a second channel, which is slower."""

    def send(self, envelope: Envelope) -> "Future[Receipt]":
        if len(envelope.body) < 64 * 1024:
            return Animal.send(self, envelope)
        return super().send(envelope)

    def gathered(self) -> None:
        asyncio.get_running_loop().call_later(0.005, self.write)


class _Revises(Animal):
    def send(self, envelope: Envelope) -> "Future[Receipt]":
        future = self.future()
        relay(super().send(envelope), future, partial(self.revise, envelope, future))
        return future

    def revise(self, envelope: Envelope, future: "Future[Receipt]", outcome: Outcome) -> Outcome | None:
        raise NotImplementedError


@caught_by()
class StoresWhatItRefuses(_Revises):
    """Says that a message was refused, and has it all the same."""

    def revise(self, envelope: Envelope, future: "Future[Receipt]", outcome: Outcome) -> Outcome | None:
        del future
        if isinstance(outcome, SendRefused) and envelope.destination in self.broker.content.queues:
            with self.broker.lock:
                self.broker.content.store(envelope)
        return outcome


@caught_by()
class SendsAgainByItself(_Revises):
    """Sends what is unknown a second time."""

    def revise(self, envelope: Envelope, future: "Future[Receipt]", outcome: Outcome) -> Outcome | None:
        if not isinstance(outcome, SendUnknown):
            return outcome
        relay(super().send(envelope), future)
        return None


@caught_by()
class CallsTheUnknownRefused(_Revises):
    """Says that a message was refused when its confirm was lost."""

    def revise(self, envelope: Envelope, future: "Future[Receipt]", outcome: Outcome) -> Outcome | None:
        del future
        return SendRefused(envelope.message_id) if isinstance(outcome, SendUnknown) else outcome


@caught_by()
class CallsTheRefusedUnknown(_Revises):
    """Says that it does not know of what the broker has refused."""

    def revise(self, envelope: Envelope, future: "Future[Receipt]", outcome: Outcome) -> Outcome | None:
        del future
        return SendUnknown(envelope.message_id) if isinstance(outcome, SendRefused) else outcome


@caught_by()
class ConfirmsWhatFailed(_Revises):
    """Takes every answer for a yes."""

    def revise(self, envelope: Envelope, future: "Future[Receipt]", outcome: Outcome) -> Outcome | None:
        del future, outcome
        return self.receipt(envelope)


@caught_by()
class MixesUpReceipts(_Revises):
    """Hands each receipt to whoever sends next."""

    def born(self) -> None:
        self.last: Envelope | None = None

    def revise(self, envelope: Envelope, future: "Future[Receipt]", outcome: Outcome) -> Outcome | None:
        del future
        last, self.last = self.last or envelope, envelope
        return self.receipt(last) if isinstance(outcome, Receipt) else outcome


@caught_by()
class FailsAllOverOne(_Revises):
    """Loses its channel, and what is sent over it, to a mistyped destination."""

    closed_until = 0.0

    def send(self, envelope: Envelope) -> "Future[Receipt]":
        if asyncio.get_running_loop().time() >= self.closed_until:
            return super().send(envelope)
        future = self.future()
        future.set_exception(SendUnknown("the channel is closed"))
        return future

    def revise(self, envelope: Envelope, future: "Future[Receipt]", outcome: Outcome) -> Outcome | None:
        del envelope, future
        if isinstance(outcome, SendRefused):
            self.closed_until = asyncio.get_running_loop().time() + 0.05
        return outcome


@caught_by()
class MakesMistypedDestinations(Animal):
    """Has whatever is sent to be there."""

    def out(self, envelope: Envelope) -> Envelope:
        content = self.broker.content
        with self.broker.lock:
            if envelope.kind is Kind.QUEUE and envelope.destination not in content.queues:
                content.add_queue(QueueSpec(name=envelope.destination))
            elif envelope.kind is Kind.EXCHANGE and envelope.destination not in content.exchanges:
                content.add_exchange(envelope.destination, "topic")
        return envelope


@caught_by()
class DropsRepeatedIds(Animal):
    """Takes a second message of the same id for the first."""

    def send(self, envelope: Envelope) -> "Future[Receipt]":
        if envelope.message_id in self.memory:
            return self.confirm(envelope)
        self.memory.add(envelope.message_id)
        return super().send(envelope)


@caught_by()
class ForgetsWhatWaits(Animal):
    """Confirms and drops what is sent while it is disconnected."""

    def send(self, envelope: Envelope) -> "Future[Receipt]":
        connected = self._session.client.connected
        return super().send(envelope) if connected else self.confirm(envelope)


@caught_by()
class RefusesWhileDisconnected(Animal):
    """Does not wait for the broker to come back."""

    def send(self, envelope: Envelope) -> "Future[Receipt]":
        if self._session.client.connected:
            return super().send(envelope)
        future = self.future()
        future.set_exception(SendRefused("not connected"))
        return future


@caught_by()
class SendsWhatWasAbandoned(Animal):
    """Says that it gave up a send, and does it when the broker is back."""

    def born(self) -> None:
        self.waiting: dict[Future[Receipt], Envelope] = {}

    def send(self, envelope: Envelope) -> "Future[Receipt]":
        sent = super().send(envelope)
        self.waiting[sent] = envelope
        return sent

    def abandon(self, sent: "Future[Receipt]") -> bool:
        if not super().abandon(sent):
            return False
        ignore(super().send(self.waiting.pop(sent)))
        return True


@caught_by()
class AbandonsNothing(Animal):
    """Says of what it never wrote that it may have been written."""

    def abandon(self, sent: "Future[Receipt]") -> bool:
        super().abandon(sent)
        return False


@caught_by()
class TakesTheAbandonedForUnwritten(Animal):
    """Says of what the broker may have that it was never written."""

    def abandon(self, sent: "Future[Receipt]") -> bool:
        super().abandon(sent)
        return True


@caught_by()
class NeedsNoRoute(Animal):
    """Takes what nobody gets, though a route was required."""

    def out(self, envelope: Envelope) -> Envelope:
        return envelope._replace(require_route=False)


@caught_by()
class NeedsARoute(Animal):
    """Refuses what is sent to an exchange that nobody listens to."""

    def out(self, envelope: Envelope) -> Envelope:
        return envelope._replace(require_route=envelope.kind is Kind.EXCHANGE)


@caught_by()
class IsNeverWritable(Animal):
    """Has those who send many wait for ever."""

    async def writable(self) -> None:
        await asyncio.Event().wait()


@caught_by()
class SendsAfterClosing(Animal):
    """Takes messages when it is closed."""

    closed = False

    def send(self, envelope: Envelope) -> "Future[Receipt]":
        if not self.closed:
            return super().send(envelope)
        with self.broker.lock:
            self.broker.content.store(envelope)
        return self.confirm(envelope)

    async def close(self, deadline: float) -> None:
        await super().close(deadline)
        self.closed = True


@caught_by()
class SendsEverythingTwice(Animal):
    """Stores each message twice."""

    def send(self, envelope: Envelope) -> "Future[Receipt]":
        ignore(super().send(envelope))
        return super().send(envelope)


@caught_by()
class LosesEveryTenth(Animal):
    """Confirms every tenth message without storing it."""

    number = 0

    def send(self, envelope: Envelope) -> "Future[Receipt]":
        self.number += 1
        return super().send(envelope) if self.number % 10 else self.confirm(envelope)
