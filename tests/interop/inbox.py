"""Waiting for what somebody is handed."""

import asyncio
from typing import Generic, TypeVar

__all__ = ["Inbox"]

T = TypeVar("T")

_PATIENCE = 20.0


class Inbox(Generic[T]):
    """What a listener was handed, in that order."""

    def __init__(self) -> None:
        self._waiting = asyncio.Queue[T]()

    def put(self, message: T) -> None:
        self._waiting.put_nowait(message)

    async def next(self) -> T:
        """Return the next message.

        :raises TimeoutError: when none comes
        """
        async with asyncio.timeout(_PATIENCE):
            return await self._waiting.get()
