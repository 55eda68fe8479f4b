"""How payloads of one type become bytes."""

from collections.abc import Callable
from typing import Any, NamedTuple

from msgkit.conversion.converters import Converters
from msgkit.conversion.naming import name_of, own_header
from msgkit.conversion.wording import describe, explain
from msgkit.converter import Compiles, Converter
from msgkit.errors import ConversionError

__all__ = ["Encoder", "compile_encoder", "is_raw"]

_BYTES_LIKE: tuple[object, ...] = (bytes, bytearray, memoryview)


def is_raw(kind: object, chosen: Converter | None) -> bool:
    """Whether a type is bytes that travel as they are, unless a chosen converter asks for them."""
    return kind in _BYTES_LIKE and not (chosen is not None and chosen.encodes(kind))


class Encoder(NamedTuple):
    """How payloads of one type are written.

    `type_header` is None where the name travels as the envelope's own type.
    """

    content_type: str
    type_name: str | None
    type_header: str | None
    encode: Callable[[Any], bytes]


def compile_encoder(
    converters: Converters, kind: object, chosen: Converter | None, content_type: str | None
) -> Encoder:
    converter = _choose(converters, kind, chosen, content_type)
    written = content_type or converter.content_types[0]
    return Encoder(
        content_type=written,
        type_name=name_of(kind, converter),
        type_header=own_header(converter),
        encode=_guarded(converter, kind, written),
    )


def _choose(converters: Converters, kind: object, chosen: Converter | None, content_type: str | None) -> Converter:
    if is_raw(kind, chosen):
        return converters.for_type(kind, None)
    if content_type and chosen is None:
        return converters.for_content_type(content_type, None)
    return converters.for_type(kind, chosen)


def _guarded(converter: Converter, kind: object, content_type: str) -> Callable[[Any], bytes]:
    try:
        write = _writer(converter, kind, content_type)
    except Exception as error:
        raise _unwritable(kind, content_type, error) from error

    def encode(payload: object) -> bytes:
        try:
            return write(payload)
        except Exception as error:
            raise _unwritable(kind, content_type, error) from error

    return encode


def _writer(converter: Converter, kind: object, content_type: str) -> Callable[[Any], bytes]:
    if isinstance(converter, Compiles):
        return converter.compile_encode(kind, content_type)
    return converter.encode


def _unwritable(kind: object, content_type: str, error: Exception) -> ConversionError:
    return ConversionError(f"{describe(kind)} cannot be written as {content_type}: {explain(error)}")
