"""What is there and cannot be reached: the node that has it is down, or is still starting."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from msgkit.errors import BrokerUnavailable
from msgkit.spi.pauses import pause
from msgkit_rabbitmq.wire import ChannelClosed

__all__ = ["OutOfReach", "reached", "unless_out_of_reach"]

T = TypeVar("T")


class OutOfReach(BrokerUnavailable):
    """It is to be tried again: nothing is wrong with what was asked."""


def unless_out_of_reach(error: ChannelClosed) -> None:
    """Return when an answer says that something else is wrong.

    :raises OutOfReach: saying what the broker says
    """
    if error.is_out_of_reach:
        raise OutOfReach(f"RabbitMQ says: {error.text}") from error


async def reached(attempt: Callable[[], Awaitable[T]], wait: float) -> T:
    """Try until what is asked for can be reached.

    :raises OutOfReach: when it cannot within so many seconds
    """
    loop = asyncio.get_running_loop()
    until, failures = loop.time() + wait, 0
    while True:
        try:
            return await attempt()
        except OutOfReach:
            failures += 1
            seconds = pause(failures)
            if loop.time() + seconds > until:
                raise
        await asyncio.sleep(seconds)
