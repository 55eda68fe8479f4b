"""The methods of AMQP 0-9-1 that are spoken here: their numbers, and what they carry.

A field is a letter: o(ctet), h (16 bits), l (32 bits), q (64 bits), s(hort text), S (long
text), t(able), b(it); bits that follow each other share octets.
"""

from dataclasses import dataclass, field
from struct import Struct, error
from typing import cast

from msgkit_rabbitmq.wire.tables import MalformedTable, Table, decode_table, encode_table, short

__all__ = [
    "BASIC_CANCEL",
    "BASIC_CANCEL_OK",
    "BASIC_CONSUME",
    "BASIC_CONSUME_OK",
    "BASIC_QOS",
    "BASIC_QOS_OK",
    "BASIC_RETURN",
    "CHANNEL_CLOSE",
    "CHANNEL_CLOSE_OK",
    "CHANNEL_OPEN",
    "CHANNEL_OPEN_OK",
    "CONFIRM_SELECT",
    "CONFIRM_SELECT_OK",
    "CONNECTION_BLOCKED",
    "CONNECTION_CLOSE",
    "CONNECTION_CLOSE_OK",
    "CONNECTION_OPEN",
    "CONNECTION_OPEN_OK",
    "CONNECTION_START",
    "CONNECTION_START_OK",
    "CONNECTION_TUNE",
    "CONNECTION_TUNE_OK",
    "CONNECTION_UNBLOCKED",
    "EXCHANGE_BIND",
    "EXCHANGE_BIND_OK",
    "EXCHANGE_DECLARE",
    "EXCHANGE_DECLARE_OK",
    "QUEUE_BIND",
    "QUEUE_BIND_OK",
    "QUEUE_DECLARE",
    "QUEUE_DECLARE_OK",
    "QUEUE_DELETE",
    "QUEUE_DELETE_OK",
    "QUEUE_PURGE",
    "QUEUE_PURGE_OK",
    "QUEUE_UNBIND",
    "QUEUE_UNBIND_OK",
    "Method",
    "integer",
    "number",
]

_NUMBER = Struct(">HH")
_FIXED = {"o": Struct(">B"), "h": Struct(">H"), "l": Struct(">I"), "q": Struct(">Q")}
_LENGTH = Struct(">I")


def number(payload: bytes) -> tuple[int, int]:
    """Return which method a frame carries.

    :raises MalformedTable: when it carries none
    """
    try:
        class_id, method_id = _NUMBER.unpack_from(payload)
    except error:
        raise MalformedTable("a frame is too short for a method") from None
    return class_id, method_id


def integer(value: object) -> int:
    """Return the value of a field that is declared as a number."""
    assert isinstance(value, int)  # noqa: S101 -- whoever decodes it has made it one
    return value


@dataclass(frozen=True, slots=True)
class Method:
    """One method: how its values become bytes, and bytes its values."""

    name: str
    number: tuple[int, int]
    fields: str = field(default="")

    def encode(self, *values: object) -> bytes:
        """Return the payload of a frame.

        :raises MalformedTable: when a value does not fit
        """
        try:
            return self._encoded(values)
        except (error, UnicodeEncodeError) as wrong:
            raise MalformedTable(f"{self.name}: {wrong}") from None

    def _encoded(self, values: tuple[object, ...]) -> bytes:
        if len(values) != len(self.fields):
            raise ValueError(f"{self.name} has {len(self.fields)} fields, and {len(values)} were given")
        out = bytearray(_NUMBER.pack(*self.number))
        bit = 0
        for kind, value in zip(self.fields, values, strict=True):
            if kind == "b":
                if bit % 8 == 0:
                    out.append(0)
                out[-1] |= bool(value) << (bit % 8)
                bit += 1
            else:
                bit = 0
                out += _encode(kind, value)
        return bytes(out)

    def decode(self, payload: bytes) -> tuple[object, ...]:
        """Return the values of a frame's payload.

        :raises MalformedTable: when they are not there
        """
        try:
            return self._decoded(payload)
        except (error, IndexError) as wrong:
            raise MalformedTable(f"this is no {self.name}: {wrong}") from None

    def _decoded(self, payload: bytes) -> tuple[object, ...]:
        at, bit = _NUMBER.size, 0
        values: list[object] = []
        for kind in self.fields:
            if kind == "b":
                at += bit % 8 == 0
                values.append(bool(payload[at - 1] >> (bit % 8) & 1))
                bit += 1
            else:
                bit = 0
                value, at = _decode(kind, payload, at)
                values.append(value)
        if at > len(payload):
            raise MalformedTable(f"{self.name} ends too early")
        return tuple(values)


def _encode(kind: str, value: object) -> bytes:
    match kind, value:
        case "s", str():
            return short(value)
        case "S", bytes():
            return _LENGTH.pack(len(value)) + value
        case "t", _:
            return encode_table(cast("Table", value))
        case _:
            return _FIXED[kind].pack(value)


def _decode(kind: str, payload: bytes, at: int) -> tuple[object, int]:
    if kind == "s":
        end = at + 1 + payload[at]
        return payload[at + 1 : end].decode("utf-8", "replace"), end
    if kind == "S":
        end = at + 4 + int(_LENGTH.unpack_from(payload, at)[0])
        return payload[at + 4 : end], end
    if kind == "t":
        return decode_table(payload, at)
    fixed = _FIXED[kind]
    return fixed.unpack_from(payload, at)[0], at + fixed.size


CONNECTION_START = Method("connection.start", (10, 10), "ootSS")
CONNECTION_START_OK = Method("connection.start-ok", (10, 11), "tsSs")
CONNECTION_TUNE = Method("connection.tune", (10, 30), "hlh")
CONNECTION_TUNE_OK = Method("connection.tune-ok", (10, 31), "hlh")
CONNECTION_OPEN = Method("connection.open", (10, 40), "ssb")
CONNECTION_OPEN_OK = Method("connection.open-ok", (10, 41), "s")
CONNECTION_CLOSE = Method("connection.close", (10, 50), "hshh")
CONNECTION_CLOSE_OK = Method("connection.close-ok", (10, 51))
CONNECTION_BLOCKED = Method("connection.blocked", (10, 60), "s")
CONNECTION_UNBLOCKED = Method("connection.unblocked", (10, 61))
CHANNEL_OPEN = Method("channel.open", (20, 10), "s")
CHANNEL_OPEN_OK = Method("channel.open-ok", (20, 11), "S")
CHANNEL_CLOSE = Method("channel.close", (20, 40), "hshh")
CHANNEL_CLOSE_OK = Method("channel.close-ok", (20, 41))
EXCHANGE_DECLARE = Method("exchange.declare", (40, 10), "hssbbbbbt")
EXCHANGE_DECLARE_OK = Method("exchange.declare-ok", (40, 11))
EXCHANGE_BIND = Method("exchange.bind", (40, 30), "hsssbt")
EXCHANGE_BIND_OK = Method("exchange.bind-ok", (40, 31))
QUEUE_DECLARE = Method("queue.declare", (50, 10), "hsbbbbbt")
QUEUE_DECLARE_OK = Method("queue.declare-ok", (50, 11), "sll")
QUEUE_BIND = Method("queue.bind", (50, 20), "hsssbt")
QUEUE_BIND_OK = Method("queue.bind-ok", (50, 21))
QUEUE_PURGE = Method("queue.purge", (50, 30), "hsb")
QUEUE_PURGE_OK = Method("queue.purge-ok", (50, 31), "l")
QUEUE_DELETE = Method("queue.delete", (50, 40), "hsbbb")
QUEUE_DELETE_OK = Method("queue.delete-ok", (50, 41), "l")
QUEUE_UNBIND = Method("queue.unbind", (50, 50), "hssst")
QUEUE_UNBIND_OK = Method("queue.unbind-ok", (50, 51))
BASIC_QOS = Method("basic.qos", (60, 10), "lhb")
BASIC_QOS_OK = Method("basic.qos-ok", (60, 11))
BASIC_CONSUME = Method("basic.consume", (60, 20), "hssbbbbt")
BASIC_CONSUME_OK = Method("basic.consume-ok", (60, 21), "s")
BASIC_CANCEL = Method("basic.cancel", (60, 30), "sb")
BASIC_CANCEL_OK = Method("basic.cancel-ok", (60, 31), "s")
BASIC_RETURN = Method("basic.return", (60, 50), "hsss")
CONFIRM_SELECT = Method("confirm.select", (85, 10), "b")
CONFIRM_SELECT_OK = Method("confirm.select-ok", (85, 11))
