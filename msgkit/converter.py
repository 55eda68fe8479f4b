"""What a converter is: something that turns payloads into bytes and back."""

from collections.abc import Callable
from types import NoneType, UnionType
from typing import Annotated, Any, Protocol, Union, cast, get_args, get_origin, runtime_checkable

__all__ = ["TYPE_HEADER", "Compiles", "Converter", "NamesTypes", "charset_of", "members"]

#: Where a type's name travels unless a converter says otherwise: it is the envelope's own type.
TYPE_HEADER = "msgkit-type"


@runtime_checkable
class Converter(Protocol):
    """Turns payloads into bytes and back; any object of this shape will do.

    It is a value: hashable, never changing, used by many threads at once. It is made without
    arguments where it is found through the entry point group `msgkit.converters`, and is cheap
    to import: what costs waits for the first payload.
    """

    @property
    def content_types(self) -> tuple[str, ...]:
        """What it reads, in lower case and without parameters; the first is what it writes.

        A `*` stands for anything, as in `text/*`; what is named in full goes before.
        """
        ...

    def encodes(self, kind: object, /) -> bool:
        """Whether payloads of a type or annotation are its own where no converter was chosen."""
        ...

    def encode(self, payload: object, /) -> bytes:
        """Return the payload's bytes; whatever is raised refuses it before anything is sent."""
        ...

    def decode(self, body: bytes, into: Any, /) -> Any:
        """Return what the bytes say, as a type or annotation; raise anything if they do not."""
        ...

    def __hash__(self) -> int: ...


@runtime_checkable
class Compiles(Protocol):
    """The power to do once for a type what would otherwise be done for each message.

    Content types come with their parameters, as in `text/plain; charset=latin-1`.
    """

    def compile_encode(self, kind: object, content_type: str, /) -> Callable[[Any], bytes]:
        """Return what encodes payloads of a type or annotation."""
        ...

    def compile_decode(self, into: object, content_type: str, /) -> Callable[[bytes], Any]:
        """Return what decodes bodies as a type or annotation."""
        ...


@runtime_checkable
class NamesTypes(Protocol):
    """The power to say on the wire what a payload is, by logical names, never by import paths."""

    @property
    def type_header(self) -> str:
        """The header that carries the name, or `TYPE_HEADER`."""
        ...

    def name_of(self, kind: object, /) -> str | None:
        """Return the name that is written for a type, if it has one."""
        ...

    def kind_of(self, name: str, /) -> type | None:
        """Return the type that was registered under a name, if one was."""
        ...


def charset_of(content_type: str, /) -> str:
    """Return the charset that a content type names, or UTF-8."""
    for parameter in content_type.split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            return value.strip(" \"'")
    return "utf-8"


def members(into: object, /) -> tuple[Any, ...]:
    """Return the members of a union, however spelled and nested, or else the one type itself."""
    if into is None:
        return (NoneType,)
    inside = _inside(into)
    if get_origin(inside) not in (Union, UnionType):
        return (into,)
    return tuple(leaf for member in get_args(inside) for leaf in members(member))


def _inside(into: object) -> object:
    if get_origin(into) is Annotated:
        return _inside(get_args(into)[0])
    # `type X = A | B`: Python's own since 3.12, from typing_extensions before.
    if type(into).__name__ == "TypeAliasType":
        return _inside(cast("Any", into).__value__)
    return into
