"""Animals that write messages late, in the wrong order, or not at all."""

import asyncio
from asyncio import Future, TimerHandle
from collections.abc import Callable
from functools import partial

from msgkit.envelope import Envelope, Receipt
from msgkit.spi import Down, Event
from tests.zoo.animal import Animal, caught_by, ignore, relay

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


@caught_by(
    "a_lost_connection_loses_no_confirmed_message",
    "a_send_that_never_reached_its_broker_is_refused_when_its_time_is_up",
    "a_receipt_means_that_a_fresh_consumer_gets_the_message",
    "no_more_is_in_flight_than_a_pipeline_allows",
    "leaving_a_pipeline_waits_for_every_confirmation",
)
class ConfirmsBeforeStoring(_Late):
    """Confirms what is still in its buffer, and loses that with the connection."""

    def send(self, envelope: Envelope) -> "Future[Receipt]":
        self.later(envelope, ignore)
        return self.confirm(envelope)

    def hear(self, tell: Callable[[Event], None], event: Event) -> None:
        if isinstance(event, Down):
            self.forget()
        super().hear(tell, event)


@caught_by("closing_leaves_no_send_without_an_answer")
class LeavesSendsUnanswered(_Late):
    """Forgets, when it is closed, those who wait for a confirm."""

    def send(self, envelope: Envelope) -> "Future[Receipt]":
        future = self.future()
        self.later(envelope, partial(relay, target=future))
        return future


@caught_by(
    "senders_of_one_client_do_not_disturb_each_others_order", "without_a_fault_nothing_is_lost_and_nothing_comes_twice"
)
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


@caught_by("a_pipeline_of_one_at_a_time_comes_to_an_end")
class WaitsForASecond(_Pairs):
    """Writes two messages at a time, and waits for the second as long as it takes."""

    def gathered(self) -> None:
        if len(self.pair) > 1:
            self.write()


@caught_by("pipelined_sends_are_stored_in_call_order")
class SwapsNeighbours(_Pairs):
    """Writes the later one first of two messages that are sent at once."""

    def gathered(self) -> None:
        asyncio.get_running_loop().call_later(0.002, self.swap)

    def swap(self) -> None:
        self.pair.reverse()
        self.write()


@caught_by("bodies_of_many_sizes_do_not_overtake_each_other")
class SendsLargeBodiesAside(_Pairs):
    """Writes large bodies over a second channel, which is slower."""

    def send(self, envelope: Envelope) -> "Future[Receipt]":
        if len(envelope.body) < 64 * 1024:
            return Animal.send(self, envelope)
        return super().send(envelope)

    def gathered(self) -> None:
        asyncio.get_running_loop().call_later(0.005, self.write)
