"""What a handler wants, read from its annotations once, and how each argument is had."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType, NoneType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from msgkit.envelope import Envelope
from msgkit.errors import ConfigurationError, Poison
from msgkit.listener import BoundListener, Header, innermost
from msgkit.message import Delivery, Message
from msgkit.values import Headers

__all__ = ["CONTENT", "Getter", "Signature", "read_signature"]

#: Returns an argument: of the envelope, the payload, and the message where one is made.
Getter = Callable[[Envelope, Any, Any], Any]


_NOTHING: Mapping[Any, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Signature:
    """How a handler is called."""

    positional: tuple[Getter, ...]
    named: tuple[tuple[str, Getter], ...]
    #: What the payload is decoded into; only where `takes_payload`.
    payload: Any
    takes_payload: bool
    #: The name of the parameter that takes it, for errors.
    payload_parameter: str
    #: Is a Message or Delivery made for it?
    message: bool
    delivery: bool
    #: Is None an answer, too? Not of what is annotated to return nothing.
    answers_none: bool


def read_signature(
    bound: BoundListener, resources: Mapping[Any, Any], awaited: Mapping[Any, str] = _NOTHING
) -> Signature:
    """Return how to call a listener; `awaited` are the types that it cannot use, and what to take instead.

    :raises ConfigurationError: naming the function and the parameter that cannot be served
    """
    reader = _Reader(bound, resources, awaited)
    positional: list[Getter] = []
    named: list[tuple[str, Getter]] = []
    by_name_from_here = False
    for parameter in inspect.signature(bound.handler).parameters.values():
        getter = reader.getter(parameter)
        if getter is None:
            by_name_from_here = True
        elif parameter.kind is parameter.KEYWORD_ONLY or by_name_from_here:
            named.append((parameter.name, getter))
        else:
            positional.append(getter)
    return Signature(
        tuple(positional),
        tuple(named),
        reader.payload,
        reader.takes_payload,
        reader.payload_parameter,
        reader.message,
        reader.delivery,
        reader.answers_none,
    )


class _Reader:
    def __init__(self, bound: BoundListener, resources: Mapping[Any, Any], awaited: Mapping[Any, str]) -> None:
        self._bound = bound
        self._resources = resources
        self._awaited = awaited
        self._hints = _hints(bound)
        self.payload: Any = None
        self.takes_payload = False
        self.payload_parameter = ""
        self.message = False
        self.delivery = False
        self.answers_none = self._hints.get("return", NoneType) is not NoneType

    def getter(self, parameter: inspect.Parameter) -> Getter | None:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            return None
        annotation = self._hints.get(parameter.name, parameter.empty)
        has_default = parameter.default is not parameter.empty
        header = _header_of(annotation)
        if header is not None:
            return self._header(parameter, header, get_args(annotation)[0])
        if has_default or _is_injected(annotation):
            return None
        if annotation is parameter.empty:
            self._refuse(parameter, "has no annotation; say what it takes, such as the payload's type")
        kind = _bare(annotation)
        plain = get_origin(kind) or kind
        if _is_hashable(plain) and plain in self._awaited:
            self._refuse(parameter, f"cannot be used by a plain def, which does not await; {self._awaited[plain]}")
        if kind == Headers:
            return self._all_headers(parameter)
        if _is_hashable(kind) and kind in self._resources:
            resource = self._resources[kind]
            return lambda _envelope, _payload, _message: resource
        return self._content(parameter, annotation)

    def _content(self, parameter: inspect.Parameter, annotation: Any) -> Getter:
        if self._bound.spec.batch is not None:
            annotation = self._item_of_batch(parameter, annotation)
        if self.takes_payload:
            self._refuse(
                parameter,
                "is a second payload; other parameters need a default or a marker such as Header()",
            )
        self.takes_payload = True
        self.payload_parameter = parameter.name
        kind = _bare(annotation)
        plain = get_origin(kind) or kind
        if plain is Message or plain is Delivery:
            arguments = get_args(kind)
            self.payload = arguments[0] if arguments else _carried(self._bound)
            self.message, self.delivery = True, plain is Delivery
            if self.delivery and self._bound.spec.batch is not None:
                self._refuse(
                    parameter,
                    "cannot be settled by hand: a batch returns a settlement for each message",
                )
            return _message
        self.payload = annotation
        return _payload

    def _item_of_batch(self, parameter: inspect.Parameter, annotation: Any) -> Any:
        if get_origin(annotation) is not list:
            self._refuse(parameter, "must be a list[...] to take a batch")
        return get_args(annotation)[0]

    def _all_headers(self, parameter: inspect.Parameter) -> Getter:
        if self._bound.spec.batch is not None:
            self._refuse(parameter, "asks for the headers of a batch; take list[Message[...]] instead")
        return _headers

    def _header(self, parameter: inspect.Parameter, header: Header, kind: Any) -> Getter:
        if self._bound.spec.batch is not None:
            self._refuse(parameter, "asks for one header of a batch; take list[Message[...]] instead")
        name = header.name if header.name is not None else parameter.name.replace("_", "-")
        default = parameter.default
        convert = _converter_of(kind)

        def get(envelope: Envelope, _payload: Any, _message: Any) -> Any:
            value = envelope.headers.get(name)
            if value is None:
                if default is parameter.empty:
                    msg = f"message {envelope.message_id} has no header {name!r}"
                    raise Poison(msg)
                return default
            if type(value) is kind:
                return value
            return convert(name, value)

        return get

    def _refuse(self, parameter: inspect.Parameter, why: str) -> None:
        msg = f"{self._bound.name}(): parameter {parameter.name!r} {why}"
        raise ConfigurationError(msg)


def _headers(envelope: Envelope, _payload: Any, _message: Any) -> Any:
    return MappingProxyType(envelope.headers)


def _payload(_envelope: Envelope, payload: Any, _message: Any) -> Any:
    return payload


def _message(_envelope: Envelope, _payload: Any, message: Any) -> Any:
    return message


#: The getters that a batch answers with a list.
CONTENT = (_payload, _message)


def _hints(bound: BoundListener) -> dict[str, Any]:
    try:
        return get_type_hints(innermost(bound.handler), include_extras=True)
    except (NameError, TypeError) as error:
        msg = f"the annotations of {bound.name}() cannot be read: {error}"
        raise ConfigurationError(msg) from error


def _carried(bound: BoundListener) -> Any:
    """Return what a bare Message holds: what the queue carries."""
    types = bound.spec.queue.types
    if not types:
        return object
    carried = types[0]
    for kind in types[1:]:
        carried = carried | kind
    return carried


def _header_of(annotation: Any) -> Header | None:
    if get_origin(annotation) is not Annotated:
        return None
    for mark in get_args(annotation)[1:]:
        if isinstance(mark, Header):
            return mark
        if mark is Header:
            return Header()
    return None


def _bare(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _is_injected(annotation: Any) -> bool:
    """Will somebody else fill it in: `Annotated[Service, Provide[...]]` of dependency-injector?"""
    return get_origin(annotation) is Annotated and any(
        type(mark).__module__.partition(".")[0] == "dependency_injector" for mark in get_args(annotation)[1:]
    )


def _is_hashable(annotation: Any) -> bool:
    return getattr(annotation, "__hash__", None) is not None


def _converter_of(kind: Any) -> Callable[[str, Any], Any]:
    """Return what makes a header's value fit its annotation, built when first needed."""
    adapters: list[Any] = []

    def convert(name: str, value: Any) -> Any:
        # Pydantic takes longer to import than everything else; most headers are what they should be.
        from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415 -- see above

        if not adapters:
            adapters.append(TypeAdapter(kind))
        try:
            return adapters[0].validate_python(value)
        except ValidationError as error:
            msg = f"header {name!r} is no {kind}: {error.errors()[0]['msg']}"
            raise Poison(msg) from error

    return convert
