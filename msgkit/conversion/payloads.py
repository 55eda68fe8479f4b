"""Whether a payload is what its destination carries, told before anything is sent."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from msgkit.conversion.wording import describe_all, explain
from msgkit.converter import members
from msgkit.errors import ConfigurationError, PayloadTypeError

__all__ = ["ANYTHING", "matcher", "payload_kind"]

ANYTHING: tuple[object, ...] = (Any, object)


def payload_kind(payload: object, kinds: tuple[Any, ...], destination: str) -> object:
    """Return what a payload is encoded as: its class, or the declared annotation that it satisfies.

    `kinds` are the payload types of the destination; none means that it carries anything.

    :raises PayloadTypeError: when the payload is of none of them
    """
    own = type(payload)
    if not kinds or own in kinds:
        return own
    found = _match(payload, kinds)
    if found is None:
        raise PayloadTypeError(_refusal(own, kinds, destination))
    return found


def matcher(kinds: tuple[Any, ...]) -> Callable[[object], object]:
    """Return a function that finds what `payload_kind` returns, or None."""
    leaves = [leaf for kind in kinds for leaf in members(kind)]
    classes = tuple(wide for leaf in leaves if _is_plain(leaf) for wide in _widened(leaf))
    others = [(leaf, _fits(leaf)) for leaf in leaves if not _is_plain(leaf)]

    def match(payload: object) -> object:
        if isinstance(payload, classes):
            return type(payload)
        return next((leaf for leaf, fits in others if fits(payload)), None)

    return match


def _match(payload: object, kinds: tuple[Any, ...]) -> object:
    try:
        match = _remembered(kinds)
    except TypeError:  # annotations may hold what has no hash
        match = matcher(kinds)
    return match(payload)


_remembered = lru_cache(maxsize=1024)(matcher)


def _is_plain(kind: object) -> bool:
    # A typed dict is a class that has no instances; typing's and typing_extensions' differ.
    is_typed_dict = hasattr(kind, "__required_keys__")
    return kind in ANYTHING or (isinstance(kind, type) and not is_typed_dict)


def _widened(kind: type) -> tuple[type, ...]:
    if kind in ANYTHING:
        return (object,)
    # To type checkers an int is a float.
    return (float, int) if kind is float else (kind,)


def _fits(kind: Any) -> Callable[[object], bool]:
    from pydantic import PydanticUserError, TypeAdapter  # noqa: PLC0415 -- 50 ms, and only annotations need it

    try:
        is_instance = TypeAdapter(kind).validator.isinstance_python
    except PydanticUserError as error:
        msg = f"{describe_all((kind,))} cannot be the type of a payload: {explain(error)}"
        raise ConfigurationError(msg) from error
    # Strict, since what is sent is the payload itself, not what it could be turned into.
    return lambda payload: is_instance(payload, strict=True)


def _refusal(own: type, kinds: tuple[Any, ...], destination: str) -> str:
    told = describe_all((own,))
    if told in {describe_all((kind,)) for kind in kinds}:
        told = f"another {told}, of {own.__module__}"
    return f"{destination!r} carries {describe_all(kinds)}, not {told}"
