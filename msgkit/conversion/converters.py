"""Which converter a type or a content type belongs to."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from msgkit.conversion.wording import describe
from msgkit.converter import Converter
from msgkit.errors import ConversionError

__all__ = ["Converters", "essence"]

_EXACTLY = 2
_BY_PATTERN = 1


def essence(content_type: str | None) -> str:
    """Return a content type without its parameters, in lower case; empty when there is none."""
    return (content_type or "").partition(";")[0].strip().lower()


class Converters:
    """The converters at hand in their order, and the one that a destination may have chosen."""

    __slots__ = ("_all",)

    def __init__(self, converters: Sequence[Converter]) -> None:
        self._all = tuple(converters)

    def for_type(self, kind: object, chosen: Converter | None) -> Converter:
        """Return the converter for payloads of a type or annotation.

        :raises ConversionError: when no converter writes it
        """
        if chosen is not None:
            return chosen
        for converter in self._all:
            if converter.encodes(kind):
                return converter
        msg = f"no converter writes {describe(kind)}: choose one with converter="
        raise ConversionError(msg)

    def for_content_type(self, content_type: str, chosen: Converter | None) -> Converter:
        """Return the converter for a content type: the chosen one if it is its own.

        :raises ConversionError: when no converter claims it
        """
        wanted = essence(content_type)
        if chosen is not None and _claim(chosen, wanted):
            return chosen
        best = max(self._all, key=lambda each: _claim(each, wanted), default=None)
        if best is None or not _claim(best, wanted):
            msg = f"no converter reads {wanted!r}, only {self._known(chosen)}"
            raise ConversionError(msg)
        return best

    def _known(self, chosen: Converter | None) -> str:
        converters = self._all if chosen is None else (chosen, *self._all)
        names = [name for converter in converters for name in converter.content_types]
        return ", ".join(dict.fromkeys(names))


def _claim(converter: Converter, wanted: str) -> int:
    """Return how strongly a converter claims a content type; 0 is not at all."""
    if wanted in converter.content_types:
        return _EXACTLY
    patterned = any(fnmatchcase(wanted, pattern) for pattern in converter.content_types)
    return _BY_PATTERN if patterned else 0
