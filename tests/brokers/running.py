"""Brokers for as long as tests need them; where one cannot be had, these are skipped, or fail."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from typing import TypeVar

from msgkit.testing.brokers import Broker, Unavailable
from tests.brokers.requiring import unavailable

__all__ = ["running", "started"]

B = TypeVar("B", bound=Broker)


def running(broker: B) -> Iterator[B]:
    """Be the whole of a fixture that many tests share: a broker that belongs to none of their loops."""
    try:
        asyncio.run(broker.__aenter__())
    except Unavailable as error:
        unavailable(broker.name, error)
    yield broker
    asyncio.run(broker.__aexit__(None, None, None))


@asynccontextmanager
async def started(broker: B) -> AsyncGenerator[B]:
    """Start a broker, or skip the test where it cannot be had."""
    try:
        await broker.__aenter__()
    except Unavailable as error:
        unavailable(broker.name, error)
    try:
        yield broker
    finally:
        await broker.__aexit__(None, None, None)
