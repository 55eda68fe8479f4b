"""Animals that change what they carry."""

import json
from collections.abc import Sequence
from datetime import datetime

from msgkit.envelope import Envelope
from msgkit.spi import RawDelivery
from msgkit.values import HeaderValue
from tests.zoo.animal import Animal, Line, caught_by

__all__: list[str] = []


class _Headers(Animal):
    def out(self, envelope: Envelope) -> Envelope:
        changed = {name: self.header(value) for name, value in envelope.headers.items()}
        return envelope._replace(headers=changed)

    def header(self, value: HeaderValue) -> HeaderValue:
        return value


class _Arrivals(Animal):
    def deliver(self, line: Line, batch: Sequence[RawDelivery]) -> None:
        for raw in batch:
            raw.envelope = self.arrived(raw.envelope)
        super().deliver(line, batch)

    def arrived(self, envelope: Envelope) -> Envelope:
        return envelope


@caught_by(
    "many_headers_arrive",
    "an_interceptor_may_settle_in_place_of_the_handler",
    "a_rejection_tells_the_asker_why_at_once",
)
class ForgetsAHeader(Animal):
    """Leaves out the last header of each message."""

    def out(self, envelope: Envelope) -> Envelope:
        return envelope._replace(headers=dict(list(envelope.headers.items())[:-1]))


@caught_by("octets_stay_octets", "text_stays_text_whatever_it_looks_like")
class DropsEmptyHeaders(Animal):
    """Leaves out headers whose value is empty."""

    def out(self, envelope: Envelope) -> Envelope:
        kept = {name: value for name, value in envelope.headers.items() if value not in ("", b"")}
        return envelope._replace(headers=kept)


@caught_by(
    "names_of_any_script_arrive", "names_that_others_use_mean_nothing", "names_that_others_use_may_hold_any_type"
)
class FoldsHeaderNames(Animal):
    """Writes the names of headers in small letters."""

    def out(self, envelope: Envelope) -> Envelope:
        folded = {name.lower(): value for name, value in envelope.headers.items()}
        return envelope._replace(headers=folded)


@caught_by("whole_numbers_arrive_to_the_last_digit", "many_headers_arrive", "a_handler_is_given_what_it_asks_for")
class WritesNumbersAsText(_Headers):
    """Turns int headers into str."""

    def header(self, value: HeaderValue) -> HeaderValue:
        return str(value) if type(value) is int else value


@caught_by("truth_stays_truth_and_is_no_number")
class CountsTruth(_Headers):
    """Turns bool headers into int."""

    def header(self, value: HeaderValue) -> HeaderValue:
        return int(value) if isinstance(value, bool) else value


@caught_by("whole_numbers_arrive_to_the_last_digit")
class RoundsLargeNumbers(_Headers):
    """Carries int headers as floats, which lose their last digits."""

    def header(self, value: HeaderValue) -> HeaderValue:
        return int(float(value)) if type(value) is int else value


@caught_by("real_numbers_arrive_to_the_last_bit_and_stay_real")
class RoundsFloats(_Headers):
    """Carries float headers with six digits."""

    def header(self, value: HeaderValue) -> HeaderValue:
        return float(f"{value:.6g}") if isinstance(value, float) else value


@caught_by("a_dead_letter_keeps_bytes_key_and_headers")
class LosesMicroseconds(_Headers):
    """Carries times in whole seconds."""

    def header(self, value: HeaderValue) -> HeaderValue:
        return value.replace(microsecond=0) if isinstance(value, datetime) else value


@caught_by("moments_keep_their_microseconds")
class DropsTimeZones(_Headers):
    """Carries times without their zone."""

    def header(self, value: HeaderValue) -> HeaderValue:
        return value.replace(tzinfo=None) if isinstance(value, datetime) else value


@caught_by("what_interceptors_add_arrives_the_outermost_first", "a_message_and_its_delivery_say_the_same")
class ReadsOctetsAsText(_Headers):
    """Turns bytes headers into str."""

    def header(self, value: HeaderValue) -> HeaderValue:
        return value.decode("latin-1") if isinstance(value, bytes) else value


@caught_by("headers_of_the_largest_size_arrive")
class CutsLongHeaders(_Headers):
    """Cuts text headers at 255 characters."""

    def header(self, value: HeaderValue) -> HeaderValue:
        return value[:255] if isinstance(value, str) else value


@caught_by("an_empty_body_arrives_empty", "a_request_is_answered")
class LosesEmptyBodies(Animal):
    """Takes an empty body for no message at all."""

    def out(self, envelope: Envelope) -> Envelope:
        return envelope if envelope.body else envelope._replace(body=b"null")


@caught_by("every_byte_arrives_as_it_was", "answers_may_be_of_any_type", "what_nothing_can_read_is_poison")
class CutsBodiesAtNul(Animal):
    """Takes a body for a string of C, which ends at the first zero."""

    def out(self, envelope: Envelope) -> Envelope:
        return envelope._replace(body=envelope.body.partition(b"\0")[0])


@caught_by("a_body_of_the_largest_size_arrives", "large_bodies_side_by_side_are_not_mixed")
class CutsLargeBodies(Animal):
    """Carries no more than 64 KiB."""

    def out(self, envelope: Envelope) -> Envelope:
        return envelope._replace(body=envelope.body[: 64 * 1024])


@caught_by(
    "bytes_that_claim_to_be_text_or_json_arrive_as_they_were",
    "a_poisonous_request_is_answered_by_an_error",
    "poison_goes_to_the_dead_letters_at_once_and_stops_nobody",
)
class ReadsBodiesAsText(Animal):
    """Decodes and encodes bodies on the way."""

    def out(self, envelope: Envelope) -> Envelope:
        return envelope._replace(body=envelope.body.decode(errors="replace").encode())


@caught_by("a_body_of_the_largest_size_arrives", "text_of_every_script_arrives")
class StripsBodies(Animal):
    """Strips white space from both ends of a body."""

    def out(self, envelope: Envelope) -> Envelope:
        return envelope._replace(body=envelope.body.strip())


@caught_by(
    "what_is_said_about_a_message_arrives",
    "a_queue_without_dead_letters_says_aloud_what_it_drops",
    "plain_functions_run_side_by_side_in_threads",
    "interceptors_see_each_attempt",
    "a_handler_that_waits_for_its_own_message_does_not_stop_the_queue",
    "purging_takes_nothing_out_of_a_consumers_hands",
)
class ChangesTheMessageId(_Arrivals):
    """Gives messages ids of the broker's own."""

    def arrived(self, envelope: Envelope) -> Envelope:
        return envelope._replace(message_id=f"broker-{envelope.message_id}")


@caught_by("what_is_said_about_a_message_arrives", "keys_may_be_any_text")
class DropsTheKey(Animal):
    """Forgets what must stay in order."""

    def out(self, envelope: Envelope) -> Envelope:
        return envelope._replace(key=None)


@caught_by(
    "a_subject_too_long_for_the_broker_arrives_whole_or_is_refused",
    "what_is_said_about_a_message_arrives",
    "the_reason_of_a_rejection_is_on_the_dead_letter",
    "a_dead_letter_reaches_no_other_queue",
)
class ForgetsTheSubject(_Arrivals):
    """Routes by the subject, and does not hand it on."""

    def arrived(self, envelope: Envelope) -> Envelope:
        return envelope._replace(subject=None)


@caught_by("a_delivery_that_nobody_asked_with_has_nobody_to_answer")
class ForgetsTheContentType(_Arrivals):
    """Calls every body JSON."""

    def arrived(self, envelope: Envelope) -> Envelope:
        return envelope._replace(content_type="application/json")


@caught_by(
    "listeners_of_one_queue_get_their_own_types",
    "a_typed_payload_arrives_equal_and_under_its_name",
    "a_type_that_nobody_listens_to_is_poison",
)
class ForgetsTheType(_Arrivals):
    """Does not hand on what type a payload has."""

    def arrived(self, envelope: Envelope) -> Envelope:
        return envelope._replace(type=None)


@caught_by("each_of_many_requests_gets_its_own_answer", "a_result_goes_on_to_where_the_listener_says")
class LosesTheCorrelation(Animal):
    """Does not hand on which request a message belongs to."""

    def out(self, envelope: Envelope) -> Envelope:
        return envelope._replace(correlation_id=None)


@caught_by(
    "nothing_is_said_that_nobody_said",
    "headers_that_cannot_be_kept_are_refused_and_harm_nobody",
    "a_result_that_is_refused_is_a_failure_of_its_handler",
    "handlers_send_with_what_they_are_given",
)
class WrapsBodies(_Arrivals):
    """Hands on its own wrapping together with the body."""

    def arrived(self, envelope: Envelope) -> Envelope:
        if envelope.body.startswith(b'{"data":'):
            return envelope
        return envelope._replace(body=json.dumps({"data": envelope.body.decode("latin-1")}).encode())


@caught_by("what_is_said_about_a_message_survives_its_retries")
class StampsOnDelivery(_Arrivals):
    """Takes the time of the delivery for that of sending."""

    def arrived(self, envelope: Envelope) -> Envelope:
        return envelope._replace(sent_at=self.broker.clock.now())
