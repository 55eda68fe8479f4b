"""How payloads of one type are written: by their aliases, and with no float lost."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import isfinite
from operator import attrgetter
from typing import Any, Protocol, cast

__all__ = ["writer"]

# What holds nobody knows what, and so perhaps a float or something with aliases.
_OPEN = {"any", "callable", "function-plain", "function-wrap", "is-instance", "is-subclass"}
_PLAIN_FLOAT = {"dataclass-field", "default", "float", "model-field", "nullable"}
_NO_SCHEMA = {"default", "metadata"}
_SEQUENCES = {frozenset, list, set, tuple}


class _Serializer(Protocol):
    def to_json(self, value: object, /, *, by_alias: bool | None = None) -> bytes: ...
    def to_python(self, value: object, /) -> object: ...


def writer(serializer: _Serializer, schema: Mapping[str, Any]) -> Callable[[Any], bytes]:
    """Return what writes a payload; what a type says itself about aliases and NaN is kept.

    The schema is looked at once, so that a type without aliases and floats costs no more than
    pydantic-core does.
    """
    nodes = list(_nodes(schema))
    return _finite(_by_alias(serializer, nodes), serializer, schema, nodes)


def _by_alias(serializer: _Serializer, nodes: Sequence[Mapping[str, Any]]) -> Callable[[Any], bytes]:
    """Aliases are what is read; pydantic would write the names of the fields."""
    to_json = serializer.to_json
    if _says(nodes, "serialize_by_alias") or not any(map(_may_be_aliased, nodes)):
        return to_json
    return lambda payload: to_json(payload, by_alias=True)


def _finite(
    write: Callable[[Any], bytes],
    serializer: _Serializer,
    schema: Mapping[str, Any],
    nodes: Sequence[Mapping[str, Any]],
) -> Callable[[Any], bytes]:
    """JSON has no NaN and no infinity; pydantic would write null."""
    loose = sum(map(_may_be_float, nodes))
    if not loose or _says(nodes, "ser_json_inf_nan"):
        return write
    floats = _float_fields(schema, loose) or serializer.to_python

    def write_finite(payload: object) -> bytes:
        body = write(payload)
        if body.find(b"null") >= 0 and not _all_finite((floats(payload),)):
            msg = "NaN and infinity are no JSON: use None, or set ser_json_inf_nan for the type"
            raise ValueError(msg)
        return body

    return write_finite


def _nodes(schema: object) -> Iterator[Mapping[str, Any]]:
    if isinstance(schema, Mapping):
        node = cast("Mapping[str, Any]", schema)
        yield node
        for key, value in node.items():
            if key not in _NO_SCHEMA:
                yield from _nodes(value)
    elif isinstance(schema, (list, tuple)):
        for value in cast("list[Any]", schema):
            yield from _nodes(value)


def _says(nodes: Sequence[Mapping[str, Any]], key: str) -> bool:
    return any(key in node for node in nodes)


def _is_open(node: Mapping[str, Any]) -> bool:
    return node.get("type") in _OPEN or node.get("extra_fields_behavior") == "allow"


def _may_be_aliased(node: Mapping[str, Any]) -> bool:
    return "serialization_alias" in node or "alias" in node or _is_open(node)


def _may_be_float(node: Mapping[str, Any]) -> bool:
    return node.get("type") == "float" or _is_open(node)


def _float_fields(schema: Mapping[str, Any], loose: int) -> Callable[[Any], object] | None:
    """Return what reads the floats off a payload, where plain fields are all that can be one.

    It takes a fifth of the time of taking the payload apart.
    """
    if schema["type"] not in {"dataclass", "model"}:
        return None
    fields: Any = schema["schema"].get("fields", {})
    if schema["type"] == "dataclass":
        fields = {field["name"]: field for field in fields}
    names = [name for name, field in fields.items() if _is_plain_float(field)]
    return attrgetter(*names) if len(names) == loose else None


def _is_plain_float(field: Mapping[str, Any]) -> bool:
    if field.get("init_only") or field.get("serialization_exclude"):
        return False
    types = {node.get("type") for node in _nodes(field)}
    return "float" in types and types <= _PLAIN_FLOAT


def _all_finite(values: Iterable[Any]) -> bool:
    # One flat loop, since this runs for each message with a null, and a call a value would cost.
    for value in values:
        kind = value.__class__
        if kind is float:
            if not isfinite(value):
                return False
        elif kind is dict:
            if not _all_finite(value.values()):
                return False
        elif kind in _SEQUENCES and not _all_finite(value):
            return False
    return True
