"""Envelopes as RabbitMQ's messages, and back. Pure.

What AMQP has a property for stands there, so that other programs read it: the message id, the
correlation id, the content type, the type, the reply address, the time in seconds, the priority. The subject
is the routing key. The rest are headers, of the names below.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple, cast

from msgkit.envelope import NO_HEADERS, Envelope, Kind, new_id
from msgkit.values import Headers, HeaderValue
from msgkit_rabbitmq.wire import (
    SHORT,
    Delivered,
    MalformedTable,
    Properties,
    Table,
    decode_properties,
    encode_properties,
)

__all__ = [
    "DUE",
    "END",
    "LAST_MOMENT",
    "LEVEL",
    "ORIGIN",
    "REPLIES",
    "SENT",
    "Taken",
    "encoded",
    "header_name",
    "times_back",
    "understood",
]

#: Where replies go without a queue.
REPLIES = "amq.rabbitmq.reply-to"
#: Where a delayed message goes when it is due.
DUE = "msgkit-due"
#: Where a message was sent that was tried again since, in its queue only.
ORIGIN = "msgkit-origin"
#: When a message was sent, exactly.
SENT = "msgkit-sent"
#: The header of what says how far a history is to be read. It is nobody's message.
END = "msgkit-end-of-history"
#: The end of the year 9999.
LAST_MOMENT = 253_402_300_799
#: The start of the names of headers that say which levels of delay a message takes.
LEVEL = "msgkit-level-"

_KEY, _SUBJECT, _ATTEMPT = "msgkit-key", "msgkit-subject", "msgkit-attempt"
_EXPIRES = "msgkit-expires"
#: The names of headers, as JSON, of which the value does not tell what they are.
_TIMES, _BYTES = "msgkit-times", "msgkit-bytes"
#: Before the name of a property whose text is longer than AMQP lets it be.
_LONG = "msgkit-long-"
#: Before the name of a header that would mean something to the broker, or to us.
_OF_THE_USER = "msgkit-user-"
#: By these a sender has copies made, and they must be lists.
_COPIES = frozenset({"CC", "BCC"})
#: By this a route says how it asks for headers.
_MATCH = "x-match"
_OURS = frozenset({_KEY, _SUBJECT, _ATTEMPT, _EXPIRES, _TIMES, _BYTES, SENT, DUE, ORIGIN, END})
_PLAIN = (str, bool, int, float, bytes, datetime)
_COUNTS = ("x-delivery-count", "x-acquired-count", "x-stream-offset")
_UTF8 = ("", "utf-8", "utf8", "binary", "identity")
_ENCODING = "content-encoding"
_PERSISTENT = 2
#: What fits into one frame: more, and the broker closes the connection.
_MOST = 128 * 1024 - 32


class Taken(NamedTuple):
    """A message as it was taken: what an envelope cannot say of it is kept for its copies."""

    envelope: Envelope
    properties: Properties
    #: How often it was taken before and given back, or its consumer died, as the broker counts.
    returned: int


def encoded(envelope: Envelope, origin: Properties | None = None, also: Table = NO_HEADERS) -> bytes:
    """Return an envelope's properties; `origin` are those of the message that it is a copy of.

    :raises MalformedTable: when something does not fit
    """
    table = _headers_of(envelope, origin)
    table.update(also)
    content_type = _short("content_type", envelope.content_type, table)
    correlation_id = _short("correlation_id", envelope.correlation_id, table)
    reply_to = _short("reply_to", envelope.reply_to, table)
    message_id = _short("message_id", envelope.message_id, table)
    kind = _short("type", envelope.type, table)
    sent = envelope.sent_at
    written = encode_properties(
        Properties(
            content_type=content_type,
            content_encoding=origin.content_encoding if origin is not None else None,
            headers=table or None,
            delivery_mode=_PERSISTENT,
            priority=envelope.priority,
            correlation_id=correlation_id,
            reply_to=reply_to,
            message_id=message_id,
            timestamp=int(sent) if sent is not None and sent >= 0 else None,
            type=kind,
            app_id=origin.app_id if origin is not None else None,
        )
    )
    if len(written) > _MOST:
        raise MalformedTable(f"its headers have {len(written):,} bytes, and RabbitMQ takes at most {_MOST:,}")
    return written


def _headers_of(envelope: Envelope, origin: Properties | None) -> dict[str, object]:
    table = _of_the_user(envelope.headers) if envelope.headers else {}
    if origin is not None:
        table.update(_unspoken(envelope.headers, origin))
    if envelope.key is not None:
        table[_KEY] = envelope.key
    if envelope.subject is not None and (envelope.kind is not Kind.EXCHANGE or not envelope.subject):
        table[_SUBJECT] = envelope.subject
    if envelope.attempt > 1:
        table[_ATTEMPT] = envelope.attempt
    if envelope.expires_at is not None:
        table[_EXPIRES] = envelope.expires_at
    if envelope.sent_at is not None:
        table[SENT] = envelope.sent_at
    return table


def header_name(name: str) -> str:
    """Return what a header of ours is called on the way, which is what a route has to ask for."""
    return _OF_THE_USER + name if _is_taken(name) else name


def _of_the_user(headers: Headers) -> dict[str, object]:
    table: dict[str, object] = {}
    times: list[str] = []
    octets: list[str] = []
    for name, value in headers.items():
        said = header_name(name)
        table[said] = value
        if isinstance(value, datetime):
            times.append(said)
            table[said] = value.isoformat()
        elif isinstance(value, bytes):
            # Out of a stream they may come as text.
            octets.append(said)
    # As text: a list does not get into a stream.
    if times:
        table[_TIMES] = json.dumps(times)
    if octets:
        table[_BYTES] = json.dumps(octets)
    return table


def _unspoken(headers: Headers, origin: Properties) -> dict[str, object]:
    """Return the headers of another program that ours cannot say: tables, lists, decimals, nothing."""
    return {
        name: value
        for name, value in (origin.headers or {}).items()
        if not isinstance(value, _PLAIN)
        # Whom the sender had a copy made for has it.
        and not (_is_of_the_way(name) or name in _COPIES)
        and (value is None or headers.get(name) == _as_text(value))
    }


def _short(name: str, text: str | None, table: dict[str, object]) -> str | None:
    """Return a property's text, or put it among the headers when it is too long for a property."""
    if text is None or (len(text) <= SHORT and (text.isascii() or len(text.encode()) <= SHORT)):
        return text
    table[_LONG + name] = text
    return None


def understood(message: Delivered, queue: str) -> Taken:
    """Return the envelope of a message that came from a queue.

    :raises MalformedTable: when its headers cannot be read
    """
    properties = decode_properties(message.properties)
    table = properties.headers or NO_HEADERS
    kind, destination = _addressed(message, queue, table)
    is_routed = kind is Kind.EXCHANGE and ORIGIN not in table
    subject = table.get(_SUBJECT, message.key or None if is_routed else None)
    sent = table.get(SENT, properties.timestamp)
    attempt = table.get(_ATTEMPT, 1)
    envelope = Envelope(
        body=message.body,
        destination=destination,
        kind=kind,
        message_id=_text("message_id", properties.message_id, table) or new_id(),
        headers=_headers_in(table, properties) if table or properties.content_encoding else NO_HEADERS,
        key=_str(table.get(_KEY)),
        subject=_str(subject),
        content_type=_text("content_type", properties.content_type, table),
        type=_text("type", properties.type, table),
        sent_at=_moment(sent),
        correlation_id=_text("correlation_id", properties.correlation_id, table),
        reply_to=_text("reply_to", properties.reply_to, table),
        attempt=attempt if isinstance(attempt, int) and attempt > 0 else 1,
        expires_at=_float(table.get(_EXPIRES)),
        priority=properties.priority,
    )
    # What was never given back may bring the count of another queue with it.
    returned = _count(table, "x-delivery-count") if message.redelivered else 0
    return Taken(envelope, properties, returned)


def times_back(message: Delivered) -> int:
    """Return how often a message was given back, as far as its queue counts that."""
    if not message.redelivered:
        return 0
    try:
        table = decode_properties(message.properties).headers or NO_HEADERS
    except MalformedTable:
        return 0
    # The newest count what was lost with a connection only in the second.
    return max(_count(table, "x-delivery-count"), _count(table, "x-acquired-count"))


def _addressed(message: Delivered, queue: str, table: Table) -> tuple[Kind, str]:
    if isinstance(said := table.get(ORIGIN, table.get(DUE)), str):
        kind, _, destination = said.partition(":")
        return Kind.EXCHANGE if kind == Kind.EXCHANGE.value else Kind.QUEUE, destination
    if message.exchange:
        return Kind.EXCHANGE, message.exchange
    return Kind.QUEUE, queue


def _headers_in(table: Table, properties: Properties) -> Headers:
    times, octets = _names(table.get(_TIMES)), _names(table.get(_BYTES))
    headers: dict[str, HeaderValue] = {}
    for name, value in table.items():
        if value is None or _is_of_the_way(name):
            continue
        said = name.removeprefix(_OF_THE_USER)
        if isinstance(value, str) and name in times:
            headers[said] = _time(value)
        elif isinstance(value, str) and name in octets:
            headers[said] = value.encode()
        else:
            headers[said] = value if isinstance(value, _PLAIN) else _as_text(value)
    encoding = properties.content_encoding
    if encoding is not None and encoding.lower() not in _UTF8:
        headers[_ENCODING] = encoding
    return headers


def _names(text: object) -> frozenset[str]:
    """Return the names that a text lists, whoever wrote it."""
    try:
        names: object = json.loads(text) if isinstance(text, str) else ()
    except (ValueError, RecursionError):
        return frozenset()
    listed = cast("list[object]", names) if isinstance(names, list) else ()
    return frozenset(name for name in listed if isinstance(name, str))


def _time(text: str) -> datetime | str:
    """Return the time that a text is; the text, when somebody else wrote what is none."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return text
    return text if time.tzinfo is None else time


def _is_of_the_way(name: str) -> bool:
    """Is this what the broker, or our own delays, wrote down on the way?"""
    if name.startswith("msgkit-"):
        return name in _OURS or name.startswith((LEVEL, _LONG))
    return name.startswith(("x-death", "x-first-death-", "x-last-death-")) or name in _COUNTS


def _is_taken(name: str) -> bool:
    """Would a header of that name mean something else than its sender meant?"""
    return _is_of_the_way(name) or name in _COPIES or name == _MATCH or name.startswith(_OF_THE_USER)


def _as_text(value: object) -> str:
    return json.dumps(value, default=_plainer, ensure_ascii=False)


def _plainer(value: object) -> object:
    match value:
        case Decimal():
            return float(value)
        case datetime():
            return value.astimezone(UTC).isoformat()
        case bytes():
            return value.decode("latin-1")
        case Mapping():
            return dict(cast("Mapping[str, object]", value))
        case _:
            return str(value)


def _text(name: str, value: str | None, table: Table) -> str | None:
    return value if value is not None else _str(table.get(_LONG + name))


def _str(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _moment(value: object) -> float | None:
    """Return seconds since 1970; some programs say milliseconds."""
    if not isinstance(value, (int, float)):
        return None
    seconds = value / 1000 if value > LAST_MOMENT else float(value)
    return seconds if 0 <= seconds <= LAST_MOMENT else None


def _count(table: Table, name: str) -> int:
    count = table.get(name, 0)
    return count if isinstance(count, int) and count > 0 else 0


def _float(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None
