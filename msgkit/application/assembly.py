"""Putting listeners together: everything that can be refused without a broker is refused here."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from msgkit.container import ConsumerOptions, consumer_options
from msgkit.conversion import Conversion
from msgkit.converter import members
from msgkit.dispatch import (
    Dispatcher,
    Handler,
    Outlet,
    Signature,
    check_unambiguous,
    read_signature,
)
from msgkit.envelope import Envelope
from msgkit.errors import ConfigurationError
from msgkit.interception import HandleInterceptor
from msgkit.listener import BoundListener, innermost
from msgkit.message import Delivery
from msgkit.settings import Settings
from msgkit.template import MessageTemplate, Sender
from msgkit.topology import Queue

__all__ = ["Assembled", "assemble"]


#: What only an `async def` can use, and what a plain function takes instead.
_AWAITED: Mapping[Any, str] = {
    Delivery: "return or raise a settlement, or make it async def",
    MessageTemplate: "take a SyncTemplate",
    Sender: "take a SyncTemplate",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembled:
    """The listeners of one queue, ready to be run."""

    queue: Queue[Any]
    dispatcher: Dispatcher
    options: ConsumerOptions
    executor: ThreadPoolExecutor | None


def assemble(
    listeners: Sequence[BoundListener],
    *,
    settings: Settings,
    conversion: Conversion,
    resources: Mapping[Any, Any],
    outlet: Outlet,
    interceptors: Sequence[HandleInterceptor],
) -> list[Assembled]:
    """Return what is to be run, a queue at a time.

    :raises ConfigurationError: for anything that cannot work, naming the function, the queue or the option
    """
    by_queue: dict[tuple[str, str], list[BoundListener]] = {}
    for bound in listeners:
        queue = bound.spec.queue
        by_queue.setdefault((queue.broker, queue.name), []).append(bound)
    together = partial(
        _assemble,
        conversion=conversion,
        resources=resources,
        outlet=outlet,
        interceptors=interceptors,
    )
    return [together(group[0].spec.queue, group, settings=settings) for group in by_queue.values()]


def _assemble(
    queue: Queue[Any],
    listeners: Sequence[BoundListener],
    *,
    settings: Settings,
    conversion: Conversion,
    resources: Mapping[Any, Any],
    outlet: Outlet,
    interceptors: Sequence[HandleInterceptor],
) -> Assembled:
    options = consumer_options(queue, listeners, settings.queue(queue.name))
    signatures = [read_signature(bound, resources, {} if _is_async(bound) else _AWAITED) for bound in listeners]
    executor = None
    if not all(_is_async(bound) for bound in listeners):
        executor = ThreadPoolExecutor(options.concurrency, thread_name_prefix=f"msgkit:{queue.name}")
    handlers = [
        _handler(bound, signature, queue, conversion, outlet, interceptors, executor)
        for bound, signature in zip(listeners, signatures, strict=True)
    ]
    if len(listeners) > 1:
        named = [(bound.name, signature.payload) for bound, signature in zip(listeners, signatures, strict=True)]
        check_unambiguous(queue.name, named)
    kinds = [signature.payload for signature in signatures]
    others = _without_listener(queue, kinds)
    choose = conversion.chooser([*kinds, *others], queue.converter) if len(kinds) > 1 or others else None
    return Assembled(queue=queue, dispatcher=Dispatcher(handlers, choose), options=options, executor=executor)


def _without_listener(queue: Queue[Any], kinds: Sequence[Any]) -> list[Any]:
    """Return the payload types that a queue carries and nobody takes: theirs is not to be read as another's."""
    taken = [member for kind in kinds for member in members(kind)]
    if len(queue.types) < 2 or not all(isinstance(each, type) for each in (*taken, *queue.types)):  # noqa: PLR2004 -- one type is nobody else's
        return []
    if not set(taken) <= set(queue.types):
        # Somebody reads them in a shape of his own.
        return []
    return [kind for kind in queue.types if kind not in taken]


def _handler(
    bound: BoundListener,
    signature: Signature,
    queue: Queue[Any],
    conversion: Conversion,
    outlet: Outlet,
    interceptors: Sequence[HandleInterceptor],
    executor: ThreadPoolExecutor | None,
) -> Handler:
    own = bound.spec.options.get("interceptors", bound.defaults.get("interceptors", ()))
    return Handler(
        bound,
        signature,
        decode=_decoder(bound, signature, queue, conversion),
        outlet=outlet,
        interceptors=(*interceptors, *own),
        executor=None if _is_async(bound) else executor,
    )


def _decoder(
    bound: BoundListener, signature: Signature, queue: Queue[Any], conversion: Conversion
) -> Callable[[Envelope], Any]:
    try:
        return conversion.decoder(signature.payload, queue.converter)
    except ConfigurationError as error:
        msg = f"{bound.name}(): parameter {signature.payload_parameter!r}: {error}"
        raise ConfigurationError(msg) from error


def _is_async(bound: BoundListener) -> bool:
    """Does calling it return at once, with something to await?"""
    return inspect.iscoroutinefunction(bound.handler) or inspect.iscoroutinefunction(innermost(bound.handler))
