"""Animals that say of a send what is not so."""

import asyncio
from asyncio import Future
from functools import partial

from msgkit.envelope import Envelope, Kind, Receipt
from msgkit.errors import SendRefused, SendUnknown
from msgkit.spi import QueueSpec
from tests.zoo.animal import Animal, Outcome, caught_by, ignore, relay

__all__: list[str] = []


class _Revises(Animal):
    def send(self, envelope: Envelope) -> "Future[Receipt]":
        future = self.future()
        relay(super().send(envelope), future, partial(self.revise, envelope, future))
        return future

    def revise(self, envelope: Envelope, future: "Future[Receipt]", outcome: Outcome) -> Outcome | None:
        raise NotImplementedError


@caught_by("what_the_broker_refuses_is_nowhere")
class StoresWhatItRefuses(_Revises):
    """Says that a message was refused, and has it all the same."""

    def revise(self, envelope: Envelope, future: "Future[Receipt]", outcome: Outcome) -> Outcome | None:
        del future
        if isinstance(outcome, SendRefused) and envelope.destination in self.broker.content.queues:
            with self.broker.lock:
                self.broker.content.store(envelope)
        return outcome


@caught_by("a_lost_confirm_is_unknown_and_nothing_is_there_twice")
class SendsAgainByItself(_Revises):
    """Sends what is unknown a second time."""

    def revise(self, envelope: Envelope, future: "Future[Receipt]", outcome: Outcome) -> Outcome | None:
        if not isinstance(outcome, SendUnknown):
            return outcome
        relay(super().send(envelope), future)
        return None


@caught_by("a_lost_confirm_is_unknown_and_nothing_is_there_twice")
class CallsTheUnknownRefused(_Revises):
    """Says that a message was refused when its confirm was lost."""

    def revise(self, envelope: Envelope, future: "Future[Receipt]", outcome: Outcome) -> Outcome | None:
        del future
        return SendRefused(envelope.message_id) if isinstance(outcome, SendUnknown) else outcome


@caught_by("an_exchange_that_is_absent_refuses_and_is_not_made")
class CallsTheRefusedUnknown(_Revises):
    """Says that it does not know of what the broker has refused."""

    def revise(self, envelope: Envelope, future: "Future[Receipt]", outcome: Outcome) -> Outcome | None:
        del future
        return SendUnknown(envelope.message_id) if isinstance(outcome, SendRefused) else outcome


@caught_by("what_the_broker_refuses_is_nowhere", "a_pipeline_fails_as_a_group_and_delivers_the_rest")
class ConfirmsWhatFailed(_Revises):
    """Takes every answer for a yes."""

    def revise(self, envelope: Envelope, future: "Future[Receipt]", outcome: Outcome) -> Outcome | None:
        del future, outcome
        return self.receipt(envelope)


@caught_by("sends_side_by_side_get_the_receipts_of_their_own_messages", "a_list_is_stored_in_its_order")
class MixesUpReceipts(_Revises):
    """Hands each receipt to whoever sends next."""

    def born(self) -> None:
        self.last: Envelope | None = None

    def revise(self, envelope: Envelope, future: "Future[Receipt]", outcome: Outcome) -> Outcome | None:
        del future
        last, self.last = self.last or envelope, envelope
        return self.receipt(last) if isinstance(outcome, Receipt) else outcome


@caught_by("a_queue_that_is_absent_refuses_and_is_not_made", "a_refused_send_harms_no_other_and_no_consumer")
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


@caught_by(
    "an_exchange_that_is_absent_refuses_and_is_not_made",
    "a_queue_that_is_absent_refuses_and_is_not_made",
    "a_blocking_template_keeps_the_same_promises",
    "sends_side_by_side_get_the_receipts_of_their_own_messages",
)
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


@caught_by("one_message_id_twice_is_two_messages_with_a_receipt_each")
class DropsRepeatedIds(Animal):
    """Takes a second message of the same id for the first."""

    def send(self, envelope: Envelope) -> "Future[Receipt]":
        if envelope.message_id in self.memory:
            return self.confirm(envelope)
        self.memory.add(envelope.message_id)
        return super().send(envelope)


@caught_by(
    "a_killed_broker_loses_no_confirmed_message",
    "a_lost_connection_loses_no_confirmed_message",
    "a_broker_restart_loses_no_confirmed_message",
)
class ForgetsWhatWaits(Animal):
    """Confirms and drops what is sent while it is disconnected."""

    def send(self, envelope: Envelope) -> "Future[Receipt]":
        connected = self._session.client.connected
        return super().send(envelope) if connected else self.confirm(envelope)


@caught_by(
    "a_send_waits_for_the_broker_to_come_back",
    "a_receiver_recovers",
    "every_queue_of_an_exchange_keeps_its_copy_through_a_fault",
)
class RefusesWhileDisconnected(Animal):
    """Does not wait for the broker to come back."""

    def send(self, envelope: Envelope) -> "Future[Receipt]":
        if self._session.client.connected:
            return super().send(envelope)
        future = self.future()
        future.set_exception(SendRefused("not connected"))
        return future


@caught_by("a_send_that_is_cancelled_while_it_waits_stores_nothing")
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


@caught_by("a_send_that_waited_in_vain_is_refused_and_never_arrives")
class AbandonsNothing(Animal):
    """Says of what it never wrote that it may have been written."""

    def abandon(self, sent: "Future[Receipt]") -> bool:
        super().abandon(sent)
        return False


@caught_by("a_send_to_a_frozen_broker_is_unknown_when_its_time_is_up")
class TakesTheAbandonedForUnwritten(Animal):
    """Says of what the broker may have that it was never written."""

    def abandon(self, sent: "Future[Receipt]") -> bool:
        super().abandon(sent)
        return True


@caught_by("a_route_may_be_required")
class NeedsNoRoute(Animal):
    """Takes what nobody gets, though a route was required."""

    def out(self, envelope: Envelope) -> Envelope:
        return envelope._replace(require_route=False)


@caught_by("sending_to_an_exchange_that_nobody_listens_to_succeeds", "a_receipt_says_which_message_went_where")
class NeedsARoute(Animal):
    """Refuses what is sent to an exchange that nobody listens to."""

    def out(self, envelope: Envelope) -> Envelope:
        return envelope._replace(require_route=envelope.kind is Kind.EXCHANGE)


@caught_by("what_was_received_is_accepted_on_a_clean_exit")
class IsNeverWritable(Animal):
    """Has those who send many wait for ever."""

    async def writable(self) -> None:
        await asyncio.Event().wait()


@caught_by("what_is_sent_after_closing_is_refused")
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


@caught_by(
    "a_body_above_the_limit_is_refused_and_harms_nobody",
    "a_template_that_is_closed_while_it_connects_leaves_nothing",
    "a_send_that_is_cancelled_after_it_was_written_is_not_sent_again",
    "a_batch_that_does_not_fill_is_handled_in_time",
    "a_destination_lives_on_its_own_broker",
)
class SendsEverythingTwice(Animal):
    """Stores each message twice."""

    def send(self, envelope: Envelope) -> "Future[Receipt]":
        ignore(super().send(envelope))
        return super().send(envelope)


@caught_by(
    "a_pipeline_that_is_left_by_an_error_has_sent_what_it_sent",
    "a_listener_carries_from_one_broker_to_the_other",
    "what_is_taken_from_its_consumer_is_handled_all_the_same",
    "a_pipeline_of_one_at_a_time_comes_to_an_end",
    "batches_of_payloads_may_be_handled_in_a_thread",
    "a_frozen_broker_loses_no_confirmed_message",
    "a_slow_broker_neither_loses_nor_repeats_anything",
    "a_full_batch_is_handled_at_once",
)
class LosesEveryTenth(Animal):
    """Confirms every tenth message without storing it."""

    number = 0

    def send(self, envelope: Envelope) -> "Future[Receipt]":
        self.number += 1
        return super().send(envelope) if self.number % 10 else self.confirm(envelope)
