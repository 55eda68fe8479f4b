"""What brokers tell of themselves, of topics and of groups."""

from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from msgkit_rocketmq.client import lenient
from msgkit_rocketmq.client.errors import Unreadable

__all__ = ["Document", "number", "objects", "pairs", "read", "rows", "texts"]

Document = Mapping[str, object]


def read(data: bytes) -> Document:
    """Return what was told. This and all below raise `Unreadable` where something else was told."""
    return lenient.table(lenient.read(data))


def objects(told: Document, name: str) -> Mapping[str, Document]:
    """Return objects by their names; none where nothing is told of them."""
    return {each: lenient.table(found) for each, found in lenient.table(told.get(name) or {}).items()}


def pairs(told: Document, name: str) -> Iterator[tuple[Document, Document]]:
    """Return objects that are told of other objects, which stand where names should."""
    for each, found in objects(told, name).items():
        yield read(each.encode()), found


def rows(told: Document, name: str) -> Sequence[Document]:
    """Return objects in their order; none where nothing is told of them."""
    found: object = told.get(name) or []
    if not isinstance(found, list):
        raise Unreadable(f"there is no array in JSON, but {type(found).__name__}")
    return [lenient.table(each) for each in cast("list[object]", found)]


def texts(told: Document, name: str) -> Mapping[str, str]:
    return {each: str(found) for each, found in lenient.table(told.get(name) or {}).items()}


def number(told: Document, name: str, default: int = 0) -> int:
    found = told.get(name, default)
    if not isinstance(found, int):
        raise Unreadable(f"{name} is no number in JSON, but {type(found).__name__}")
    return found
