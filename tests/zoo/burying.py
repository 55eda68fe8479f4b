"""Animals that are careless with dead letters."""

from asyncio import Future
from base64 import b64encode
from collections.abc import Sequence

from msgkit.envelope import Envelope
from msgkit.settlement import ACCEPT
from msgkit.spi import Dead, RawDelivery, RawSettlement, Release, RetryCopy
from msgkit.values import MAX_BODY
from tests.zoo.animal import Animal, Line, caught_by, ignore, settled

__all__: list[str] = []


class _Buries(Animal):
    def settle(self, line: Line, raw: RawDelivery, how: RawSettlement) -> "Future[None] | None":
        if isinstance(how, Dead):
            return self.bury(line, raw, how.copy)
        return super().settle(line, raw, how)

    def bury(self, line: Line, raw: RawDelivery, copy: Envelope) -> "Future[None] | None":
        return line.consumer.settle(raw, Dead(self.letter(raw.envelope, copy)))

    def letter(self, original: Envelope, copy: Envelope) -> Envelope:
        del original
        return copy


@caught_by("what_is_rejected_is_not_tried_again", "a_header_that_is_missing_makes_poison_of_a_message")
class BuriesNothing(_Buries):
    """Drops what should be a dead letter."""

    def bury(self, line: Line, raw: RawDelivery, copy: Envelope) -> "Future[None] | None":
        del copy
        return line.consumer.settle(raw, ACCEPT)


@caught_by("a_dead_letter_keeps_bytes_key_and_headers", "a_dead_letter_of_the_largest_size_arrives")
class BuriesWithoutHeaders(_Buries):
    """Makes dead letters of bodies alone."""

    def letter(self, original: Envelope, copy: Envelope) -> Envelope:
        del original
        return copy._replace(headers={})


@caught_by("what_a_dead_letter_says_stays_below_4_kib")
class BuriesWithoutAReason(_Buries):
    """Makes dead letters of the originals, without a word of why they died."""

    def letter(self, original: Envelope, copy: Envelope) -> Envelope:
        return copy._replace(headers=original.headers)


@caught_by(
    "a_dead_letter_keeps_bytes_key_and_headers",
    "poison_stops_no_ordered_lane",
    "a_dead_letter_holds_its_successors_in_a_strict_queue",
)
class BuriesWithoutKeys(_Buries):
    """Makes dead letters without the key."""

    def letter(self, original: Envelope, copy: Envelope) -> Envelope:
        del original
        return copy._replace(key=None)


@caught_by(
    "a_dead_letter_keeps_bytes_key_and_headers",
    "a_header_that_is_missing_makes_poison_of_a_message",
    "two_queues_may_share_their_dead_letters",
)
class BuriesEncoded(_Buries):
    """Encodes the bodies of dead letters."""

    def letter(self, original: Envelope, copy: Envelope) -> Envelope:
        del original
        return copy._replace(body=b64encode(copy.body))


@caught_by("an_error_to_give_up_on_is_not_tried_again", "a_listener_of_dead_letters_gets_them")
class BuriesUnderAnotherId(_Buries):
    """Gives dead letters new ids."""

    def letter(self, original: Envelope, copy: Envelope) -> Envelope:
        del original
        return copy._replace(message_id=f"dead-{copy.message_id}")


@caught_by("a_dead_letter_never_expires")
class BuriesForATime(_Buries):
    """Lets dead letters expire like their originals."""

    def letter(self, original: Envelope, copy: Envelope) -> Envelope:
        return copy._replace(expires_at=original.expires_at)


@caught_by("a_taker_is_not_given_poison")
class BuriesAnywhere(_Buries):
    """Sends dead letters to where the originals came from."""

    def bury(self, line: Line, raw: RawDelivery, copy: Envelope) -> "Future[None] | None":
        origin = raw.envelope
        ignore(self.send(copy._replace(destination=origin.destination, kind=origin.kind)))
        return super().bury(line, raw, copy)


@caught_by("one_attempt_means_no_retry", "poison_in_a_batch_is_a_dead_letter_alone", "a_dead_letter_says_why")
class BuriesTwice(_Buries):
    """Makes two dead letters of each."""

    def bury(self, line: Line, raw: RawDelivery, copy: Envelope) -> "Future[None] | None":
        ignore(self.send(copy))
        return super().bury(line, raw, copy)


@caught_by("a_dead_letter_of_the_largest_size_arrives")
class BuriesNothingLarge(_Buries):
    """Has no room for a dead letter that is larger than a message can be."""

    def bury(self, line: Line, raw: RawDelivery, copy: Envelope) -> "Future[None] | None":
        if len(copy.body) + sum(len(str(value)) for value in copy.headers.values()) > MAX_BODY:
            return line.consumer.settle(raw, ACCEPT)
        return super().bury(line, raw, copy)


@caught_by("a_dead_letter_that_is_refused_is_sent_again_and_its_original_kept")
class BuriesUnconfirmed(_Buries):
    """Settles the original without waiting for its dead letter."""

    def bury(self, line: Line, raw: RawDelivery, copy: Envelope) -> "Future[None] | None":
        ignore(self.send(copy))
        return line.consumer.settle(raw, ACCEPT)


@caught_by("a_dead_letter_that_is_refused_is_sent_again_and_its_original_kept", "a_taker_may_retry_and_reject")
class HandlesAgainWhatItCannotBury(_Buries):
    """Runs the handler again when a dead letter is refused."""

    def bury(self, line: Line, raw: RawDelivery, copy: Envelope) -> "Future[None] | None":
        sent = self.send(copy)

        def answered(_: object) -> None:
            failed = sent.cancelled() or sent.exception() is not None
            line.consumer.settle(raw, Release() if failed else ACCEPT)

        sent.add_done_callback(answered)
        return None


@caught_by("what_is_rejected_is_not_tried_again", "a_batch_that_raises_is_tried_again_whole_and_then_given_up")
class BuriesAndKeeps(_Buries):
    """Makes a dead letter, and leaves the original where it was."""

    def bury(self, line: Line, raw: RawDelivery, copy: Envelope) -> "Future[None] | None":
        line.consumer.settle(raw, Release())
        return settled(self.send(copy))


@caught_by("a_dead_letter_that_cannot_be_handled_stays_a_dead_letter")
class DropsDeadLettersThatFail(Animal):
    """Forgets a dead letter whose listener fails."""

    def settle(self, line: Line, raw: RawDelivery, how: RawSettlement) -> "Future[None] | None":
        if isinstance(how, RetryCopy) and line.queue.dead_letters_of:
            return super().settle(line, raw, ACCEPT)
        return super().settle(line, raw, how)


@caught_by("a_dead_letter_holds_its_successors_in_a_strict_queue")
class LetsFollowersGoOn(Animal):
    """Does not say that a message follows a dead letter."""

    def deliver(self, line: Line, batch: Sequence[RawDelivery]) -> None:
        for raw in batch:
            raw.follows = None
        super().deliver(line, batch)


@caught_by("a_strict_lane_goes_on_when_its_dead_letters_are_gone")
class HoldsFollowersForEver(Animal):
    """Takes a dead letter for waiting when it is gone."""

    def born(self) -> None:
        self.dead: dict[str, str] = {}

    def deliver(self, line: Line, batch: Sequence[RawDelivery]) -> None:
        for raw in batch:
            if line.queue.ordered == "strict" and raw.envelope.key in self.dead:
                raw.follows = self.dead[raw.envelope.key]
        super().deliver(line, batch)

    def settle(self, line: Line, raw: RawDelivery, how: RawSettlement) -> "Future[None] | None":
        if isinstance(how, Dead) and raw.envelope.key is not None:
            self.dead.setdefault(raw.envelope.key, raw.envelope.message_id)
        return super().settle(line, raw, how)


@caught_by("a_dead_letter_holds_no_other_key")
class HoldsAllKeys(Animal):
    """Has one dead letter hold every key of its queue."""

    def born(self) -> None:
        self.dead: dict[str, str] = {}

    def deliver(self, line: Line, batch: Sequence[RawDelivery]) -> None:
        for raw in batch:
            raw.follows = self.dead.get(line.queue.name)
        super().deliver(line, batch)

    def settle(self, line: Line, raw: RawDelivery, how: RawSettlement) -> "Future[None] | None":
        if isinstance(how, Dead) and line.queue.ordered == "strict":
            self.dead.setdefault(line.queue.name, raw.envelope.message_id)
        return super().settle(line, raw, how)
