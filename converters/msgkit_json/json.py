"""Typed values to JSON and back."""

from codecs import BOM_UTF8, lookup
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from msgkit.converter import TYPE_HEADER, charset_of
from msgkit.errors import ConfigurationError
from msgkit_json.compiling import compiled

__all__ = ["Json"]

_CONTENT_TYPES = ("application/json", "application/*+json", "text/json")

_BYTES_LIKE: tuple[object, ...] = (bytes, bytearray, memoryview)


@dataclass(frozen=True, slots=True, kw_only=True)
class Json:
    """Writes and reads what pydantic can: models, dataclasses, typed dicts, plain types, and so on.

    A class is named on the wire by its own name, never by where it is imported from; `types`
    names it otherwise, several times if it has to (the first is written). `reads` adds content
    types under which other programs send JSON.
    """

    types: Mapping[str, type] = field(default_factory=dict[str, type])
    type_header: str = TYPE_HEADER
    reads: Sequence[str] = ()

    def __post_init__(self) -> None:
        for name, kind in self.types.items():
            if not (name and isinstance(kind, type)):  # pyright: ignore[reportUnnecessaryIsInstance] -- callers without a type checker
                msg = f"Json(types=) maps names to types, not {name!r} to {kind!r}"
                raise ConfigurationError(msg)
        # Copies, since a converter is a value.
        object.__setattr__(self, "types", MappingProxyType(dict(self.types)))
        object.__setattr__(self, "reads", tuple(self.reads))

    def __hash__(self) -> int:
        return hash(self.type_header)

    @property
    def content_types(self) -> tuple[str, ...]:
        return (*_CONTENT_TYPES, *(each.lower() for each in self.reads))

    def encodes(self, kind: object, /) -> bool:
        return kind not in _BYTES_LIKE

    def encode(self, payload: object, /) -> bytes:
        return compiled(type(payload)).write(payload)

    def decode(self, body: bytes, into: object, /) -> Any:
        return compiled(into).read(body)

    def compile_encode(self, kind: object, content_type: str, /) -> Callable[[Any], bytes]:
        write = compiled(kind).write
        charset = _other_charset(content_type)
        if charset is None:
            return write
        return lambda payload: write(payload).decode().encode(charset)

    def compile_decode(self, into: object, content_type: str, /) -> Callable[[bytes], Any]:
        read = compiled(into).read
        charset = _other_charset(content_type)
        if charset is None:
            # Not JSON, strictly, but what Windows programs write.
            return lambda body: read(body.removeprefix(BOM_UTF8))
        return lambda body: read(str(body, charset))

    def name_of(self, kind: object, /) -> str | None:
        for name in self.types:
            if self.kind_of(name) is kind:
                return name
        # The names of `dict` and `Any` would say nothing.
        if isinstance(kind, type) and kind.__module__ not in {"builtins", "typing"}:
            return kind.__name__
        return None

    def kind_of(self, name: str, /) -> type | None:
        return self.types.get(name)


def _other_charset(content_type: str) -> str | None:
    charset = lookup(charset_of(content_type)).name
    return None if charset in {"utf-8", "ascii"} else charset
