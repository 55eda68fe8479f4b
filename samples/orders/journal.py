"""What happened, in the order in which it did, and a way to wait for it."""

import asyncio
from dataclasses import dataclass

__all__ = ["Journal", "Line"]


@dataclass(frozen=True)
class Line:
    who: str
    what: str


class Journal:
    """Kept by all services of the story; a real service would have a log and a database."""

    def __init__(self) -> None:
        self._lines: list[Line] = []
        self._news = asyncio.Event()

    def note(self, who: str, what: str) -> None:
        self._lines.append(Line(who, what))
        self._news.set()

    async def next(self, lines: int, *, within: float = 15) -> list[Line]:
        """Return the next so many lines, and forget them."""
        async with asyncio.timeout(within):
            while len(self._lines) < lines:
                self._news.clear()
                await self._news.wait()
        told, self._lines = self._lines[:lines], self._lines[lines:]
        return told

    @property
    def rest(self) -> list[Line]:
        """What nobody asked for."""
        return list(self._lines)
