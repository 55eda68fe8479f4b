"""The copy of a message that could not be handled: its bytes and key, and why."""

from datetime import UTC, datetime

from msgkit.envelope import Envelope, Kind
from msgkit.policy import GiveUp
from msgkit.values import HeaderValue

__all__ = ["DEAD_PREFIX", "dead_copy"]

DEAD_PREFIX = "msgkit-dead-"
#: In bytes, so that all headers together stay below 4 KiB whatever they say.
_LONGEST_TEXT = 1500
_LONGEST_NAME = 400


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
        headers["msgkit-dead-text"] = _cut(_text(why.error), _LONGEST_TEXT)
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


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as broken:  # noqa: BLE001 -- it is a user's code that runs here
        return f"(its text cannot be had: {type(broken).__name__})"


def _cut(text: str, longest: int) -> str:
    """Cut to so many bytes, and replace what no broker can carry as text."""
    written = text[: longest + 1].encode("utf-8", "replace")
    if len(written) <= longest:
        return written.decode()
    return written[: longest - len("…".encode())].decode("utf-8", "ignore") + "…"
