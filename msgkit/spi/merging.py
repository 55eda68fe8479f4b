"""Several rows that are in order each, as one that is."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from heapq import heappop, heappush
from typing import TypeVar

__all__ = ["oldest_first"]

T = TypeVar("T")


async def oldest_first(rows: Sequence[AsyncIterator[tuple[int, T]]]) -> AsyncGenerator[T]:
    """Yield what is in rows, each of which has times with what it holds, by these times."""
    # The oldest of each row: with its time, and of which it is, so that what they hold is never compared.
    heads: list[tuple[int, int, T]] = []
    for number, row in enumerate(rows):
        await _next(heads, number, row)
    while heads:
        _, number, found = heappop(heads)
        yield found
        await _next(heads, number, rows[number])


async def _next(heads: list[tuple[int, int, T]], number: int, row: AsyncIterator[tuple[int, T]]) -> None:
    async for time, found in row:
        heappush(heads, (time, number, found))
        return
