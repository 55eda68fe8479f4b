"""Which of some payload types an envelope names."""

from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import Any, cast

from msgkit.converter import TYPE_HEADER, Converter, NamesTypes
from msgkit.envelope import Envelope
from msgkit.errors import ConfigurationError

__all__ = ["Names", "name_of", "own_header"]


def name_of(kind: object, converter: Converter) -> str | None:
    """Return the name that a converter gives a type, if it names types at all."""
    return converter.name_of(kind) if isinstance(converter, NamesTypes) else None


def own_header(converter: Converter) -> str | None:
    """Return the header that carries a converter's type names, where it is not the usual one."""
    if isinstance(converter, NamesTypes) and converter.type_header != TYPE_HEADER:
        return converter.type_header
    return None


class Names:
    """The names of some payload types, and which of them an envelope names."""

    __slots__ = ("_by_name", "_converter", "_kinds", "read")

    #: Returns the type name that an envelope carries.
    read: Callable[[Envelope], str | None]

    def __init__(self, kinds: Sequence[Any], converter: Converter) -> None:
        self._kinds = tuple(kinds)
        self._converter = converter
        self._by_name = _by_name(self._kinds, converter)
        self.read = _reader(own_header(converter))

    def find(self, name: str) -> type | None:
        """Return the type that is meant, by a name of its own or of a subclass, or None."""
        kind = self._by_name.get(name)
        if kind is None and isinstance(self._converter, NamesTypes):
            kind = self._registered(name) or self._inherited(name)
            if kind is not None:
                self._by_name[name] = kind
        return kind

    def _registered(self, name: str) -> type | None:
        kind = cast("NamesTypes", self._converter).kind_of(name)
        return kind if kind in self._kinds else None

    def _inherited(self, name: str) -> type | None:
        # A destination of a class takes its subclasses, and they travel under their own names.
        for kind in list(self._by_name.values()):
            for heir in _heirs(kind):
                if name_of(heir, self._converter) == name:
                    return next(base for base in heir.__mro__ if base in self._kinds)
        return None


def _by_name(kinds: tuple[Any, ...], converter: Converter) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for kind in kinds:
        name = name_of(kind, converter)
        if name is not None and named.setdefault(name, kind) is not kind:
            raise ConfigurationError(_ambiguous(name, named[name], kind))
    return named


def _ambiguous(name: str, *kinds: type) -> str:
    told = " and ".join(f"{kind.__module__}.{kind.__qualname__}" for kind in kinds)
    return f"{told} are both {name!r} on the wire; give one another name, as in Json(types={{...}})"


def _reader(header: str | None) -> Callable[[Envelope], str | None]:
    if header is None:
        return attrgetter("type")

    def read(envelope: Envelope) -> str | None:
        value = envelope.headers.get(header)
        # Kafka's Java clients write headers as bytes.
        if isinstance(value, bytes):
            return value.decode(errors="replace")
        return value if isinstance(value, str) else envelope.type

    return read


def _heirs(kind: type) -> Iterator[type]:
    heirs: list[type] = kind.__subclasses__()
    for heir in heirs:
        yield heir
        yield from _heirs(heir)
