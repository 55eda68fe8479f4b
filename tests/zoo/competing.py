"""Animals that give messages to the wrong ones, too many at once, or in the wrong order."""

import sys
from asyncio import Future
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from weakref import WeakKeyDictionary

from msgkit.envelope import Envelope
from msgkit.settlement import Accept
from msgkit.spi import (
    Consumer,
    Down,
    Event,
    Gap,
    QueueSpec,
    RawDelivery,
    RawSettlement,
    Sink,
    Subscription,
)
from msgkit_memory.server import Broker
from tests.zoo.animal import Animal, Line, caught_by, ignore

__all__: list[str] = []

_accepted: "WeakKeyDictionary[Broker, dict[str, deque[Envelope]]]" = WeakKeyDictionary()


@caught_by(
    "consumers_share_the_work",
    "each_message_goes_to_one_of_a_queues_consumers",
    "consumers_compete_across_processes",
    "a_consumer_that_joins_under_a_slow_head_repeats_nothing",
)
class DeliversToTwo(Animal):
    """Gives a message to two consumers, where there are two."""

    def deliver(self, line: Line, batch: Sequence[RawDelivery]) -> None:
        super().deliver(line, batch)
        if len(self.server(line.queue).takers) > 1:
            for raw in batch:
                if raw.envelope.message_id not in self.memory:
                    self.memory.add(raw.envelope.message_id)
                    self.put(line.queue, raw.envelope)


@caught_by(
    "a_consumer_that_joins_under_a_slow_head_repeats_nothing",
    "a_consumer_that_leaves_under_a_slow_head_repeats_nothing",
    "handlers_of_a_stopped_application_settle_nothing_any_more",
    "pausing_again_and_again_loses_and_repeats_nothing",
    "what_was_accepted_never_returns_to_the_next_application",
    "what_nobody_settled_goes_back_uncounted_at_stop",
)
class RepeatsForWhoJoins(Animal):
    """Delivers what was just accepted once more when a consumer joins."""

    def settle(self, line: Line, raw: RawDelivery, how: RawSettlement) -> "Future[None] | None":
        if isinstance(how, Accept):
            self.lately(line.queue).append(raw.envelope)
        return super().settle(line, raw, how)

    async def subscribe(self, subscription: Subscription, sink: Sink) -> Consumer:
        consumer = await super().subscribe(subscription, sink)
        lately = self.lately(subscription.queue)
        while lately:
            self.put(subscription.queue, lately.popleft())
        return consumer

    def lately(self, queue: QueueSpec) -> deque[Envelope]:
        queues = _accepted.setdefault(self.broker, {})
        return queues.setdefault(queue.name, deque(maxlen=5))


@caught_by(
    "an_anonymous_queue_gets_nothing_from_before_it_was_there",
    "a_new_queue_gets_nothing_from_before_it_was_declared",
    "the_first_message_after_declaring_is_not_missed",
)
class ReplaysHistory(Animal):
    """Gives a new queue what was sent before it was there."""

    def spec(self, queue: QueueSpec) -> QueueSpec:
        return replace(queue, start="earliest")


@caught_by(
    "a_template_can_be_used_again_only_after_it_is_entered_again",
    "a_queue_that_does_not_start_by_itself_waits_for_resume",
    "what_waits_is_kept_while_nobody_listens",
)
class BeginsWithTheListener(Animal):
    """Gives a queue nothing until somebody listens."""

    async def subscribe(self, subscription: Subscription, sink: Sink) -> Consumer:
        if subscription.queue.dead_letters is not None:
            with self.broker.lock:
                if not self.server(subscription.queue).takers:
                    self.server(subscription.queue).purge()
        return await super().subscribe(subscription, sink)


@caught_by(
    "credit_is_never_exceeded", "large_messages_do_not_pile_up_in_a_slow_consumer", "a_slow_consumer_starves_no_other"
)
class ExceedsItsCredit(Animal):
    """Delivers twice as much as was asked for."""

    def credit(self, line: Line, n: int) -> None:
        super().credit(line, 2 * n)


@caught_by("nothing_is_delivered_without_credit", "what_is_kept_open_is_bounded_by_what_may_be_in_flight")
class NeedsNoCredit(Animal):
    """Delivers before anything was asked for."""

    async def subscribe(self, subscription: Subscription, sink: Sink) -> Consumer:
        consumer = await super().subscribe(subscription, sink)
        consumer.credit(1)
        return consumer


@caught_by("credit_is_never_exceeded")
class TakesASettlementForCredit(Animal):
    """Delivers one more for each that is settled, whether that was asked for or not."""

    def settle(self, line: Line, raw: RawDelivery, how: RawSettlement) -> "Future[None] | None":
        future = super().settle(line, raw, how)
        self.credit(line, 1)
        return future


@caught_by("one_in_flight_is_enough_to_go_on", "a_handler_may_send_to_its_own_queue")
class RunsOutOfCredit(Animal):
    """Hears only the first time how much may be delivered."""

    def born(self) -> None:
        self.heard: set[Line] = set()

    def credit(self, line: Line, n: int) -> None:
        if line not in self.heard:
            self.heard.add(line)
            super().credit(line, n)


@caught_by("no_more_is_taken_than_may_be_in_flight", "a_consumer_may_be_drained_and_closed_twice")
class FetchesWithoutMeasure(Animal):
    """Fetches all there is, and hands it on as it is asked for."""

    def born(self) -> None:
        self.wanted: dict[Line, int] = {}
        self.fetched: dict[Line, deque[RawDelivery]] = {}

    def credit(self, line: Line, n: int) -> None:
        if line not in self.wanted:
            self.fetched[line] = deque()
            super().credit(line, 10_000)
        self.wanted[line] = self.wanted.get(line, 0) + n
        self.hand_on(line)

    def deliver(self, line: Line, batch: Sequence[RawDelivery]) -> None:
        self.fetched[line].extend(batch)
        self.hand_on(line)

    def hand_on(self, line: Line) -> None:
        fetched = self.fetched[line]
        while fetched and self.wanted[line]:
            self.wanted[line] -= 1
            line.pass_on([fetched.popleft()])


@caught_by("bodies_in_hand_are_bounded_by_their_bytes")
class WeighsNothing(Animal):
    """Does not look at how large the bodies are that it fetches."""

    async def subscribe(self, subscription: Subscription, sink: Sink) -> Consumer:
        return await super().subscribe(replace(subscription, max_bytes=sys.maxsize), sink)


@caught_by(
    "health_tells_how_brokers_and_queues_fare",
    "leaving_by_an_error_closes_too",
    "settings_may_name_a_queue_and_its_dead_letters_follow",
)
class HandsOnFullHands(Animal):
    """Keeps back what has come until there are four of it."""

    def born(self) -> None:
        self.kept: dict[Line, list[RawDelivery]] = {}

    def deliver(self, line: Line, batch: Sequence[RawDelivery]) -> None:
        kept = self.kept.setdefault(line, [])
        kept.extend(batch)
        full = len(kept) // 4 * 4
        line.pass_on(kept[:full])
        del kept[:full]


# -- anonymous queues


@caught_by("an_anonymous_queue_is_a_copy_for_each_process")
class SharesAnonymousQueues(Animal):
    """Gives two processes one anonymous queue."""

    def spec(self, queue: QueueSpec) -> QueueSpec:
        if not queue.anonymous:
            return queue
        return replace(queue, name=f"anonymous.{queue.routes[0].exchange}")


@caught_by("an_anonymous_queue_survives_a_short_disconnection")
class DropsAnonymousQueues(Animal):
    """Removes an anonymous queue as soon as its connection is lost."""

    def hear(self, tell: Callable[[Event], None], event: Event) -> None:
        if isinstance(event, Down):
            with self.broker.lock:
                for name in self._session.client.anonymous:
                    self.broker.drop_anonymous(name)
        super().hear(tell, event)


@caught_by("an_anonymous_queue_that_was_away_too_long_reports_a_gap")
class SaysNothingOfGaps(Animal):
    """Does not tell that messages passed an anonymous queue by."""

    def hear(self, tell: Callable[[Event], None], event: Event) -> None:
        if not isinstance(event, Gap):
            super().hear(tell, event)


@caught_by("what_fails_in_an_anonymous_queue_is_tried_again_by_the_same_process")
class RetriesAnonymousElsewhere(Animal):
    """Gives what failed in an anonymous queue to all that are like it."""

    def settle(self, line: Line, raw: RawDelivery, how: RawSettlement) -> "Future[None] | None":
        if not line.queue.anonymous or isinstance(how, Accept):
            return super().settle(line, raw, how)
        ignore(self.send(raw.envelope._replace(attempt=raw.attempt + 1)))
        return super().settle(line, raw, Accept())
