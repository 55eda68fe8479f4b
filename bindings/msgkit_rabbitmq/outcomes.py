"""What became of a message that was written: stored, refused, or nobody knows. Pure, but for telling who sent it."""

import re
from asyncio import Future
from collections.abc import Sequence
from dataclasses import dataclass, field

from msgkit.envelope import NO_HEADERS, Envelope, Kind, Receipt
from msgkit.errors import MessagingError, SendRefused, SendUnknown, Unroutable
from msgkit.spi.absent import absent
from msgkit_rabbitmq.wire import (
    ACCESS_REFUSED,
    NOT_FOUND,
    ChannelClosed,
    MalformedTable,
    Returned,
    Table,
    WireError,
    decode_properties,
)

__all__ = ["Fate", "Send", "fates", "is_alike", "is_equal", "nobody_takes", "not_stored", "refusal", "unconfirmed"]

_TOO_LARGE = 406
_LIMIT = re.compile(r"message size \d+ .* max size (?P<most>\d+)")


@dataclass(slots=True, eq=False)
class Send:
    """One message on its way out."""

    envelope: Envelope
    future: "Future[Receipt]"
    exchange: str
    key: bytes
    properties: bytes
    #: Headers beside the envelope's.
    also: Table = field(default_factory=lambda: NO_HEADERS)
    returned: str | None = None

    @property
    def is_to_one_queue(self) -> bool:
        return self.envelope.kind is not Kind.EXCHANGE

    @property
    def is_delayed(self) -> bool:
        """Does it go to where it waits first?"""
        return bool(self.exchange) and self.exchange != self.envelope.destination

    def fail(self, error: MessagingError) -> None:
        if not self.future.done():
            self.future.set_exception(error)


def is_equal(send: Send, message: Returned) -> bool:
    """Is it the message that came back, byte by byte?"""
    return _is_at(send, message) and send.properties == message.properties


def is_alike(send: Send, message: Returned) -> bool:
    """Is it the message that came back, but for how its properties are written, and where answers go?"""
    if not _is_at(send, message):
        return False
    try:
        sent, came = decode_properties(send.properties), decode_properties(message.properties)
    except MalformedTable:
        return False
    return sent._replace(reply_to=None) == came._replace(reply_to=None)


def _is_at(send: Send, message: Returned) -> bool:
    return send.key == message.key.encode() and send.envelope.body == message.body


def nobody_takes(send: Send) -> str:
    envelope = send.envelope
    match envelope.kind:
        case Kind.EXCHANGE:
            return f"no queue takes {envelope.subject or ''!r} from exchange {envelope.destination!r}"
        case Kind.QUEUE:
            return absent(f"queue {envelope.destination!r}")
        case Kind.REPLY:
            return f"nobody waits for replies at {envelope.destination!r} any more"


def not_stored(send: Send) -> MessagingError:
    envelope = send.envelope
    if send.is_to_one_queue:
        return SendRefused(f"queue {envelope.destination!r} refused it: it is full, or has no leader at the moment")
    # One of several queues may have refused, and another taken it.
    return SendUnknown(f"a queue behind exchange {envelope.destination!r} refused it; others may have it")


def unconfirmed(error: WireError) -> SendUnknown:
    return SendUnknown(f"there was no confirm before the connection was lost: {error}")


@dataclass(frozen=True, slots=True)
class Fate:
    """How those end that were written and not confirmed when their channel was closed."""

    failed: Sequence[tuple[Send, MessagingError]]
    #: The broker did nothing of these: they can be written again.
    again: Sequence[Send] = ()


def fates(sends: Sequence[Send], error: WireError) -> Fate:
    """Tell how they end, in the order in which they were written.

    A broker that closes a channel for a message does nothing of what comes behind that one, and has
    done all that came before.
    """
    unknown = [(send, unconfirmed(error)) for send in sends]
    if not isinstance(error, ChannelClosed) or not sends:
        return Fate(unknown)
    if error.code == _TOO_LARGE and (limit := _LIMIT.search(error.text)) is not None:
        most = int(limit["most"])
        for at, send in enumerate(sends):
            size = len(send.envelope.body)
            if size > most:
                refused = SendRefused(f"the broker takes no message of {size:,} bytes, at most {most:,}")
                return Fate([*unknown[:at], (send, refused)], sends[at + 1 :])
    if error.code in (NOT_FOUND, ACCESS_REFUSED):
        # It was the last of them, or one before it.
        return Fate([*unknown[:-1], (sends[-1], refusal(sends[-1].exchange, error))])
    return Fate(unknown)


def refusal(exchange: str, error: ChannelClosed) -> SendRefused:
    """Say why nothing can be sent to an exchange."""
    if error.code == NOT_FOUND:
        return Unroutable(absent(f"exchange {exchange!r}"))
    return SendRefused(f"exchange {exchange!r}: {error.text}")
