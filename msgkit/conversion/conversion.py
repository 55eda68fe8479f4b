"""Payloads to bytes and back: what is needed is compiled once for each type and each listener."""

from collections.abc import Sequence
from functools import cache, lru_cache, partial
from typing import Any

from msgkit.conversion.choosing import Choose, compile_chooser
from msgkit.conversion.converters import Converters
from msgkit.conversion.decoding import Decode, compile_decoder
from msgkit.conversion.encoding import Encoder, compile_encoder
from msgkit.conversion.naming import name_of
from msgkit.converter import Converter
from msgkit.errors import ConfigurationError

__all__ = ["Conversion"]

# Types may be made while a program runs: they may not fill the memory.
_TYPES = 4096


class Conversion:
    """Converters in their order: the first that claims a type, or a content type, has it."""

    __slots__ = ("_converters", "_decoders", "_encoders")

    def __init__(self, converters: Sequence[Converter]) -> None:
        self._converters = Converters(converters)
        self._encoders = lru_cache(maxsize=_TYPES)(partial(compile_encoder, self._converters))
        self._decoders = lru_cache(maxsize=_TYPES)(partial(compile_decoder, self._converters))

    @staticmethod
    def installed() -> "Conversion":
        """Return the one conversion with all converters that are installed, others' before ours.

        :raises ConfigurationError: when one of them cannot be loaded
        """
        return _installed()

    def encoder(self, kind: object, converter: Converter | None = None, content_type: str | None = None) -> Encoder:
        """Return how a payload is written, by its class or by the annotation that it satisfies.

        Where no converter is given, a content type chooses one. Bytes go as they are under any,
        unless the given converter claims them.

        :raises ConversionError: when there is no way to write it
        """
        try:
            return self._encoders(kind, converter, content_type)
        except TypeError:  # annotations may hold what has no hash
            return compile_encoder(self._converters, kind, converter, content_type)

    def decoder(self, into: object, converter: Converter | None = None) -> Decode:
        """Return what reads envelopes as a type or annotation, by their content type.

        `bytes` is the body whatever it is, unless the given converter claims bytes. What has no
        content type is read by the given converter, or else by the one that would have written
        such a payload. A union is read as the member that the envelope names, else as the one
        that fits best.

        What is returned raises ConversionError for an envelope that cannot be read.

        :raises ConfigurationError: when nothing could ever be read as this type
        """
        try:
            return self._decoders(into, converter)
        except TypeError:  # as above
            return compile_decoder(self._converters, into, converter)

    def chooser(self, kinds: Sequence[Any], converter: Converter | None = None) -> Choose:
        """Return what finds the index of the payload type that an envelope is for.

        The name that it carries decides. Without one its body does, by what it can be read as;
        so it does among the types that have no name, for a name that is none of theirs. `bytes`,
        `object` and Any take what is left.

        What is returned raises ConversionError for an envelope that is for none of them.

        :raises ConfigurationError: when two types have one name
        """
        return compile_chooser(self._converters, kinds, converter)

    def type_name(self, kind: object, converter: Converter | None = None) -> str | None:
        """Return the name of a type on the wire, if it has one."""
        return name_of(kind, self._converters.for_type(kind, converter))


@cache
def _installed() -> Conversion:
    from importlib.metadata import EntryPoint, entry_points  # noqa: PLC0415 -- 20 ms, and only with the first payload

    def load(entry: EntryPoint) -> tuple[bool, bool, str, Converter]:
        try:
            found = entry.load()
            converter = found() if isinstance(found, type) else found
            everything = converter.encodes(object)
        except Exception as error:
            msg = f"the converter {entry.name!r} ({entry.value}) cannot be loaded: {error}"
            raise ConfigurationError(msg) from error
        # What others install goes before ours, what writes anything behind what is choosy.
        return (entry.value.startswith("msgkit_"), everything, entry.name, converter)

    loaded = sorted(map(load, entry_points(group="msgkit.converters")), key=lambda each: each[:3])
    return Conversion([converter for *_, converter in loaded])
