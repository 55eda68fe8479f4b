"""Animals that count attempts wrongly, or try again badly."""

import asyncio
from asyncio import Future
from collections import Counter
from collections.abc import Sequence

from msgkit.envelope import Envelope, Kind
from msgkit.settlement import ACCEPT
from msgkit.spi import Dead, RawDelivery, RawSettlement, Release, RetryCopy
from tests.zoo.animal import Animal, Line, caught_by, ignore, settled

__all__: list[str] = []


@caught_by(
    "attempts_are_counted_exactly", "pauses_grow_from_attempt_to_attempt", "a_handler_may_retry_and_reject_by_hand"
)
class ForgetsAttempts(Animal):
    """Calls every attempt the first."""

    def deliver(self, line: Line, batch: Sequence[RawDelivery]) -> None:
        for raw in batch:
            raw.attempt = 1
        super().deliver(line, batch)


@caught_by(
    "attempts_are_counted_exactly",
    "a_retry_asked_for_counts_as_an_attempt",
    "a_message_is_given_up_after_its_last_attempt",
    "a_failing_message_fails_no_other",
)
class InflatesAttempts(Animal):
    """Counts each failure twice."""

    def deliver(self, line: Line, batch: Sequence[RawDelivery]) -> None:
        for raw in batch:
            raw.attempt = 2 * raw.attempt - 1
        super().deliver(line, batch)


@caught_by(
    "a_release_counts_as_no_attempt",
    "a_batch_that_is_still_gathered_goes_back_at_stop",
    "what_was_received_goes_back_uncounted_on_an_error",
    "what_is_released_comes_again_at_once_and_uncounted",
)
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


@caught_by(
    "a_handler_that_was_asked_to_finish_is_not_cancelled",
    "a_lost_delivery_is_no_failure",
    "order_survives_a_lost_connection",
)
class CountsDeliveries(_Deliveries):
    """Takes the number of deliveries for that of attempts, losses and releases included."""

    def deliver(self, line: Line, batch: Sequence[RawDelivery]) -> None:
        for raw in batch:
            self.count[raw.envelope.message_id] += 1
            raw.attempt = self.count[raw.envelope.message_id]
        super().deliver(line, batch)


@caught_by(
    "attempts_are_kept_from_one_application_to_the_next", "exhaustion_is_decided_after_a_failure_and_never_on_receipt"
)
class CountsAttemptsAtTheClient(_Deliveries):
    """Remembers failures only as long as its application runs."""

    def deliver(self, line: Line, batch: Sequence[RawDelivery]) -> None:
        for raw in batch:
            raw.attempt = 1 + self.count[raw.envelope.message_id]
        super().deliver(line, batch)

    def settle(self, line: Line, raw: RawDelivery, how: RawSettlement) -> "Future[None] | None":
        self.count[raw.envelope.message_id] += isinstance(how, RetryCopy)
        return super().settle(line, raw, how)


@caught_by("attempts_are_counted_exactly", "a_failing_message_makes_no_hot_loop")
class GivesUpOnReceipt(Animal):
    """Takes away what was tried three times, whoever wants to try again."""

    def deliver(self, line: Line, batch: Sequence[RawDelivery]) -> None:
        for raw in batch:
            if raw.attempt > 3 and line.queue.dead_letters:
                copy = raw.envelope._replace(destination=line.queue.dead_letters, kind=Kind.QUEUE)
                line.consumer.settle(raw, Dead(copy))
        super().deliver(line, [raw for raw in batch if raw.attempt <= 3])


@caught_by("a_message_that_kills_its_process_is_convicted")
class CountsNoCrashes(Animal):
    """Has a message kill its process for ever."""

    def deliver(self, line: Line, batch: Sequence[RawDelivery]) -> None:
        for raw in batch:
            raw.crashes = 0
        super().deliver(line, batch)


@caught_by("a_dozen_drains_are_no_crash_loop")
class TakesLeavingForACrash(Animal):
    """Counts a consumer that leaves among those that a message has killed."""

    async def leave(self, line: Line) -> None:
        with self.broker.lock:
            for taker in self.server(line.queue).takers:
                if taker.unsettled >= set(line.held):
                    taker.queue.reclaim(taker, crashed=True)
        await super().leave(line)


# -- retries


@caught_by(
    "messages_that_fail_together_do_not_come_back_together",
    "a_dead_letter_lets_its_lane_go_on",
    "a_retry_comes_no_earlier_than_was_asked",
)
class RetriesAtOnce(Animal):
    """Does not wait before the next attempt."""

    def settle(self, line: Line, raw: RawDelivery, how: RawSettlement) -> "Future[None] | None":
        if isinstance(how, RetryCopy):
            how = RetryCopy(0.0, how.copy)
        return super().settle(line, raw, how)


@caught_by(
    "a_handler_whose_time_is_up_has_failed",
    "one_failure_in_a_batch_repeats_no_other_message",
    "each_message_of_a_batch_ends_for_itself",
)
class RetriesLate(Animal):
    """Waits a second longer than it was asked to."""

    def settle(self, line: Line, raw: RawDelivery, how: RawSettlement) -> "Future[None] | None":
        if isinstance(how, RetryCopy):
            how = RetryCopy(how.after + 1.5, how.copy)
        return super().settle(line, raw, how)


@caught_by("what_waits_for_its_next_attempt_keeps_nobody_else_waiting")
class RetriesInFront(Animal):
    """Holds everything up until the next attempt."""

    def born(self) -> None:
        self.kept: dict[Line, list[RawDelivery]] = {}

    def deliver(self, line: Line, batch: Sequence[RawDelivery]) -> None:
        if line in self.kept:
            self.kept[line].extend(batch)
        else:
            super().deliver(line, batch)

    def settle(self, line: Line, raw: RawDelivery, how: RawSettlement) -> "Future[None] | None":
        if not isinstance(how, RetryCopy):
            return super().settle(line, raw, how)
        self.kept.setdefault(line, [])
        asyncio.get_running_loop().call_later(how.after, self.again, line, raw)
        return None

    def again(self, line: Line, raw: RawDelivery) -> None:
        raw.attempt += 1
        line.pass_on([raw, *self.kept.pop(line, ())])


class _Copies(Animal):
    def settle(self, line: Line, raw: RawDelivery, how: RawSettlement) -> "Future[None] | None":
        if not isinstance(how, RetryCopy):
            return super().settle(line, raw, how)
        ignore(super().settle(line, raw, ACCEPT))
        return settled(self.send(self.copy(raw, how)))

    def copy(self, raw: RawDelivery, how: RetryCopy) -> Envelope:
        del raw
        return how.copy


@caught_by("a_retry_holds_its_lane_and_no_other")
class LetsRetriesBeOvertaken(_Copies):
    """Retries with a copy, behind what follows it in its lane."""


@caught_by("a_retry_reaches_only_the_queue_that_failed", "a_random_run_without_faults_keeps_every_promise")
class RetriesEverywhere(_Copies):
    """Retries with a copy to the exchange that the message came from."""

    def copy(self, raw: RawDelivery, how: RetryCopy) -> Envelope:
        origin = raw.envelope
        return how.copy._replace(destination=origin.destination, kind=origin.kind)


@caught_by("what_is_said_about_a_message_survives_its_retries", "a_random_run_with_faults_keeps_every_promise")
class RetriesWithoutHeaders(_Copies):
    """Retries with a copy that has only the body."""

    def copy(self, raw: RawDelivery, how: RetryCopy) -> Envelope:
        del raw
        return how.copy._replace(headers={}, subject=None)


@caught_by("a_retry_does_not_outlive_its_message", "a_pause_asked_for_holds_the_lane_as_long")
class RetriesThatNeverExpire(_Copies):
    """Retries with a copy that has all the time in the world."""

    def copy(self, raw: RawDelivery, how: RetryCopy) -> Envelope:
        del raw
        return how.copy._replace(expires_at=None)
