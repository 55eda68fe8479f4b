"""How envelopes are read as one type."""

from collections.abc import Callable
from functools import lru_cache
from operator import attrgetter
from typing import Any

from msgkit.conversion.converters import Converters, essence
from msgkit.conversion.encoding import is_raw
from msgkit.conversion.naming import Names, name_of
from msgkit.conversion.wording import describe, explain, unreadable
from msgkit.converter import Compiles, Converter, members
from msgkit.envelope import Envelope
from msgkit.errors import ConfigurationError, ConversionError

__all__ = ["Decode", "compile_decoder"]

Decode = Callable[[Envelope], Any]

# Producers may invent content types: they may not fill the memory.
_CONTENT_TYPES = 64


def compile_decoder(converters: Converters, into: object, chosen: Converter | None) -> Decode:
    if is_raw(into, chosen):
        return _raw(into)
    if len(members(into)) > 1:
        return _decoder_of_union(converters, into, chosen)
    return _decoder_of_whole(converters, into, chosen)


def _raw(kind: Any) -> Decode:
    if kind is bytes:
        return attrgetter("body")
    return lambda envelope: kind(envelope.body)


def _decoder_of_union(converters: Converters, into: object, chosen: Converter | None) -> Decode:
    whole = _decoder_of_whole(converters, into, chosen)
    namer = converters.for_type(into, chosen)
    named = [kind for kind in members(into) if name_of(kind, namer) is not None]
    names = Names(named, namer)
    decoders = {kind: _decoder_of_whole(converters, kind, chosen) for kind in named}

    def decode(envelope: Envelope) -> object:
        name = names.read(envelope)
        kind = None if name is None else names.find(name)
        return (whole if kind is None else decoders[kind])(envelope)

    return decode


def _decoder_of_whole(converters: Converters, into: object, chosen: Converter | None) -> Decode:
    @lru_cache(maxsize=_CONTENT_TYPES)
    def reader(content_type: str | None) -> Callable[[bytes], Any]:
        if content_type is None or not essence(content_type):
            converter = converters.for_type(into, chosen)
            return _reader(converter, into, converter.content_types[0])
        converter = converters.for_content_type(content_type, chosen)
        return _reader(converter, into, content_type)

    _check(reader, into)

    def decode(envelope: Envelope) -> object:
        try:
            return reader(envelope.content_type)(envelope.body)
        except Exception as error:
            raise ConversionError(unreadable(envelope, into, explain(error))) from error

    return decode


def _check(reader: Callable[[None], object], into: object) -> None:
    """Fail at start-up for a type that no message could be read as."""
    try:
        reader(None)
    except Exception as error:
        msg = f"no message can be read as {describe(into)}: {explain(error)}"
        raise ConfigurationError(msg) from error


def _reader(converter: Converter, into: object, content_type: str) -> Callable[[bytes], Any]:
    if isinstance(converter, Compiles):
        return converter.compile_decode(into, content_type)
    return lambda body: converter.decode(body, into)
