"""Waiting for a confirmation: within the time allowed, and knowing afterwards what may have happened."""

import asyncio
from asyncio import Future

from msgkit.envelope import Envelope, Receipt
from msgkit.errors import SendRefused, SendUnknown
from msgkit.message import Message, SendOptions
from msgkit.spi import Binding
from msgkit.values import at_least_zero

__all__ = ["DEFAULT_TIMEOUT", "confirmed", "limit", "time_for"]

DEFAULT_TIMEOUT = 30.0


def time_for(to: object, payload: object, options: SendOptions) -> float:
    """Return how many seconds a send may take: what its options say, or those of its message."""
    if not options and not isinstance(payload, Message):
        return DEFAULT_TIMEOUT
    said = payload.options if isinstance(payload, Message) and "timeout" not in options else options
    return at_least_zero(said["timeout"], f"send({to}): timeout=") if "timeout" in said else DEFAULT_TIMEOUT


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
        future.set_exception(SendRefused(f"{what} was not sent: no connection to the broker within {timeout:g} s"))
    else:
        future.set_exception(SendUnknown(f"{what} was sent, but not confirmed within {timeout:g} s"))
