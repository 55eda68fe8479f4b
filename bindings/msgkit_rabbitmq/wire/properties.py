"""The properties of a message, as they stand in the header frame of its content."""

from collections.abc import Callable
from functools import lru_cache
from struct import Struct, error
from typing import Any, NamedTuple

from msgkit_rabbitmq.wire.frames import MOST
from msgkit_rabbitmq.wire.tables import MalformedTable, Table, decode_table, encode_table, short

__all__ = ["Properties", "decode_properties", "encode_properties"]

_FLAGS, _TIMESTAMP = Struct(">H"), Struct(">Q")
_HEADERS, _DELIVERY_MODE, _PRIORITY, _TIME = 1 << 13, 1 << 12, 1 << 11, 1 << 6
#: A word of flags is followed by another one. There are no properties for that many.
_MORE = 1
_OCTETS = (_DELIVERY_MODE, _PRIORITY)


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


#: The first has the highest bit.
_ORDER = tuple(1 << 15 - at for at in range(len(Properties._fields)))
_OTHERWISE: dict[int, Callable[[Any], bytes]] = {
    _HEADERS: encode_table,
    _DELIVERY_MODE: Struct(">B").pack,
    _PRIORITY: Struct(">B").pack,
    _TIME: _TIMESTAMP.pack,
}
#: How each is written.
_WAYS = tuple((flag, _OTHERWISE.get(flag, short)) for flag in _ORDER)


def encode_properties(properties: Properties) -> bytes:
    """Return the flags, and the properties that are set.

    :raises MalformedTable: when a header, a number or a text does not fit, or all of them not into a frame
    """
    try:
        encoded = _encoded(properties)
    except (ValueError, error) as wrong:
        if isinstance(wrong, MalformedTable):
            raise
        raise MalformedTable(f"this cannot be a property: {wrong}") from None
    if len(encoded) > MOST:
        raise MalformedTable(f"the properties and headers have {len(encoded):,} bytes; at most {MOST:,} fit")
    return encoded


def _encoded(properties: Properties) -> bytes:
    flags = 0
    parts = [b""]
    for value, (flag, encode) in zip(properties, _WAYS, strict=True):
        if value is not None:
            flags |= flag
            parts.append(encode(value))
    parts[0] = _FLAGS.pack(flags)
    return b"".join(parts)


def decode_properties(data: bytes) -> Properties:
    """Return the properties that stand in a header frame behind the size of the body.

    :raises MalformedTable: when there are none
    """
    try:
        return _decoded(data)
    except (error, IndexError) as wrong:
        raise MalformedTable(f"these bytes are no properties: {wrong!r}") from None


def _decoded(data: bytes) -> Properties:
    found: list[object] = [None] * len(_ORDER)
    at = 2
    for place, flag in _present(data[0] << 8 | data[1]):
        if flag == _HEADERS:
            found[place], at = decode_table(data, at)
        elif flag in _OCTETS:
            found[place] = data[at]
            at += 1
        elif flag == _TIME:
            (found[place],) = _TIMESTAMP.unpack_from(data, at)
            at += 8
        else:
            end = at + 1 + data[at]
            text = data[at + 1 : end]
            try:
                found[place] = text.decode()
            except UnicodeDecodeError:
                found[place] = text.decode("utf-8", "replace")
            at = end
    if at > len(data):
        raise MalformedTable("the properties end too early")
    return Properties._make(found)


@lru_cache(maxsize=1024)
def _present(flags: int) -> tuple[tuple[int, int], ...]:
    """Return which properties there are: their places, and their flags."""
    if flags & _MORE:
        raise MalformedTable("there are more properties than AMQP has")
    return tuple((place, flag) for place, flag in enumerate(_ORDER) if flags & flag)
