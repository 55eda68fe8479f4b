"""Animals that cannot tell the time."""

from collections.abc import Callable, Sequence

from msgkit.envelope import Envelope, Kind
from msgkit.settlement import ACCEPT
from msgkit.spi import Dead, Down, Event, RawDelivery
from tests.zoo.animal import Animal, Line, caught_by, ignore

__all__: list[str] = []


def _pause(animal: Animal, envelope: Envelope) -> float:
    """Return in how many seconds a message is due."""
    now = animal.broker.clock.now()
    return max(envelope.delay or 0.0, (envelope.deliver_at or now) - now)


@caught_by("a_delayed_message_is_never_early_and_hardly_late", "routes_are_looked_at_when_a_message_is_due")
class DelaysHalf(Animal):
    """Delivers in half the time."""

    def out(self, envelope: Envelope) -> Envelope:
        half = _pause(self, envelope) / 2
        return envelope._replace(delay=half or None, deliver_at=None)


@caught_by("a_delayed_message_is_never_early_and_hardly_late", "a_message_goes_through_two_delays")
class DelaysForLong(Animal):
    """Delivers almost a second late what has a delay."""

    def out(self, envelope: Envelope) -> Envelope:
        pause = _pause(self, envelope)
        return envelope._replace(delay=pause + 0.8, deliver_at=None) if pause else envelope


@caught_by("a_message_is_delivered_at_its_time")
class DelaysNothingUntil(Animal):
    """Delivers at once what has a time of its own."""

    def out(self, envelope: Envelope) -> Envelope:
        return envelope._replace(deliver_at=None)


@caught_by("a_short_delay_overtakes_a_long_one")
class DelaysInTurn(Animal):
    """Has a short delay wait behind a long one."""

    last = 0.0

    def out(self, envelope: Envelope) -> Envelope:
        pause = _pause(self, envelope)
        if not pause:
            return envelope
        now = self.broker.clock.now()
        self.last = max(self.last + 0.01, now + pause)
        return envelope._replace(delay=self.last - now, deliver_at=None)


@caught_by("a_delayed_message_joins_its_lane_when_it_is_due")
class DelaysTheWholeLane(Animal):
    """Has what follows a delayed message of its key wait for it."""

    def born(self) -> None:
        self.due: dict[str | None, float] = {}

    def out(self, envelope: Envelope) -> Envelope:
        now = self.broker.clock.now()
        pause = max(_pause(self, envelope), self.due.get(envelope.key, now) - now)
        if pause and envelope.key is not None:
            self.due[envelope.key] = now + pause + 0.01
        return envelope._replace(delay=pause or None, deliver_at=None)


@caught_by("a_retry_survives_a_broker_restart", "a_delayed_message_survives_a_lost_connection")
class DelaysInMemory(Animal):
    """Forgets what is delayed when the connection is lost."""

    def hear(self, tell: Callable[[Event], None], event: Event) -> None:
        if isinstance(event, Down):
            with self.broker.lock:
                for queue in self.broker.content.queues.values():
                    for ticket in queue.delayed.values():
                        ticket.cancel()
                    queue.delayed.clear()
        super().hear(tell, event)


@caught_by("a_delay_goes_on_while_nobody_listens", "a_delayed_message_survives_a_broker_restart")
class DelaysOnlyWithAListener(Animal):
    """Begins to count a delay anew with each consumer that comes."""

    def out(self, envelope: Envelope) -> Envelope:
        pause = _pause(self, envelope)
        queue = self.broker.content.queues.get(envelope.destination)
        idle = queue is not None and not queue.takers
        return envelope._replace(delay=pause + 1, deliver_at=None) if pause and idle else envelope


@caught_by(
    "a_short_delay_is_not_held_up_by_a_long_one",
    "a_delayed_message_that_fails_is_delayed_again",
    "delayed_messages_keep_nobody_waiting",
)
class DelaysOnce(Animal):
    """Drops what was delayed before, when it is delayed again."""

    def out(self, envelope: Envelope) -> Envelope:
        if not envelope.delay:
            return envelope
        if "x-death" in envelope.headers:
            return envelope._replace(expires_at=0.0)
        return envelope.with_headers({"x-death": "delay"})


@caught_by("routes_are_looked_at_when_a_message_is_due")
class RoutesWhenSent(Animal):
    """Looks for the queues of a delayed message when it is sent."""

    def out(self, envelope: Envelope) -> Envelope:
        if envelope.kind is not Kind.EXCHANGE or not _pause(self, envelope):
            return envelope
        with self.broker.lock:
            queues = self.broker.content.exchanges[envelope.destination].match(envelope)
        for queue in queues:
            ignore(self.send(envelope._replace(kind=Kind.QUEUE, destination=queue.name)))
        return envelope._replace(subject="nobody/gets/this", delay=None, deliver_at=None)


@caught_by("a_delay_beyond_the_longest_is_refused_and_a_long_one_is_not")
class CutsLongDelays(Animal):
    """Takes an hour for a moment, since that is all it can wait."""

    def out(self, envelope: Envelope) -> Envelope:
        pause = _pause(self, envelope)
        return envelope._replace(delay=0.01, deliver_at=None) if pause > 60 else envelope


# -- time to live


class _Expires(Animal):
    def born(self) -> None:
        super().born()
        self.times: dict[str, float] = {}

    def out(self, envelope: Envelope) -> Envelope:
        if envelope.expires_at is not None:
            envelope = envelope.with_headers({"msgkit-zoo-expires": envelope.expires_at})
        return envelope._replace(expires_at=None)

    def deliver(self, line: Line, batch: Sequence[RawDelivery]) -> None:
        fresh: list[RawDelivery] = []
        for raw in batch:
            expires_at = raw.envelope.headers.get("msgkit-zoo-expires")
            if isinstance(expires_at, float) and expires_at <= self.broker.clock.now():
                self.expire(line, raw)
            else:
                fresh.append(raw)
        super().deliver(line, fresh)

    def expire(self, line: Line, raw: RawDelivery) -> None:
        line.consumer.settle(raw, ACCEPT)
        line.consumer.credit(1)


@caught_by("what_expired_while_nobody_listened_is_dropped_and_counted", "a_request_does_not_outlive_its_asker")
class NothingExpires(Animal):
    """Ignores how long a message may live."""

    def out(self, envelope: Envelope) -> Envelope:
        return envelope._replace(expires_at=None)


@caught_by("what_expired_is_no_dead_letter", "what_expired_is_in_no_batch")
class ExpiresInSilence(_Expires):
    """Counts nothing of what it drops."""


@caught_by("what_expires_behind_a_slow_message_is_dropped_when_its_turn_comes", "a_retry_does_not_outlive_its_message")
class BuriesTheExpired(_Expires):
    """Makes a dead letter of what is too old."""

    def expire(self, line: Line, raw: RawDelivery) -> None:
        to = line.queue.dead_letters
        if to is not None:
            line.consumer.settle(raw, Dead(raw.envelope._replace(destination=to, kind=Kind.QUEUE)))
            line.consumer.credit(1)


@caught_by("time_to_live_counts_from_when_a_message_is_due")
class ExpiresWhileDelayed(Animal):
    """Counts the time to live from when a message is sent."""

    def out(self, envelope: Envelope) -> Envelope:
        if envelope.expires_at is None:
            return envelope
        return envelope._replace(expires_at=envelope.expires_at - _pause(self, envelope))


@caught_by("what_has_time_left_is_handled", "a_request_that_is_tried_again_is_answered_once")
class ExpiresEarly(Animal):
    """Takes hours of life for minutes."""

    def out(self, envelope: Envelope) -> Envelope:
        if envelope.expires_at is None:
            return envelope
        now = self.broker.clock.now()
        return envelope._replace(expires_at=now + (envelope.expires_at - now) / 3600)


# -- priority


@caught_by("the_most_urgent_of_what_waits_comes_first", "what_is_equally_urgent_comes_in_order")
class KnowsNoPriority(Animal):
    """Ignores what is urgent."""

    def out(self, envelope: Envelope) -> Envelope:
        return envelope._replace(priority=None)


@caught_by("the_most_urgent_of_what_waits_comes_first")
class TurnsPrioritiesRound(Animal):
    """Delivers the least urgent first."""

    def out(self, envelope: Envelope) -> Envelope:
        return envelope._replace(priority=9 - (envelope.priority or 0))
