"""Waiting for a broker: within the time allowed, and knowing afterwards what may have happened."""

import asyncio
from asyncio import Future
from collections.abc import Awaitable
from typing import TypeVar

from msgkit.envelope import Envelope, Receipt
from msgkit.errors import BrokerUnavailable, SendRefused, SendUnknown
from msgkit.message import Message, SendOptions
from msgkit.spi import Binding
from msgkit.values import at_least_zero

__all__ = ["DEFAULT_TIMEOUT", "confirmed", "ended", "limit", "reached", "time_for"]

T = TypeVar("T")

DEFAULT_TIMEOUT = 30.0


def time_for(to: object, payload: object, options: SendOptions) -> float:
    """Return how many seconds a send may take: what its options say, or those of its message."""
    if not options and not isinstance(payload, Message):
        return DEFAULT_TIMEOUT
    said = payload.options if isinstance(payload, Message) and "timeout" not in options else options
    return at_least_zero(said["timeout"], f"send({to}): timeout=") if "timeout" in said else DEFAULT_TIMEOUT


async def reached(step: Awaitable[T], what: str, timeout: float) -> tuple[T, float]:
    """Return what a step before a send comes to, and the time that is left after it.

    :raises SendRefused: when the broker cannot be reached in time
    """
    now = asyncio.get_running_loop().time
    until = now() + timeout
    try:
        async with asyncio.timeout_at(until):
            found = await step
    except (TimeoutError, BrokerUnavailable) as error:
        msg = f"nothing was sent to {what}: its broker could not be reached within {timeout:.3g} s"
        raise SendRefused(msg) from error
    return found, max(0.0, until - now())


async def ended(step: Awaitable[T], what: str, timeout: float) -> T:
    """Return what a step comes to that the broker may have taken even when it does not answer.

    :raises SendUnknown: when it does not answer in time
    """
    try:
        async with asyncio.timeout(timeout):
            return await step
    except TimeoutError as error:
        msg = f"{what}: the broker did not answer within {timeout:.3g} s"
        raise SendUnknown(msg) from error


async def confirmed(binding: Binding, envelope: Envelope, future: "Future[Receipt]", timeout: float) -> Receipt:
    """Return the receipt.

    :raises SendRefused: when time ran out before the message was written
    :raises SendUnknown: when time ran out after it
    """
    timer = limit(binding, envelope, future, timeout)
    try:
        return await future
    except asyncio.CancelledError:
        binding.abandon(future)
        raise
    finally:
        timer.cancel()


def limit(binding: Binding, envelope: Envelope, future: "Future[Receipt]", timeout: float) -> asyncio.TimerHandle:
    """Fail the future when time runs out."""
    return asyncio.get_running_loop().call_later(timeout, _give_up, binding, envelope, future, timeout)


def _give_up(binding: Binding, envelope: Envelope, future: "Future[Receipt]", timeout: float) -> None:
    if future.done():
        return
    what = f"message {envelope.message_id} to {envelope.destination!r}"
    if binding.abandon(future):
        future.set_exception(SendRefused(f"{what} was not sent: no connection to the broker within {timeout:.3g} s"))
    else:
        future.set_exception(SendUnknown(f"{what} was sent, but not confirmed within {timeout:.3g} s"))
