"""Waiting for what is there and cannot be reached: the node that has it is down, or is still starting."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from msgkit.errors import BrokerUnavailable
from msgkit.spi.pauses import pause
from msgkit_rabbitmq.wire import OutOfReach

__all__ = ["reached"]

T = TypeVar("T")


async def reached(attempt: Callable[[], Awaitable[T]], wait: float) -> T:
    """Try until what is asked for can be reached.

    :raises BrokerUnavailable: saying what the broker says, when it cannot within so many seconds
    """
    loop = asyncio.get_running_loop()
    until, failures = loop.time() + wait, 0
    while True:
        try:
            return await attempt()
        except OutOfReach as error:
            failures += 1
            seconds = pause(failures)
            if loop.time() + seconds > until:
                raise BrokerUnavailable(f"RabbitMQ says: {error.text}") from error
        await asyncio.sleep(seconds)
