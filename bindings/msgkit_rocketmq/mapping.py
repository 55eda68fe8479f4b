"""Envelopes as RocketMQ's messages, and back. Pure.

What RocketMQ has a name for stands there, so that other programs read it: the id, the subject is the tag, the key is
the sharding key, and who waits for an answer is told as by Java's clients. The rest are properties of the names below,
and the user's headers: text, of which `msgkit-kinds` says what else it is. All of them mean the same in messages of
other programs. The broker has no empty bodies, so that one is a byte which `msgkit-empty` says is none.
"""

from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from msgkit.envelope import NO_HEADERS, Envelope, Kind
from msgkit.errors import InvalidMessage
from msgkit.spi.addresses import addressed
from msgkit.spi.kinds import grouped, kinds_in, milliseconds, moment, read, whole, written
from msgkit.values import Headers, HeaderValue
from msgkit_rocketmq.client.properties import escaped, escaped_name, is_reserved, size_of, unescaped, unescaped_name
from msgkit_rocketmq.client.records import Record
from msgkit_rocketmq.client.sending import Outgoing

__all__ = ["CHECK", "MAX_PROPERTIES", "ORIGIN", "Addressee", "client_address", "client_of", "encoded", "understood"]

#: Bytes of properties: a message takes 32,767, and the broker adds some of its own on the way.
MAX_PROPERTIES = 31 * 1024
#: What a dead letter says beside what its original said.
_OF_THE_DEAD = 4 * 1024

#: Where a message was sent of which this is a copy, in its queue only; or where a half message is sent.
ORIGIN = "msgkit-origin"
#: Who knows what becomes of a half message.
CHECK = "msgkit-check"

_ID, _SUBJECT, _KEY = "UNIQ_KEY", "TAGS", "__SHARDINGKEY"
_ASKED_BY, _ASKED_AS, _CLUSTER, _TTL = "REPLY_TO_CLIENT", "CORRELATION_ID", "CLUSTER", "TTL"
_TYPE, _CONTENT_TYPE = "msgkit-type", "content-type"
_CORRELATION, _REPLY_TO = "msgkit-correlation", "msgkit-reply-to"
_SENT, _EXPIRES, _ATTEMPT = "msgkit-sent", "msgkit-expires", "msgkit-attempt"
_PRIORITY, _KINDS, _EMPTY = "msgkit-priority", "msgkit-kinds", "msgkit-empty"
#: Before the name of a header that would be taken for one of these.
_OF_THE_USER = "msgkit-user-"
_OURS = frozenset(
    {
        *(_TYPE, _CONTENT_TYPE, _CORRELATION, _REPLY_TO, _SENT, _EXPIRES, _ATTEMPT, _PRIORITY, _KINDS, _EMPTY),
        *(ORIGIN, CHECK),
    }
)
#: By these, messages are found again on the console. The broker does nothing else with them.
_LOOKED_UP = "KEYS"
#: Before the address of a client of a cluster that waits for answers.
_CLIENT = "rocketmq-client:"
_NO_KINDS: Mapping[str, str] = {}
_NO_BODY = b"\0"


class Addressee(NamedTuple):
    """What the messages of a topic are addressed to."""

    kind: Kind
    destination: str


def client_address(cluster: str, client: str) -> str:
    """Return what a client's answers are addressed to."""
    return f"{_CLIENT}{cluster}/{client}"


def client_of(address: str) -> tuple[str, str] | None:
    """Return the cluster and the client that an address is of; None if it is another's."""
    cluster, found, client = address.removeprefix(_CLIENT).partition("/")
    return (cluster, client) if address.startswith(_CLIENT) and found and cluster and client else None


# -- out


def encoded(envelope: Envelope, *, is_copy: bool = False, origin: str | None = None) -> Outgoing:
    """Return an envelope's message.

    :param is_copy: may it take up the room that is kept for its dead letter?
    :param origin: the address of what it is a copy of, if that is to be told
    :raises InvalidMessage: when something cannot be written
    """
    properties = {name: escaped(text) for name, text in _texts_of(envelope) if text is not None}
    properties.update(_numbers_of(envelope))
    if origin is not None:
        properties[ORIGIN] = escaped(origin)
    if envelope.headers:
        _put(properties, envelope.headers)
    try:
        size = size_of(properties)
    except UnicodeEncodeError:
        msg = f"message {envelope.message_id!r} holds half a character (a lone surrogate), which no broker carries"
        raise InvalidMessage(msg) from None
    most = MAX_PROPERTIES if is_copy else MAX_PROPERTIES - _OF_THE_DEAD
    if size > most:
        msg = f"message {envelope.message_id} has {size:,} bytes of headers and keys; RocketMQ has room for {most:,}"
        raise InvalidMessage(msg)
    if envelope.body:
        return Outgoing(envelope.body, properties)
    return Outgoing(_NO_BODY, {**properties, _EMPTY: "true"})


def _texts_of(envelope: Envelope) -> Iterator[tuple[str, str | None]]:
    yield _ID, envelope.message_id
    yield _SUBJECT, envelope.subject
    yield _KEY, envelope.key
    yield _TYPE, envelope.type
    yield _CONTENT_TYPE, envelope.content_type
    asked_by = client_of(envelope.reply_to or "")
    if asked_by is not None and envelope.correlation_id is not None:
        _, client = asked_by
        yield _ASKED_BY, client
        yield _ASKED_AS, envelope.correlation_id
    else:
        yield _CORRELATION, envelope.correlation_id
        yield _REPLY_TO, envelope.reply_to


def _numbers_of(envelope: Envelope) -> Iterator[tuple[str, str]]:
    if envelope.sent_at is not None:
        yield _SENT, repr(envelope.sent_at)
    if envelope.attempt > 1:
        yield _ATTEMPT, str(envelope.attempt)
    if envelope.expires_at is not None:
        yield _EXPIRES, repr(envelope.expires_at)
        if envelope.reply_to is not None and envelope.sent_at is not None:
            yield _TTL, str(max(1, round((envelope.expires_at - envelope.sent_at) * 1000)))
    if envelope.priority is not None:
        yield _PRIORITY, str(envelope.priority)


def _put(properties: dict[str, str], headers: Headers) -> None:
    """Add headers, and what they are."""
    kinds: dict[str, list[str]] = {}
    for name, value in headers.items():
        if type(value) is str:
            text = value
        else:
            try:
                kind, data = written(name, value)
            except UnicodeEncodeError:
                msg = f"header {name!r} holds half a character (a lone surrogate), which no broker carries"
                raise InvalidMessage(msg) from None
            text = (b64encode(data) if kind == "bytes" else data).decode()
            if kind is not None:
                kinds.setdefault(kind, []).append(name)
        properties[_called(name)] = escaped(text)
    if kinds:
        properties[_KINDS] = grouped(kinds)


def _called(name: str) -> str:
    """Return what a header of the user's is called in a message."""
    if name == _LOOKED_UP:
        return name
    return _OF_THE_USER + name if name in _OURS or name.startswith(_OF_THE_USER) else escaped_name(name)


# -- in


def understood(record: Record, addressee: Addressee, returned: int = 0) -> Envelope:
    """Return the envelope of a message that came back so often.

    What is wrong in it is taken for not said: nothing is raised.
    """
    said = record.properties
    sent_at = moment(said.get(_SENT))
    kind, destination = addressed(_text(said, ORIGIN)) or addressee
    correlation_id, reply_to = _asked(said)
    return Envelope(
        b"" if _EMPTY in said and record.body == _NO_BODY else record.body,
        destination,
        kind,
        unescaped(record.id),
        _headers(said),
        _text(said, _KEY),
        _text(said, _SUBJECT),
        _text(said, _CONTENT_TYPE),
        _text(said, _TYPE),
        milliseconds(record.born) if sent_at is None else sent_at,
        correlation_id,
        reply_to,
        (whole(said.get(_ATTEMPT)) or 1) + returned,
        moment(said.get(_EXPIRES)),
        priority=whole(said.get(_PRIORITY)),
    )


def _text(said: Mapping[str, str], name: str) -> str | None:
    return unescaped(said[name]) if name in said else None


def _asked(said: Mapping[str, str]) -> tuple[str | None, str | None]:
    """Return what an answer is known by, and where it goes."""
    client, correlation = _text(said, _ASKED_BY), _text(said, _ASKED_AS)
    if client is None or correlation is None:
        return _text(said, _CORRELATION), _text(said, _REPLY_TO)
    return correlation, client_address(said.get(_CLUSTER, ""), client)


def _headers(said: Mapping[str, str]) -> Headers:
    """Return the user's headers among all."""
    headers: dict[str, HeaderValue] = {}
    kinds = kinds_in(said[_KINDS]) if _KINDS in said else _NO_KINDS
    for called, text in said.items():
        if called in _OURS or (is_reserved(called) and called != _LOOKED_UP):
            continue
        name = unescaped_name(called).removeprefix(_OF_THE_USER)
        headers[name] = _value(unescaped(text), kinds.get(name))
    return headers or NO_HEADERS


def _value(text: str, kind: str | None) -> HeaderValue:
    if kind is None:
        return text
    if kind != "bytes":
        return read(text.encode(errors="replace"), kind)
    try:
        return b64decode(text, validate=True)
    except ValueError:
        return text
