"""The copy of a message that could not be handled: its bytes and key, and why."""

from datetime import UTC, datetime

from msgkit.envelope import Envelope, Kind
from msgkit.policy import GiveUp
from msgkit.values import HeaderValue

__all__ = ["DEAD_PREFIX", "dead_copy"]

DEAD_PREFIX = "msgkit-dead-"
#: All headers together stay below 4 KiB; characters take up to 4 bytes.
_LONGEST_TEXT = 500
_LONGEST_NAME = 120


def dead_copy(envelope: Envelope, *, queue: str, to: str, why: GiveUp, attempts: int, now: float) -> Envelope:
    """Return the dead letter of an envelope: it never expires, and asks for no answer."""
    headers: dict[str, HeaderValue] = {
        name: value for name, value in envelope.headers.items() if not name.startswith(DEAD_PREFIX)
    }
    headers |= {
        "msgkit-dead-reason": _cut(why.reason, _LONGEST_TEXT),
        "msgkit-dead-queue": queue,
        "msgkit-dead-origin": envelope.destination,
        "msgkit-dead-attempts": attempts,
        "msgkit-dead-at": datetime.fromtimestamp(now, UTC),
    }
    if why.error is not None:
        headers["msgkit-dead-error"] = _cut(type(why.error).__qualname__, _LONGEST_NAME)
        headers["msgkit-dead-text"] = _cut(str(why.error), _LONGEST_TEXT)
    return envelope._replace(
        destination=to,
        kind=Kind.QUEUE,
        headers=headers,
        attempt=1,
        reply_to=None,
        expires_at=None,
        delay=None,
        deliver_at=None,
        priority=None,
        require_route=False,
    )


def _cut(text: str, longest: int) -> str:
    """Cut, and drop what no broker can carry as text."""
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= longest else text[: longest - 1] + "…"
