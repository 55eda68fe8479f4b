"""One listener, ready to be called: from an envelope to a settlement."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import Executor
from contextvars import copy_context
from functools import partial
from typing import Any, Protocol, cast

from msgkit.dispatch.signature import CONTENT, Getter, Signature
from msgkit.envelope import Envelope
from msgkit.errors import ConfigurationError, ConversionError, Poison
from msgkit.interception import Handle, HandleInterceptor, around_handling
from msgkit.listener import BoundListener
from msgkit.message import Delivery, Message, Settler
from msgkit.settlement import ACCEPT, Accept, Reject, Retry, Settlement

__all__ = ["NOTHING_SAID", "Handler", "Outlet"]

#: What a handler that settles later has said by returning nothing; to interceptors it is an `Accept`.
NOTHING_SAID = Accept()

_Decode = Callable[[Envelope], Any]
_HandleOne = Callable[[Envelope, Settler, object, list[Message[Any]] | None], Coroutine[Any, Any, Settlement]]


_SETTLEMENTS = frozenset({Accept, Retry, Reject})


class Outlet(Protocol):
    """Where a handler's results go."""

    async def result(self, handler: "Handler", envelope: Envelope, raw: object, value: object, /) -> None:
        """Answer the sender who asked, else send it on to where the listener says."""
        ...


class Handler:
    """A listener's function with everything it needs, put together once."""

    def __init__(
        self,
        bound: BoundListener,
        signature: Signature,
        *,
        decode: _Decode,
        outlet: Outlet,
        interceptors: Sequence[HandleInterceptor] = (),
        executor: Executor | None = None,
    ) -> None:
        self.bound = bound
        self.name = bound.name
        self.settles_later = bound.spec.settle == "later"
        self._signature = signature
        self._decode = decode if signature.takes_payload else _nothing
        self._outlet = outlet
        self._interceptors = tuple(interceptors)
        self.executor = executor
        self._function = bound.handler if executor is None else self._in_thread
        self._call = _caller(self._function, signature)
        #: Returns how a message is to end; whatever goes wrong is raised. The list, where one is
        #: given, gets the message as the handler saw it.
        self.handle: _HandleOne = self._intercepted if self._interceptors else self._inner

    async def _intercepted(
        self, envelope: Envelope, settler: Settler, raw: object, seen: "list[Message[Any]] | None"
    ) -> Settlement:
        settlement = await self._onion(settler, raw, seen)(envelope)
        if not isinstance(settlement, (Accept, Retry, Reject)):  # pyright: ignore[reportUnnecessaryIsInstance] -- others' code
            msg = f"an interceptor of {self.name}() returned {settlement!r}; it must return what `proceed` returned"
            raise ConfigurationError(msg)
        return settlement

    def _onion(self, settler: Settler, raw: object, seen: "list[Message[Any]] | None") -> Handle:
        return around_handling(self._interceptors, partial(self._settled, settler, raw, seen))

    async def _settled(
        self, settler: Settler, raw: object, seen: "list[Message[Any]] | None", envelope: Envelope
    ) -> Settlement:
        """Interceptors see what a handler raised to end a message as what it returned."""
        try:
            return await self._inner(envelope, settler, raw, seen)
        except (Retry, Reject) as settlement:
            return settlement

    async def _inner(
        self, envelope: Envelope, settler: Settler, raw: object, seen: "list[Message[Any]] | None"
    ) -> Settlement:
        signature = self._signature
        payload = self.decode(envelope)
        message: Message[Any] | None = None
        if signature.message:
            message = (
                Delivery.taken(payload, envelope, settler, raw)
                if signature.delivery
                else Message.received(payload, envelope)
            )
        result = self._call(envelope, payload, message)
        if result is not None and hasattr(result, "__await__"):
            result = await result
        if seen is not None:
            seen.append(message or Message.received(payload, envelope))
        if isinstance(result, (Accept, Retry, Reject)):
            return result
        if result is not None or (envelope.reply_to is not None and signature.answers_none):
            if isinstance(result, type) and result in _SETTLEMENTS:
                msg = f"{self.name}() returned the class {result.__name__}; return {result.__name__}(...)"
                raise ConfigurationError(msg)
            await self._outlet.result(self, envelope, raw, result)
            return ACCEPT
        if not signature.delivery:
            return ACCEPT
        # Interceptors see what was settled by hand as what was returned.
        by_hand = message.settled if isinstance(message, Delivery) else None
        return by_hand or NOTHING_SAID

    async def call_batch(
        self,
        envelopes: Sequence[Envelope],
        payloads: Sequence[Any],
        seen: "list[Message[Any]] | None",
    ) -> list[Settlement]:
        """Return how each message of a batch is to end; what goes wrong with all of them is raised."""
        signature = self._signature
        messages = [Message.received(payload, envelope) for payload, envelope in zip(payloads, envelopes, strict=True)]
        items = messages if signature.message else list(payloads)
        result = self._function(
            *[items if get in CONTENT else get(envelopes[0], None, None) for get in signature.positional],
            **{name: items if get in CONTENT else get(envelopes[0], None, None) for name, get in signature.named},
        )
        if hasattr(result, "__await__"):
            result = await result
        settlements = self._batch_result(result, len(envelopes))
        if seen is not None:
            seen.extend(messages)
        return settlements

    def decode(self, envelope: Envelope) -> Any:
        """Return the payload.

        :raises Poison: when the message cannot be read
        """
        try:
            return self._decode(envelope)
        except ConversionError as error:
            raise Poison(str(error)) from error

    @property
    def interceptors(self) -> tuple[HandleInterceptor, ...]:
        return self._interceptors

    def _batch_result(self, result: object, size: int) -> list[Settlement]:
        if result is None:
            return [ACCEPT] * size
        if isinstance(result, (Accept, Retry, Reject)):
            return [result] * size
        settlements = cast("list[object]", result) if isinstance(result, list) else []
        ended: list[Settlement] = [each for each in settlements if isinstance(each, (Accept, Retry, Reject))]
        if len(ended) != size or len(settlements) != size:
            msg = f"{self.name}() must return None, or a list with a settlement for each of its {size} messages"
            raise ConfigurationError(msg)
        return ended

    def _in_thread(self, *arguments: Any, **named: Any) -> Awaitable[Any]:
        call = partial(_run, partial(self.bound.handler, *arguments, **named))
        return asyncio.get_running_loop().run_in_executor(self.executor, copy_context().run, call)


def _caller(function: Callable[..., Any], signature: Signature) -> Getter:
    """Return what calls the handler with its arguments; most have one or two, which need no list."""
    match signature.positional, signature.named:
        case (one,), ():
            return lambda envelope, payload, message: function(one(envelope, payload, message))
        case (one, two), ():
            return lambda envelope, payload, message: function(
                one(envelope, payload, message), two(envelope, payload, message)
            )
        case many, named:
            return lambda envelope, payload, message: function(
                *[get(envelope, payload, message) for get in many],
                **{name: get(envelope, payload, message) for name, get in named},
            )


def _run(call: Callable[[], Any]) -> Any:
    """A StopIteration cannot pass a future: whoever waits for it would wait for ever."""
    try:
        return call()
    except StopIteration as error:
        msg = "the handler raised StopIteration"
        raise RuntimeError(msg) from error


def _nothing(_envelope: Envelope) -> None:
    return None
