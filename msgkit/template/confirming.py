"""Waiting for a confirmation: within the time allowed, and knowing afterwards what may have happened."""

import asyncio
from asyncio import Future

from msgkit.envelope import Envelope, Receipt
from msgkit.errors import SendRefused, SendUnknown
from msgkit.spi import Binding

__all__ = ["DEFAULT_TIMEOUT", "confirmed", "limit"]

DEFAULT_TIMEOUT = 30.0


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
