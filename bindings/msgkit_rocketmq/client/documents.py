"""What brokers tell in JSON, and in what looks like it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from msgkit_rocketmq.client.errors import Unreadable

__all__ = ["Document", "number", "objects", "pairs", "read", "rows", "texts"]

Document = Mapping[str, Any]
_DECODER = json.JSONDecoder()


def read(data: bytes) -> Document:
    """Return what was told.

    :raises Unreadable: when it is none
    """
    try:
        found: object = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Unreadable("what a broker tells is no JSON") from error
    return _object(found)


def objects(told: Document, name: str) -> Mapping[str, Document]:
    """Return objects by their names; none where nothing is told of them."""
    return {each: _object(found) for each, found in _object(told.get(name) or {}).items()}


def rows(told: Document, name: str) -> Sequence[Document]:
    """Return objects in their order; none where nothing is told of them."""
    found: object = told.get(name) or []
    if not isinstance(found, list):
        raise Unreadable(f"{name} is no list: {found!r}"[:200])
    return [_object(each) for each in cast("list[object]", found)]


def texts(told: Document, name: str) -> Mapping[str, str]:
    return {each: str(found) for each, found in _object(told.get(name) or {}).items()}


def number(told: Document, name: str, default: int = 0) -> int:
    found = told.get(name, default)
    if not isinstance(found, int):
        raise Unreadable(f"{name} is no number: {found!r}")
    return found


def pairs(data: bytes, name: str) -> Iterator[tuple[Document, Document]]:
    """Return what was told by objects for names, as Java's brokers do: `{"name": {{…}: {…}, {…}: {…}}}`.

    :raises Unreadable: when it was told otherwise
    """
    text = data.decode(errors="replace")
    _, found, rest = text.partition(f'"{name}":{{')
    if not found:
        raise Unreadable(f"a broker does not tell of {name}")
    at = len(text) - len(rest)
    while text[at : at + 1] not in {"}", ""}:
        key, at = _next(text, at)
        value, at = _next(text, at)
        yield key, value


def _next(text: str, at: int) -> tuple[Document, int]:
    """Return the object that stands there, and where the next one begins."""
    try:
        found, end = _DECODER.raw_decode(text, at)
    except (ValueError, RecursionError) as error:
        raise Unreadable("what a broker tells ends in the middle") from error
    return _object(found), end + 1 if text[end : end + 1] in {":", ","} else end


def _object(found: object) -> Document:
    if not isinstance(found, dict):
        raise Unreadable(f"a broker was to tell an object, and told {found!r}"[:200])
    return cast("Document", found)
