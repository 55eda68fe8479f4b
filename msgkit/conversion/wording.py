"""How types and failures are told in errors, without telling the payload."""

import sys
from typing import Any

from msgkit.converter import members
from msgkit.envelope import Envelope
from msgkit.errors import MessagingError

__all__ = ["describe", "describe_all", "explain", "unreadable"]

_LONGEST = 200
_SHOWN = 3
# What to tell is picked from a list, and a hostile body may have a flaw in every other byte.
_LISTED = 1000


def describe(kind: object) -> str:
    """Return a type or annotation as a reader knows it."""
    if len(parts := members(kind)) > 1:
        return describe_all(parts)
    return _cut(kind.__name__ if isinstance(kind, type) else repr(kind).replace("typing.", ""))


def describe_all(kinds: tuple[Any, ...]) -> str:
    return " or ".join(map(describe, kinds))


def explain(error: Exception) -> str:
    """Return what went wrong, shortly: errors may quote a payload, which may be long and secret."""
    return _cut(_flaws(error) or _text(error))


def unreadable(envelope: Envelope, into: object, why: str) -> str:
    """Return the sentence for an envelope that is poison."""
    said = f"{envelope.content_type or 'no content type'}, {len(envelope.body)} bytes"
    if envelope.type is not None:
        said = f"type {_cut(envelope.type)!r}, {said}"
    return f"message {envelope.message_id} ({said}) cannot be read as {describe(into)}: {why}"


def _flaws(error: Exception) -> str:
    """Return what pydantic found, without the input that it would quote."""
    if "pydantic_core" not in sys.modules:
        return ""
    from pydantic_core import ValidationError  # noqa: PLC0415 -- costs nothing: it is loaded already

    if not isinstance(error, ValidationError):
        return ""
    count = error.error_count()
    if count > _LISTED:
        return f"{count} flaws"
    flaws = error.errors(include_url=False, include_context=False, include_input=False)[:_SHOWN]
    told = "; ".join(_flaw(flaw["loc"], flaw["msg"]) for flaw in flaws)
    return told if count <= _SHOWN else f"{count} flaws, such as {told}"


def _flaw(place: tuple[int | str, ...], what: str) -> str:
    return f"{'.'.join(map(str, place))}: {what}" if place else what


def _text(error: Exception) -> str:
    text = " ".join(str(error).split())
    speaks = isinstance(error, (MessagingError, TypeError, ValueError)) and text
    return text if speaks else f"{type(error).__name__}: {text}".removesuffix(": ")


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
