"""JSON as Java writes some of it: where names should stand, there may be numbers, and whole objects. Pure."""

import json
import re
from typing import cast

from msgkit_rocketmq.client.errors import Unreadable

__all__ = ["read", "table"]

_TOKEN = re.compile(r'\s*(?P<word>"(?:[^"\\]|\\.)*"|[-+.\w]+|[][{}:,])')
#: Nothing of RocketMQ's is nested deeper.
_DEEPEST = 50


def read(data: bytes) -> object:
    """Return what is written there. A name that is no text is the text that stands there.

    :raises Unreadable: when nobody could tell
    """
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        pass
    try:
        return _Reader(data.decode()).whole()
    except ValueError as error:
        raise Unreadable(f"JSON cannot be read: {error}") from error


def table(value: object) -> dict[str, object]:
    """Return an object that has been read.

    :raises Unreadable: when it is none
    """
    if not isinstance(value, dict):
        raise Unreadable(f"there is no object in JSON, but {type(value).__name__}")
    return cast("dict[str, object]", value)


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def whole(self) -> object:
        value = self._value(self._next(), 0)
        if self._text[self._at :].strip():
            raise ValueError("there is more than one value")
        return value

    def _value(self, word: str, depth: int) -> object:
        if depth > _DEEPEST:
            raise ValueError("it is nested too deep")
        if word == "{":
            return self._object(depth + 1)
        if word == "[":
            return self._array(depth + 1)
        return json.loads(word)

    def _object(self, depth: int) -> dict[str, object]:
        found: dict[str, object] = {}
        word = self._next()
        while word != "}":
            name = self._name(word, depth)
            self._expect(self._next(), ":")
            found[name] = self._value(self._next(), depth)
            word = self._after("}")
        return found

    def _name(self, word: str, depth: int) -> str:
        begin = self._at - len(word)
        value = self._value(word, depth)
        return value if isinstance(value, str) else self._text[begin : self._at]

    def _array(self, depth: int) -> list[object]:
        found: list[object] = []
        word = self._next()
        while word != "]":
            found.append(self._value(word, depth))
            word = self._after("]")
        return found

    def _after(self, end: str) -> str:
        """Return what begins the next of several, or ends them."""
        word = self._next()
        if word == end:
            return word
        self._expect(word, ",")
        return self._next()

    def _expect(self, word: str, expected: str) -> None:
        if word != expected:
            raise ValueError(f"{expected} is missing at {self._at}")

    def _next(self) -> str:
        found = _TOKEN.match(self._text, self._at)
        if found is None:
            raise ValueError(f"it is cut off or wrong at {self._at}")
        self._at = found.end()
        return found["word"]
