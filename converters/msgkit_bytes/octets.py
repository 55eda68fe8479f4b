"""Bytes to bytes."""

from dataclasses import dataclass
from typing import Any

from msgkit.converter import members

__all__ = ["Bytes"]


@dataclass(frozen=True, slots=True)
class Bytes:
    """Writes and reads what is bytes already."""

    @property
    def content_types(self) -> tuple[str, ...]:
        return ("application/octet-stream",)

    def encodes(self, kind: object, /) -> bool:
        return kind is bytes or kind is bytearray or kind is memoryview

    def encode(self, payload: object, /) -> bytes:
        match payload:
            case bytes():
                return payload
            case bytearray():
                return bytes(payload)
            case memoryview():
                return payload.tobytes()
            case _:
                msg = f"bytes are made of bytes, not {type(payload).__name__}"
                raise TypeError(msg)

    def decode(self, body: bytes, into: object, /) -> bytes | bytearray | memoryview:
        for kind in members(into):
            if kind in (bytes, object, Any):
                return body
            if kind is bytearray:
                return bytearray(body)
            if kind is memoryview:
                return memoryview(body)
        msg = "bytes are read as bytes only"
        raise TypeError(msg)
