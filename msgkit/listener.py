"""Functions that listen: marked by a decorator, left as they were, and found again in an explicit list."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType, ModuleType
from typing import Any, Literal, TypedDict, TypeGuard, TypeVar, Unpack, cast

from msgkit.errors import ConfigurationError
from msgkit.interception import HandleInterceptor
from msgkit.policy import Backoff
from msgkit.topology import Destination, Queue
from msgkit.values import Seconds, check_duration, check_functions, check_name, check_whole

__all__ = [
    "Batch",
    "BoundChecker",
    "BoundListener",
    "Header",
    "ListenerOptions",
    "ListenerSpec",
    "Listeners",
    "checker",
    "collect",
    "describe",
    "innermost",
    "listener",
]

F = TypeVar("F", bound=Callable[..., object])
_MARK = "__msgkit_listeners__"
_CHECK = "__msgkit_check__"


class ListenerOptions(TypedDict, total=False):
    """How a queue's messages are handled; said once for each queue, or in the settings."""

    concurrency: int
    max_in_flight: int
    retry: Backoff
    timeout: Seconds
    autostart: bool
    on_lost: Literal["cancel", "finish"]
    interceptors: Sequence[HandleInterceptor]


class Batch:
    """So many messages in one call, or as many as came within so many seconds."""

    __slots__ = ("size", "within")

    def __init__(self, size: int, *, within: Seconds = 0.1) -> None:
        self.size = check_whole(size, "Batch(size)")
        self.within = check_duration(within, "Batch(within=)")

    def __repr__(self) -> str:
        return f"Batch({self.size}, within={self.within:g})"


class Header:
    """Marks a parameter as a header's value: `Annotated[str, Header("x-trace")]`.

    Without a name it takes the parameter's, with dashes for underscores.
    """

    __slots__ = ("name",)

    def __init__(self, name: str | None = None) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"Header({self.name!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerSpec:
    """What `@listener` wrote on a function."""

    queue: Queue[Any]
    batch: Batch | None = None
    settle: Literal["on_return", "later"] = "on_return"
    send_to: Destination[Any] | None = None
    options: ListenerOptions = field(default_factory=ListenerOptions)


@dataclass(frozen=True, slots=True)
class BoundListener:
    """A callable and what was written on it."""

    handler: Callable[..., Any]
    spec: ListenerSpec
    defaults: Mapping[str, Any]

    @property
    def name(self) -> str:
        return describe(self.handler)


@dataclass(frozen=True, slots=True)
class BoundChecker:
    """A callable that answers for half messages."""

    handler: Callable[..., Any]
    name: str


def listener(
    queue: Queue[Any],
    /,
    *,
    batch: Batch | None = None,
    settle: Literal["on_return", "later"] = "on_return",
    send_to: Destination[Any] | None = None,
    **options: Unpack[ListenerOptions],
) -> Callable[[F], F]:
    """Mark a function or method as a listener of a queue; it stays the function that it was."""
    if not isinstance(queue, Queue):  # pyright: ignore[reportUnnecessaryIsInstance] -- callers without a type checker
        msg = f"@listener takes a Queue, not {queue!r}; an Exchange's messages are had by exchange.queue(name)"
        raise ConfigurationError(msg)
    if settle not in ("on_return", "later"):
        msg = f"@listener({queue}): settle= must be 'on_return' or 'later', not {settle!r}"
        raise ConfigurationError(msg)
    if batch is not None and not isinstance(batch, Batch):  # pyright: ignore[reportUnnecessaryIsInstance] -- as above
        msg = f"@listener({queue}): batch= takes a Batch(...), not {batch!r}"
        raise ConfigurationError(msg)
    if send_to is not None and not isinstance(send_to, Destination):  # pyright: ignore[reportUnnecessaryIsInstance] -- as above
        msg = f"@listener({queue}): send_to= takes an Exchange or a Queue, not {send_to!r}"
        raise ConfigurationError(msg)
    if batch is not None and (send_to is not None or settle == "later"):
        msg = f"@listener({queue}): a batch is settled on return and answers nobody; leave out send_to= and settle="
        raise ConfigurationError(msg)
    _check_options(options, f"@listener({queue})")
    spec = ListenerSpec(queue=queue, batch=batch, settle=settle, send_to=send_to, options=options)

    def mark(function: F) -> F:
        plain = getattr(function, "__func__", function)
        if not callable(plain) or isinstance(plain, type):
            msg = f"@listener({queue}) marks a function or method, not {function!r}"
            raise ConfigurationError(msg)
        if inspect.isgeneratorfunction(plain) or inspect.isasyncgenfunction(plain):
            msg = f"@listener({queue}): {describe(plain)}() yields; a listener returns, so it would never run"
            raise ConfigurationError(msg)
        setattr(plain, _MARK, (*getattr(plain, _MARK, ()), spec))
        return function

    return mark


def checker(name: str, /) -> Callable[[F], F]:
    """Mark a function that answers `prepare(check=name)`: True commits, False rolls back, None does not know yet."""
    check_name(name, "a @checker")

    def mark(function: F) -> F:
        setattr(getattr(function, "__func__", function), _CHECK, name)
        return function

    return mark


class Listeners:
    """Listeners that belong together, with defaults that they share."""

    __slots__ = ("defaults", "items")

    def __init__(self, *items: object, **defaults: Unpack[ListenerOptions]) -> None:
        _check_options(defaults, "Listeners()")
        self.items = items
        self.defaults = MappingProxyType(dict(defaults))

    def __repr__(self) -> str:
        return f"Listeners({len(self.items)} items)"


def _check_options(options: ListenerOptions, where: str) -> None:
    """Refuse options that cannot work, naming where they stand."""
    for name in options:
        if name not in ListenerOptions.__annotations__:
            msg = f"{where} has no option {name!r}; there are {', '.join(sorted(ListenerOptions.__annotations__))}"
            raise ConfigurationError(msg)
    for name in ("concurrency", "max_in_flight"):
        check_whole(options.get(name, 1), f"{where}: {name}=")
    if "timeout" in options and check_duration(options["timeout"], f"{where}: timeout=") == 0:
        msg = f"{where}: timeout= must be more than 0; leave it out for no limit"
        raise ConfigurationError(msg)
    if options.get("on_lost", "cancel") not in ("cancel", "finish"):
        msg = f"{where}: on_lost= must be 'cancel' or 'finish', not {options.get('on_lost')!r}"
        raise ConfigurationError(msg)
    if not isinstance(options.get("autostart", True), bool):
        msg = f"{where}: autostart= must be True or False, not {options.get('autostart')!r}"
        raise ConfigurationError(msg)
    check_functions(options.get("interceptors", ()), f"{where}: interceptors=")
    if not isinstance(options.get("retry", Backoff()), Backoff):
        msg = f"{where}: retry= takes a Backoff(...), not {options.get('retry')!r}"
        raise ConfigurationError(msg)


def collect(items: Sequence[object]) -> tuple[list[BoundListener], list[BoundChecker]]:
    """Return the listeners and checkers of functions, bound methods, objects, modules and groups.

    :raises ConfigurationError: for an item in which nothing listens
    """
    if not isinstance(items, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance] -- callers without a type checker
        msg = f"listeners are given as a list, not as {_what(items)} alone; put it into brackets"
        raise ConfigurationError(msg)
    found = _Found()
    for item in items:
        found.add(item, {})
    _check_names(found.checkers)
    return found.listeners, found.checkers


def _check_names(checkers: Sequence[BoundChecker]) -> None:
    answering: dict[str, BoundChecker] = {}
    for each in checkers:
        other = answering.setdefault(each.name, each)
        if other is not each:
            both = f"{describe(other.handler)}() and {describe(each.handler)}()"
            msg = f"@checker({each.name!r}) stands on both {both}; one of them has to go"
            raise ConfigurationError(msg)


class _Found:
    """What listens and answers in the items of a list, in their order."""

    def __init__(self) -> None:
        self.listeners: list[BoundListener] = []
        self.checkers: list[BoundChecker] = []
        self._groups: list[Listeners] = []

    def add(self, item: object, defaults: Mapping[str, Any]) -> None:
        if isinstance(item, Listeners):
            self._groups.append(item)
            for inner in item.items:
                self.add(inner, {**defaults, **item.defaults})
        elif isinstance(item, ModuleType):
            self._add_module(item, defaults)
        else:
            self._add_all(list(_members(item)), item, defaults)

    def _add_module(self, module: ModuleType, defaults: Mapping[str, Any]) -> None:
        """Add a module's groups, and each function of its own that is listed nowhere yet, once for all its names."""
        values = list({id(value): value for value in vars(module).values()}.values())
        groups = [value for value in values if isinstance(value, Listeners)]
        for group in groups:
            if not any(group is other for other in self._groups):
                self.add(group, defaults)
        listed = {bound.handler for bound in self.listeners} | {bound.handler for bound in self.checkers}
        own = [value for value in values if _is_marked_function(value, module)]
        if own or not groups:
            self._add_all(own, module, defaults, but=listed)

    def _add_all(
        self,
        members: Sequence[Callable[..., Any]],
        item: object,
        defaults: Mapping[str, Any],
        *,
        but: AbstractSet[Callable[..., Any]] = frozenset(),
    ) -> None:
        if not members:
            msg = f"nothing listens in {_what(item)}; mark a function or method of it with @listener(queue)"
            raise ConfigurationError(msg)
        for member in members:
            if member not in but:
                self._add(member, defaults)

    def _add(self, member: Callable[..., Any], defaults: Mapping[str, Any]) -> None:
        for spec in cast("tuple[ListenerSpec, ...]", getattr(member, _MARK, ())):
            self.listeners.append(BoundListener(member, spec, defaults))
        if (name := getattr(member, _CHECK, None)) is not None:
            self.checkers.append(BoundChecker(member, name))


def _members(item: object) -> Iterator[Callable[..., Any]]:
    """Yield the callables in which a mark is looked for, in the order of their definition."""
    if isinstance(item, type):
        msg = f"{_what(item)} is a class; list an instance of it, {item.__name__}(...)"
        raise ConfigurationError(msg)
    elif _is_marked(item):
        yield cast("Callable[..., Any]", item)
    else:
        yield from _marked_methods(item)


def _marked_methods(item: object) -> Iterator[Callable[..., Any]]:
    kind: type[object] = type(item)
    for name in dict.fromkeys(name for cls in reversed(kind.__mro__) for name in vars(cls)):
        # Looked up on the class first, so that no property is run.
        if _is_marked(inspect.getattr_static(kind, name)):
            yield getattr(item, name)


def _is_marked(value: object) -> bool:
    plain = getattr(value, "__func__", value)
    return hasattr(plain, _MARK) or hasattr(plain, _CHECK)


def _is_marked_function(value: object, module: ModuleType) -> TypeGuard[Callable[..., Any]]:
    return inspect.isfunction(value) and value.__module__ == module.__name__ and _is_marked(value)


def describe(handler: Callable[..., Any]) -> str:
    """Return a name by which a person finds the function."""
    plain = innermost(handler)
    return f"{getattr(plain, '__module__', '?')}.{getattr(plain, '__qualname__', repr(plain))}"


def innermost(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function that a method, a partial, a wrapper or an object comes down to."""
    while True:
        if isinstance(handler, partial):
            handler = handler.func
        elif beneath := getattr(handler, "__func__", None) or getattr(handler, "__wrapped__", None):
            handler = beneath
        elif not (inspect.isroutine(handler) or isinstance(handler, type)):
            handler = type(handler).__call__
        else:
            return handler


def _what(item: object) -> str:
    if isinstance(item, ModuleType):
        return f"module {item.__name__}"
    if isinstance(item, type) or callable(item):
        return describe(cast("Callable[..., Any]", item))
    return f"{type(item).__module__}.{type(item).__qualname__} object"
