"""Waiting for what nobody tells of."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TypeVar

__all__ = ["until"]

T = TypeVar("T")

_PATIENCE, _PAUSE = 20.0, 0.02


async def until(ask: Callable[[], Awaitable[T]], *, patience: float = _PATIENCE) -> T:
    """Ask until the answer is true; what is asked for tells nobody when it comes about."""
    end = monotonic() + patience
    while not (answer := await ask()):
        if monotonic() > end:
            raise TimeoutError(f"still {answer!r}")
        await asyncio.sleep(_PAUSE)
    return answer
