r"""Envelopes as Kafka's records, and back. Pure.

The key is the record's key and the body its value, so that other programs read them; what else is said are
headers of the names below, each of them text. A record with the header `msgkit-id` is one of ours: its other headers
are text too, but for those that `msgkit-kinds` names. In a record without it they are bytes, and its place in the log
is its id. Our names mean the same in both, so that other programs may name a subject, or ask and answer; they may ask
as Spring does, too.

A key that is no UTF-8 is read with its odd bytes as `\xff`, a text like any other; its copies have the bytes.
"""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from msgkit.envelope import NO_HEADERS, Envelope, Kind
from msgkit.errors import InvalidMessage
from msgkit.spi.addresses import addressed
from msgkit.spi.kinds import grouped, kinds_in, milliseconds, moment, read, whole, written
from msgkit.values import Headers, HeaderValue
from msgkit_kafka.asking import asked
from msgkit_kafka.wire.records import HEAD, NewRecord, Record, size_of
from msgkit_kafka.wire.records import Headers as Pairs

__all__ = [
    "DUE",
    "ORIGIN",
    "REFUSALS",
    "TOMBSTONE",
    "WAIT",
    "WHY",
    "Source",
    "encoded",
    "sent_on",
    "size",
    "told",
    "understood",
]

#: True in the headers of what has no value, and so deletes its key from a compacted topic. On the wire it is no header.
TOMBSTONE = "msgkit-tombstone"
#: Where a message was sent that was tried again since, in its queue only.
ORIGIN = "msgkit-origin"
#: Where a delayed message goes when it is due.
DUE = "msgkit-due"
#: What is left of its delay.
WAIT = "msgkit-wait"
#: How often it was due and not taken where it goes.
REFUSALS = "msgkit-refusals"
#: Why a delayed message goes nowhere.
WHY = "msgkit-why"

_ID, _TYPE, _SUBJECT = "msgkit-id", "msgkit-type", "msgkit-subject"
_CORRELATION, _REPLY_TO = "msgkit-correlation", "msgkit-reply-to"
_SENT, _EXPIRES, _ATTEMPT = "msgkit-sent", "msgkit-expires", "msgkit-attempt"
_PRIORITY, _KINDS = "msgkit-priority", "msgkit-kinds"
#: By this name all programs know it.
_CONTENT_TYPE = "content-type"
#: Before the name of a header that would be taken for one of these.
_OF_THE_USER = "msgkit-user-"
_OF_THE_WAY = frozenset({DUE, WAIT, REFUSALS, WHY})
_OURS = _OF_THE_WAY | {
    *(_ID, _TYPE, _SUBJECT, _CORRELATION, _REPLY_TO, _SENT, _EXPIRES, _ATTEMPT, _PRIORITY, _KINDS),
    *(_CONTENT_TYPE, ORIGIN),
}
_NOTHING: Collection[str] = frozenset()
_NO_KINDS: Mapping[str, str] = {}

_Pair = tuple[str, bytes | None]


class Source(NamedTuple):
    """A partition, and what its records are addressed to unless they say otherwise."""

    kind: Kind
    destination: str
    topic: str
    partition: int


# -- out


def encoded(
    envelope: Envelope, now: float, *, origin: Record | None = None, also: Mapping[str, str] | None = None
) -> NewRecord:
    """Return an envelope's record; `origin` is the one that it is a copy of, `also` is what is said of its way.

    Its time is when it is written, not when it was sent: else copies of what is old would be deleted early.

    :raises InvalidMessage: when something cannot be written, or a tombstone has a body
    """
    try:
        pairs = _said_of(envelope)
        if also:
            pairs += [(name, text.encode()) for name, text in also.items()]
        if origin is None:
            key, value = _content(envelope, pairs)
        else:
            key, value = _copied(envelope, origin, pairs)
    except UnicodeEncodeError:
        msg = f"message {envelope.message_id!r} holds half a character (a lone surrogate), which no broker carries"
        raise InvalidMessage(msg) from None
    return key, value, pairs, int(now * 1000)


def _said_of(envelope: Envelope) -> list[_Pair]:
    """Return all but the content and what is said of that."""
    texts = (
        (_ID, envelope.message_id),
        (_TYPE, envelope.type),
        (_SUBJECT, envelope.subject),
        (_CORRELATION, envelope.correlation_id),
        (_REPLY_TO, envelope.reply_to),
    )
    pairs: list[_Pair] = [(name, text.encode()) for name, text in texts if text is not None]
    if envelope.sent_at is not None:
        pairs.append((_SENT, b"%r" % envelope.sent_at))
    if envelope.attempt > 1:
        pairs.append((_ATTEMPT, b"%d" % envelope.attempt))
    if envelope.expires_at is not None:
        pairs.append((_EXPIRES, b"%r" % envelope.expires_at))
    if envelope.priority is not None:
        pairs.append((_PRIORITY, b"%d" % envelope.priority))
    return pairs


def _content(envelope: Envelope, pairs: list[_Pair]) -> tuple[bytes | None, bytes | None]:
    """Add what is said of a new message's content, and return its key and value."""
    value: bytes | None = envelope.body
    headers = envelope.headers
    if envelope.content_type is not None:
        pairs.append((_CONTENT_TYPE, envelope.content_type.encode()))
    if headers:
        if headers.get(TOMBSTONE) is True:
            if value:
                msg = f"a message with the header {TOMBSTONE!r} has no body, and this one has {len(value):,} bytes"
                raise InvalidMessage(msg)
            value, headers = None, _no_tombstone(headers)
        _put(pairs, headers, _NOTHING)
    return None if envelope.key is None else envelope.key.encode(), value


def _no_tombstone(headers: Headers) -> Headers:
    return {name: value for name, value in headers.items() if name != TOMBSTONE}


def _put(pairs: list[_Pair], headers: Headers, there: Collection[str]) -> None:
    """Add headers, and what they are; of those that are there already only that."""
    kinds: dict[str, list[str]] = {}
    for name, value in headers.items():
        if type(value) is str:
            data = value.encode()
        else:
            kind, data = written(name, value)
            if kind is not None:
                kinds.setdefault(kind, []).append(name)
        if name not in there:
            pairs.append((_called(name), data))
    if kinds:
        pairs.append((_KINDS, grouped(kinds).encode()))


def _called(name: str) -> str:
    """Return what a header of the user's is called in a record."""
    if not name.isascii():
        # What cannot be written must show here, and not when it stands in a batch with others.
        name.encode()
    return _OF_THE_USER + name if name in _OURS or name.startswith(_OF_THE_USER) else name


def _copied(envelope: Envelope, origin: Record, pairs: list[_Pair]) -> tuple[bytes | None, bytes | None]:
    """As `_content`; what others wrote stays byte by byte, unless it was changed since."""
    value: bytes | None = envelope.body
    headers, before = envelope.headers, _headers_of(origin)
    if origin.value is None and not value:
        value, headers = None, _no_tombstone(headers)
    same = {name for name, was in before.items() if _is_same(was, headers.get(name))}
    said = told(origin.headers, _CONTENT_TYPE)
    if said != envelope.content_type and envelope.content_type is not None:
        pairs.append((_CONTENT_TYPE, envelope.content_type.encode()))
    for pair in origin.headers:
        name = pair[0].removeprefix(_OF_THE_USER)
        if pair[0] in _OURS:
            stays = pair[0] == _CONTENT_TYPE and said == envelope.content_type
        else:
            stays = name in same or (name not in before and name not in headers)
        if stays:
            pairs.append(pair)
    _put(pairs, headers, same)
    key = envelope.key
    if origin.key is not None and key == _key(origin.key):
        return origin.key, value
    return None if key is None else key.encode(), value


def _is_same(one: HeaderValue, other: HeaderValue | None) -> bool:
    return type(one) is type(other) and one == other


# -- in


def understood(record: Record, source: Source) -> Envelope:
    """Return the envelope of a record. What is wrong in it is taken for not said: nothing is raised."""
    said = dict(record.headers)
    get = said.get
    kind, destination, topic, partition = source
    if ORIGIN in said:
        kind, destination = addressed(_text(said[ORIGIN])) or (kind, destination)
    message_id = _text(get(_ID))
    key, value, sent_at = record.key, record.value, moment(get(_SENT))
    return Envelope(
        b"" if value is None else value,
        destination,
        kind,
        message_id or f"{topic}/{partition}/{record.offset}",
        _headers(said, value, is_ours=bool(message_id)),
        None if key is None else _key(key),
        _text(get(_SUBJECT)),
        _text(get(_CONTENT_TYPE)),
        _text(get(_TYPE)),
        milliseconds(record.timestamp) if sent_at is None else sent_at,
        _text(get(_CORRELATION)),
        asked(said) if message_id is None and _REPLY_TO not in said else _text(get(_REPLY_TO)),
        whole(get(_ATTEMPT)) or 1,
        moment(get(_EXPIRES)),
        priority=whole(get(_PRIORITY)),
    )


def _headers_of(record: Record) -> Headers:
    said = dict(record.headers)
    return _headers(said, record.value, is_ours=bool(_text(said.get(_ID))))


def _headers(said: Mapping[str, bytes | None], value: bytes | None, *, is_ours: bool) -> Headers:
    """Return the user's headers among all."""
    headers: dict[str, HeaderValue] = {}
    kinds = kinds_in(_text(said[_KINDS]) or "") if _KINDS in said else _NO_KINDS
    for called, raw in said.items():
        if called in _OURS or raw is None:
            continue
        name = called.removeprefix(_OF_THE_USER)
        headers[name] = read(raw, kinds.get(name)) if is_ours else raw
    if value is None:
        headers[TOMBSTONE] = True
    elif headers.get(TOMBSTONE) is True:
        # Nobody is to take for deleted what is there.
        del headers[TOMBSTONE]
    return headers or NO_HEADERS


def _text(raw: bytes | None) -> str | None:
    if raw is None:
        return None
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None


def _key(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")


# -- on the way


def told(headers: Pairs, name: str) -> str | None:
    """Return what a header says, the last one of that name."""
    return next((_text(raw) for each, raw in reversed(headers) if each == name), None)


def sent_on(headers: Pairs, also: Mapping[str, str]) -> list[_Pair]:
    """Return the headers of a delayed record for its next stop: the same, but for what is said of its way."""
    stay: list[_Pair] = [pair for pair in headers if pair[0] not in _OF_THE_WAY]
    return stay + [(name, text.encode()) for name, text in also.items()]


def size(record: NewRecord) -> int:
    """Return how many bytes a record takes at most, alone in its batch and not compressed."""
    return HEAD + size_of(record)
