"""The properties of a message, as they stand in the header frame of its content."""

from struct import Struct
from typing import NamedTuple

from msgkit_rabbitmq.wire.tables import MalformedTable, Table, decode_table, encode_table

__all__ = ["SHORT", "Properties", "decode_properties", "encode_properties"]

#: The most bytes of a property that is text.
SHORT = 255

_FLAGS, _TIMESTAMP = Struct(">H"), Struct(">Q")
_CONTENT_TYPE, _CONTENT_ENCODING, _HEADERS, _DELIVERY_MODE = 1 << 15, 1 << 14, 1 << 13, 1 << 12
_PRIORITY, _CORRELATION_ID, _REPLY_TO, _EXPIRATION = 1 << 11, 1 << 10, 1 << 9, 1 << 8
_MESSAGE_ID, _TIME, _TYPE, _USER_ID, _APP_ID = 1 << 7, 1 << 6, 1 << 5, 1 << 4, 1 << 3


class Properties(NamedTuple):
    """What AMQP says about a message beside its bytes."""

    content_type: str | None = None
    content_encoding: str | None = None
    headers: Table | None = None
    delivery_mode: int | None = None
    priority: int | None = None
    correlation_id: str | None = None
    reply_to: str | None = None
    expiration: str | None = None
    message_id: str | None = None
    timestamp: int | None = None
    type: str | None = None
    user_id: str | None = None
    app_id: str | None = None


def encode_properties(properties: Properties) -> bytes:
    """Return the flags, and the properties that are set.

    :raises MalformedTable: when a header or a text does not fit
    """
    flags = 0
    parts: list[bytes] = [b""]
    for flag, value in zip(_ORDER, properties, strict=True):
        if value is None:
            continue
        flags |= flag
        if isinstance(value, str):
            parts.append(_short(value))
        elif isinstance(value, int):
            parts.append(_TIMESTAMP.pack(value) if flag == _TIME else bytes((value,)))
        else:
            parts.append(encode_table(value))
    parts[0] = _FLAGS.pack(flags)
    return b"".join(parts)


_ORDER = (
    _CONTENT_TYPE,
    _CONTENT_ENCODING,
    _HEADERS,
    _DELIVERY_MODE,
    _PRIORITY,
    _CORRELATION_ID,
    _REPLY_TO,
    _EXPIRATION,
    _MESSAGE_ID,
    _TIME,
    _TYPE,
    _USER_ID,
    _APP_ID,
)


def _short(text: str) -> bytes:
    encoded = text.encode()
    if len(encoded) > SHORT:
        raise MalformedTable(f"{text[:40]!r}… has more than {SHORT} bytes")
    return bytes((len(encoded),)) + encoded


def decode_properties(data: bytes) -> Properties:
    """Return the properties that stand in a header frame behind the size of the body."""
    (flags,) = _FLAGS.unpack_from(data)
    at = 2
    found: list[object] = []
    for flag in _ORDER:
        if not flags & flag:
            found.append(None)
        elif flag == _HEADERS:
            headers, at = decode_table(data, at)
            found.append(headers)
        elif flag in (_DELIVERY_MODE, _PRIORITY):
            found.append(data[at])
            at += 1
        elif flag == _TIME:
            found.append(_TIMESTAMP.unpack_from(data, at)[0])
            at += 8
        else:
            end = at + 1 + data[at]
            found.append(data[at + 1 : end].decode("utf-8", "replace"))
            at = end
    return Properties._make(found)
