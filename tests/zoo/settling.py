"""Animals that end deliveries wrongly, or forget how they ended."""

import asyncio
from asyncio import Future
from collections.abc import Hashable, Sequence

from msgkit.errors import DeliveryLost
from msgkit.settlement import ACCEPT, Accept
from msgkit.spi import Dead, RawDelivery, RawSettlement, Release, RetryCopy
from tests.zoo.animal import Animal, Line, caught_by, ignore, settled

__all__: list[str] = []


@caught_by(
    "what_is_released_comes_again_at_once_and_uncounted",
    "settling_after_the_receiver_was_left_is_refused",
    "consumers_that_come_and_go_under_load_lose_and_repeat_nothing",
)
class DropsWhatIsReleased(Animal):
    """Forgets what is given back unhandled."""

    def settle(self, line: Line, raw: RawDelivery, how: RawSettlement) -> "Future[None] | None":
        return super().settle(line, raw, ACCEPT if isinstance(how, Release) else how)

    async def leave(self, line: Line) -> None:
        for raw in list(line.held):
            line.settle(raw, Release())
        await super().leave(line)


@caught_by(
    "what_does_not_finish_in_time_is_cancelled_and_goes_back_uncounted",
    "what_a_killed_process_was_handling_goes_to_another",
)
class AcceptsBeforeHandling(Animal):
    """Takes what it delivers for handled."""

    def deliver(self, line: Line, batch: Sequence[RawDelivery]) -> None:
        for raw in batch:
            line.consumer.settle(raw, ACCEPT)
        super().deliver(line, batch)

    def settle(self, line: Line, raw: RawDelivery, how: RawSettlement) -> "Future[None] | None":
        del line, raw
        return settled(self.send(how.copy)) if isinstance(how, Dead | RetryCopy) else None


@caught_by("what_is_left_unsettled_goes_back_on_leaving")
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


@caught_by(
    "a_take_that_nothing_comes_to_ends_in_time",
    "a_receiver_takes_no_more_than_it_may_hold",
    "what_was_settled_before_the_error_does_not_come_back",
    "a_cancelled_take_loses_nothing",
    "what_was_taken_is_settled_once",
    "a_delivery_is_settled_once",
    "a_receiver_takes_again_and_again",
)
class SettlesTwice(Animal):
    """Settles each delivery a second time, which the broker does not like."""

    def settle(self, line: Line, raw: RawDelivery, how: RawSettlement) -> "Future[None] | None":
        ignore(super().settle(line, raw, how))
        return super().settle(line, raw, how)


@caught_by(
    "senders_are_slowed_and_lose_nothing",
    "a_slow_queue_keeps_no_other_queue_waiting",
    "a_receiver_can_be_iterated",
    "a_settlement_that_was_awaited_has_reached_the_broker",
)
class ForgetsToAccept(Animal):
    """Keeps every fifth accepted message for later."""

    number = 0

    def settle(self, line: Line, raw: RawDelivery, how: RawSettlement) -> "Future[None] | None":
        self.number += isinstance(how, Accept)
        if isinstance(how, Accept) and self.number % 5 == 0:
            how = Release()
        return super().settle(line, raw, how)


@caught_by("settling_what_is_anothers_fails_and_harms_him_not")
class SettlesTheLostInSilence(Animal):
    """Says yes to the settlement of what is another's."""

    def settle(self, line: Line, raw: RawDelivery, how: RawSettlement) -> "Future[None] | None":
        future = super().settle(line, raw, how)
        lost = future is not None and future.done() and isinstance(future.exception(), DeliveryLost)
        return None if lost else future


@caught_by(
    "a_message_whose_dead_letter_is_refused_is_not_lost_with_the_connection", "a_settlement_that_fails_is_tried_again"
)
class NeverAsksTheBroker(Animal):
    """Takes a settlement for done once it is written."""

    def settle(self, line: Line, raw: RawDelivery, how: RawSettlement) -> "Future[None] | None":
        ignore(super().settle(line, raw, how))
        return None


@caught_by("a_take_that_nothing_comes_to_ends_in_time")
class AnswersNoSettlement(Animal):
    """Settles, and never says so."""

    def settle(self, line: Line, raw: RawDelivery, how: RawSettlement) -> "Future[None] | None":
        ignore(super().settle(line, raw, how))
        return asyncio.get_running_loop().create_future()


@caught_by(
    "what_was_being_handled_when_the_connection_was_lost_comes_again",
    "what_waited_behind_a_lost_delivery_is_let_go_of_too",
    "settling_what_was_lost_raises_delivery_lost",
)
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


@caught_by("a_lost_delivery_cancels_its_handler", "a_lost_connection_cancels_what_is_being_handled")
class KeepsLossesToItself(Animal):
    """Does not say that deliveries are another's now."""

    def lose(self, line: Line, scope: Hashable) -> None:
        """Say nothing."""


@caught_by("the_seam_says_which_scope_was_lost")
class KeepsItsScope(Animal):
    """Calls all deliveries of a consumer by one scope, whatever was lost before."""

    def deliver(self, line: Line, batch: Sequence[RawDelivery]) -> None:
        for raw in batch:
            raw.scope = line.queue.name
        super().deliver(line, batch)

    def lose(self, line: Line, scope: Hashable) -> None:
        del scope
        super().lose(line, line.queue.name)


@caught_by("a_handler_may_finish_what_is_revoked", "what_is_revoked_is_neither_lost_nor_handled_twice")
class RevokesWithoutWaiting(Animal):
    """Takes deliveries back at once from whoever could still have finished."""

    async def revoke(self, line: Line, scope: Hashable, deadline: float) -> None:
        del deadline
        self.lose(line, scope)


@caught_by("a_handler_past_its_revocation_is_cancelled_and_not_failed")
class RevokesInSilence(Animal):
    """Gives deliveries to others without a word to who has them."""

    async def revoke(self, line: Line, scope: Hashable, deadline: float) -> None:
        """Say nothing."""

    def lose(self, line: Line, scope: Hashable) -> None:
        """Say nothing."""


@caught_by(
    "a_long_handler_keeps_its_delivery",
    "more_time_can_be_asked_for",
    "five_rolling_deploys_lose_repeat_and_count_nothing",
)
class RenewsNoLeases(Animal):
    """Lets the lease of a delivery run out while it is being handled."""

    def deliver(self, line: Line, batch: Sequence[RawDelivery]) -> None:
        super().deliver(line, batch)
        expire = self.broker.faults.expire
        asyncio.get_running_loop().call_later(0.2, expire, line.queue.name)


@caught_by(
    "five_drains_in_mid_handling_count_no_attempt", "what_waited_with_a_consumer_that_leaves_goes_to_another_at_once"
)
class LosesWhatItHolds(Animal):
    """Forgets, when a consumer goes, what it had and did not handle."""

    async def leave(self, line: Line) -> None:
        for raw in list(line.held):
            ignore(line.consumer.settle(raw, ACCEPT))
        await super().leave(line)


@caught_by("what_is_released_keeps_its_place")
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
