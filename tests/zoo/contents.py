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


@caught_by()
class ForgetsAHeader(Animal):
    """Leaves out the last header of each message."""

    def out(self, envelope: Envelope) -> Envelope:
        return envelope._replace(headers=dict(list(envelope.headers.items())[:-1]))


@caught_by()
class DropsEmptyHeaders(Animal):
    """Leaves out headers whose value is empty."""

    def out(self, envelope: Envelope) -> Envelope:
        kept = {name: value for name, value in envelope.headers.items() if value not in ("", b"")}
        return envelope._replace(headers=kept)


@caught_by()
class FoldsHeaderNames(Animal):
    """Writes the names of headers in small letters."""

    def out(self, envelope: Envelope) -> Envelope:
        folded = {name.lower(): value for name, value in envelope.headers.items()}
        return envelope._replace(headers=folded)


@caught_by()
class WritesNumbersAsText(_Headers):
    """Turns int headers into str."""

    def header(self, value: HeaderValue) -> HeaderValue:
        return str(value) if type(value) is int else value


@caught_by()
class CountsTruth(_Headers):
    """Turns bool headers into int."""

    def header(self, value: HeaderValue) -> HeaderValue:
        return int(value) if isinstance(value, bool) else value


@caught_by()
class RoundsLargeNumbers(_Headers):
    """Carries int headers as floats, which lose their last digits."""

    def header(self, value: HeaderValue) -> HeaderValue:
        return int(float(value)) if type(value) is int else value


@caught_by()
class RoundsFloats(_Headers):
    """Carries float headers with six digits."""

    def header(self, value: HeaderValue) -> HeaderValue:
        return float(f"{value:.6g}") if isinstance(value, float) else value


@caught_by()
class LosesMicroseconds(_Headers):
    """Carries times in whole seconds."""

    def header(self, value: HeaderValue) -> HeaderValue:
        return value.replace(microsecond=0) if isinstance(value, datetime) else value


@caught_by()
class DropsTimeZones(_Headers):
    """Carries times without their zone."""

    def header(self, value: HeaderValue) -> HeaderValue:
        return value.replace(tzinfo=None) if isinstance(value, datetime) else value


@caught_by()
class ReadsOctetsAsText(_Headers):
    """Turns bytes headers into str."""

    def header(self, value: HeaderValue) -> HeaderValue:
        return value.decode("latin-1") if isinstance(value, bytes) else value


@caught_by()
class CutsLongHeaders(_Headers):
    """Cuts text headers at 255 characters."""

    def header(self, value: HeaderValue) -> HeaderValue:
        return value[:255] if isinstance(value, str) else value


@caught_by()
class LosesEmptyBodies(Animal):
    """Takes an empty body for no message at all."""

    def out(self, envelope: Envelope) -> Envelope:
        return envelope if envelope.body else envelope._replace(body=b"null")


@caught_by()
class CutsBodiesAtNul(Animal):
    """Takes a body for a string of C, which ends at the first zero."""

    def out(self, envelope: Envelope) -> Envelope:
        return envelope._replace(body=envelope.body.partition(b"\0")[0])


@caught_by()
class CutsLargeBodies(Animal):
    """Carries no more than 64 KiB."""

    def out(self, envelope: Envelope) -> Envelope:
        return envelope._replace(body=envelope.body[: 64 * 1024])


@caught_by()
class ReadsBodiesAsText(Animal):
    """Decodes and encodes bodies on the way."""

    def out(self, envelope: Envelope) -> Envelope:
        return envelope._replace(body=envelope.body.decode(errors="replace").encode())


@caught_by()
class StripsBodies(Animal):
    """Strips white space from both ends of a body."""

    def out(self, envelope: Envelope) -> Envelope:
        return envelope._replace(body=envelope.body.strip())


@caught_by()
class ChangesTheMessageId(_Arrivals):
    """Gives messages ids of the broker's own."""

    def arrived(self, envelope: Envelope) -> Envelope:
        return envelope._replace(message_id=f"broker-{envelope.message_id}")


@caught_by()
class DropsTheKey(Animal):
    """Forgets what must stay in order."""

    def out(self, envelope: Envelope) -> Envelope:
        return envelope._replace(key=None)


@caught_by()
class ForgetsTheSubject(_Arrivals):
    """Routes by the subject, and does not hand it on."""

    def arrived(self, envelope: Envelope) -> Envelope:
        return envelope._replace(subject=None)


@caught_by()
class ForgetsTheContentType(_Arrivals):
    """Calls every body JSON."""

    def arrived(self, envelope: Envelope) -> Envelope:
        return envelope._replace(content_type="application/json")


@caught_by()
class ForgetsTheType(_Arrivals):
    """Does not hand on what type a payload has."""

    def arrived(self, envelope: Envelope) -> Envelope:
        return envelope._replace(type=None)


@caught_by()
class LosesTheCorrelation(Animal):
    """Does not hand on which request a message belongs to."""

    def out(self, envelope: Envelope) -> Envelope:
        return envelope._replace(correlation_id=None)


@caught_by()
class WrapsBodies(_Arrivals):
    """Hands on its own wrapping together with the body."""

    def arrived(self, envelope: Envelope) -> Envelope:
        if envelope.body.startswith(b'{"data":'):
            return envelope
        return envelope._replace(body=json.dumps({"data": envelope.body.decode("latin-1")}).encode())


@caught_by()
class StampsOnDelivery(_Arrivals):
    """Takes the time of the delivery for that of sending."""

    def arrived(self, envelope: Envelope) -> Envelope:
        return envelope._replace(sent_at=self.broker.clock.now())
