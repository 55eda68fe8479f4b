"""What pydantic-core does for one type, compiled once for the whole process."""

from collections.abc import Callable
from functools import lru_cache
from threading import RLock
from typing import Any, NamedTuple

from msgkit_json.writing import writer

__all__ = ["Compiled", "compiled"]

_LIMIT = 4096
# Schemas refer to each other: pydantic completes them in place.
_lock = RLock()


class Compiled(NamedTuple):
    """A type's way into JSON and back."""

    write: Callable[[Any], bytes]
    read: Callable[[bytes | str], Any]


def compiled(kind: object) -> Compiled:
    try:
        return _remembered(kind)
    except TypeError:  # annotations may hold what has no hash
        return _compile(kind)


def _compile(kind: Any) -> Compiled:
    from pydantic import TypeAdapter  # noqa: PLC0415 -- 50 ms, and only with the first type

    with _lock:
        adapter: TypeAdapter[Any] = TypeAdapter(kind)
        return Compiled(writer(adapter.serializer, adapter.core_schema), adapter.validator.validate_json)


_remembered = lru_cache(maxsize=_LIMIT)(_compile)
