"""Wrapping every send and every handling: an onion, put together once."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from msgkit.envelope import Envelope, Receipt
from msgkit.settlement import Settlement

__all__ = [
    "Handle",
    "HandleInterceptor",
    "Send",
    "SendInterceptor",
    "around_handling",
    "around_sending",
]

R = TypeVar("R")
_Inner = Callable[[Envelope], R]

Send = Callable[[Envelope], Awaitable[Receipt]]
Handle = Callable[[Envelope], Awaitable[Settlement]]
SendInterceptor = Callable[[Envelope, Send], Awaitable[Receipt]]
HandleInterceptor = Callable[[Envelope, Handle], Awaitable[Settlement]]


def around_sending(interceptors: Sequence[SendInterceptor], inner: Send) -> Send:
    """Return `inner` with the interceptors around it, the first one outermost."""
    for interceptor in reversed(interceptors):
        inner = partial(_call, interceptor, inner)
    return inner


def around_handling(interceptors: Sequence[HandleInterceptor], inner: Handle) -> Handle:
    """Return `inner` with the interceptors around it, the first one outermost."""
    for interceptor in reversed(interceptors):
        inner = partial(_call, interceptor, inner)
    return inner


def _call(interceptor: Callable[[Envelope, _Inner[R]], R], inner: _Inner[R], envelope: Envelope) -> R:
    return interceptor(envelope, inner)
