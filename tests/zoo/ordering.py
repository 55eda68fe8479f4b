"""Animals that have their own idea of what must wait for what."""

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from msgkit.spi import Consumer, QueueSpec, RawDelivery, Sink, Subscription
from tests.zoo.animal import Animal, Line, caught_by

__all__: list[str] = []


@caught_by(
    "messages_without_a_key_are_handled_side_by_side",
    "settings_may_say_how_a_queue_is_consumed",
    "no_more_is_handled_at_once_than_was_asked",
    "what_a_killed_process_was_handling_goes_to_another",
)
class HasOneLane(Animal):
    """Has every message wait for the one before it."""

    def deliver(self, line: Line, batch: Sequence[RawDelivery]) -> None:
        for raw in batch:
            raw.lane = "all"
        super().deliver(line, batch)


@caught_by(
    "one_key_is_handled_one_at_a_time_in_a_process", "one_key_runs_once_at_a_time_in_a_process_even_after_a_loss"
)
class HasNoLanes(Animal):
    """Has two messages of one key be handled at once."""

    def deliver(self, line: Line, batch: Sequence[RawDelivery]) -> None:
        for raw in batch:
            raw.lane = None
        super().deliver(line, batch)


@caught_by("two_consumers_keep_the_order_of_each_key_between_them", "order_is_kept_when_consumers_come_and_go")
class KeepsNoOrder(Animal):
    """Takes an ordered queue for any other."""

    def spec(self, queue: QueueSpec) -> QueueSpec:
        return replace(queue, ordered=False)


@caught_by(
    "order_is_kept_when_consumers_come_and_go",
    "order_survives_a_killed_consumer",
    "a_batch_of_an_ordered_queue_holds_one_message_of_a_key",
)
class KnowsNoKeys(KeepsNoOrder):
    """Has two messages of one key of an ordered queue be handled at once."""

    def deliver(self, line: Line, batch: Sequence[RawDelivery]) -> None:
        for raw in batch:
            raw.lane = None
        super().deliver(line, batch)


@caught_by("order_survives_consumers_that_hold_less_than_those_before_them")
class MixesMoreThanItHolds(KeepsNoOrder):
    """Gives the first of what came back in the wrong order to who holds less than somebody before him."""

    most: ClassVar[dict[str, int]] = {}

    async def subscribe(self, subscription: Subscription, sink: Sink) -> Consumer:
        name, holds = subscription.queue.name, subscription.max_in_flight
        self.mixes = holds < self.most.get(name, 0)
        self.most[name] = max(holds, self.most.get(name, 0))
        return await super().subscribe(subscription, sink)

    def deliver(self, line: Line, batch: Sequence[RawDelivery]) -> None:
        mixed = batch[::-1] if self.mixes else batch
        self.mixes = False
        super().deliver(line, mixed)


@caught_by("a_dead_letter_holds_its_successors_in_a_strict_queue")
class IsNotStrict(Animal):
    """Takes a strict queue for an ordered one."""

    def spec(self, queue: QueueSpec) -> QueueSpec:
        return replace(queue, ordered=bool(queue.ordered))


@caught_by("an_ordered_queue_handles_keys_side_by_side", "a_busy_key_of_an_ordered_queue_keeps_no_other_key_waiting")
class OrdersTheWholeQueue(Animal):
    """Has one key hold all others of an ordered queue."""

    def deliver(self, line: Line, batch: Sequence[RawDelivery]) -> None:
        if line.queue.ordered:
            for raw in batch:
                raw.lane = line.queue.name
        super().deliver(line, batch)


@caught_by(
    "a_retry_is_overtaken_in_a_queue_without_order",
    "a_busy_key_keeps_no_other_key_waiting",
)
class DeliversTheLastFirst(Animal):
    """Hands on a burst in the wrong order."""

    def deliver(self, line: Line, batch: Sequence[RawDelivery]) -> None:
        super().deliver(line, batch[::-1])


@caught_by(
    "an_ordered_queue_handles_each_key_in_sending_order",
    "awaited_sends_are_stored_in_call_order",
    "an_ordered_queue_keeps_the_order_of_what_an_exchange_sends_it",
)
class TurnsOrderRound(KeepsNoOrder):
    """Knows no order, and hands on a burst from its end."""

    def deliver(self, line: Line, batch: Sequence[RawDelivery]) -> None:
        super().deliver(line, batch[::-1])


@caught_by("a_strict_queue_without_dead_letters_is_an_ordered_one")
class SeesTheDeadEverywhere(Animal):
    """Takes whatever came before in a strict lane for a dead letter."""

    def born(self) -> None:
        self.last: dict[str | None, str] = {}

    def deliver(self, line: Line, batch: Sequence[RawDelivery]) -> None:
        if line.queue.ordered == "strict":
            for raw in batch:
                raw.follows = self.last.get(raw.envelope.key)
                self.last[raw.envelope.key] = raw.envelope.message_id
        super().deliver(line, batch)
