"""Futures whose outcome is known when they are made."""

import asyncio
from asyncio import Future

__all__ = ["failed"]


def failed(error: Exception) -> "Future[None]":
    """Return a settlement that failed at once."""
    future: Future[None] = asyncio.get_running_loop().create_future()
    future.set_exception(error)
    return future
