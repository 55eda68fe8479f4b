"""Messages on their way in: announced, then their properties, then their bodies in pieces."""

from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct
from typing import Any

from msgkit_rabbitmq.wire.errors import Garbled

__all__ = ["Delivered", "Incoming", "Returned", "leave_it"]

_SIZE = Struct(">Q")
#: Where the size of the body stands in a header frame, and where the properties begin.
_SIZE_AT, _PROPERTIES_AT = 4, 12


@dataclass(slots=True, eq=False)
class Delivered:
    """A message as it came, its properties still encoded."""

    tag: int
    redelivered: bool
    exchange: str
    key: str
    properties: bytes = b""
    body: bytes = b""


@dataclass(slots=True, eq=False)
class Returned:
    """A message that no queue took."""

    code: int
    text: str
    exchange: str
    key: str
    properties: bytes = b""
    body: bytes = b""


class Incoming:
    """The one message that can be on its way over a channel."""

    __slots__ = ("_content", "_is_headed", "_missing", "_parts", "take")

    def __init__(self) -> None:
        self._content: Delivered | Returned | None = None
        self._is_headed = False
        self._missing = 0
        self._parts: list[bytes] = []
        #: Is given the message when it is whole.
        self.take: Callable[[Any], None] = leave_it

    @property
    def is_idle(self) -> bool:
        return self._content is None

    def begin(self, content: Delivered | Returned, take: Callable[[Any], None]) -> None:
        self._content, self.take = content, take

    def header(self, payload: bytes) -> None:
        content = self._content
        if content is None or self._is_headed or len(payload) < _PROPERTIES_AT:
            raise Garbled("a header belongs to no message")
        content.properties = payload[_PROPERTIES_AT:]
        (self._missing,) = _SIZE.unpack_from(payload, _SIZE_AT)
        if self._missing:
            self._is_headed = True
        else:
            self._content = None
            self.take(content)

    def body(self, payload: bytes) -> None:
        content = self._content
        if content is None or not self._is_headed:
            raise Garbled("a body belongs to no message")
        self._missing -= len(payload)
        if self._missing > 0:
            self._parts.append(payload)
            return
        if self._missing < 0:
            raise Garbled("a body is longer than its header says")
        if self._parts:
            self._parts.append(payload)
            payload = b"".join(self._parts)
            self._parts.clear()
        content.body = payload
        self._content, self._is_headed = None, False
        self.take(content)


def leave_it(_content: object) -> None:
    """Take what nobody wants, and that the broker has forgotten or gets back by itself."""
