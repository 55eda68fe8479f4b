"""Waiting for what a check expects, never longer than the harness is patient."""

import asyncio
from collections.abc import Awaitable, Callable

from msgkit.testing.conformance.handlers import Gate, Handler
from msgkit.testing.conformance.journal import Journal

__all__ = ["Waiting"]


class Waiting:
    """Deadlines for everything; each says what did not happen."""

    journal: Journal

    def __init__(self, *, patience: float, silence: float) -> None:
        self.patience = patience
        self.silence = silence

    async def until(
        self,
        condition: Callable[[], bool | Awaitable[bool]],
        what: str,
        *,
        within: float | None = None,
    ) -> None:
        """Return when it is true.

        :raises AssertionError: saying what did not happen, when it is not so in time
        """
        seconds = self.patience if within is None else within
        assert await self.journal.until(condition, seconds), f"not within {seconds:g} s: {what}"

    async def handled(self, handler: Handler, n: int, *, within: float | None = None) -> None:
        """Return when so many handlings have ended, of whatever kind."""
        await self.until(
            lambda: sum(seen.how is not None for seen in handler.seen) >= n,
            f"{n} handlings by {handler.consumer}, only {len(handler.seen)}",
            within=within,
        )

    async def accepts(self, handler: Handler, n: int, *, within: float | None = None) -> None:
        """Return when so many messages have been accepted."""
        await self.until(lambda: len(handler.accepted) >= n, f"{n} accepted by {handler.consumer}", within=within)

    async def covers(self, n: int, *handlers: Handler, within: float | None = None) -> None:
        """Return when so many different messages have been accepted, by all of them together."""
        await self.until(
            lambda: len({payload for handler in handlers for payload in handler.accepted}) >= n,
            f"{n} messages accepted by {', '.join(handler.consumer for handler in handlers)}",
            within=within,
        )

    async def gets(self, handler: Handler, payload: str, *, within: float | None = None) -> None:
        """Return when a message has been accepted."""
        await self.until(
            lambda: payload in handler.accepted, f"{payload} accepted by {handler.consumer}", within=within
        )

    async def reached(self, gate: Gate, n: int = 1, *, within: float | None = None) -> None:
        """Return when so many handlers have come to a gate."""
        await self.until(lambda: len(gate.reached) >= n, f"{n} handlers at the gate", within=within)

    async def quiet(self, *handlers: Handler, seconds: float | None = None) -> None:
        """Return after a while in which these handlers began nothing.

        :raises AssertionError: naming what came
        """
        before = [len(handler.seen) for handler in handlers]
        await asyncio.sleep(self.silence if seconds is None else seconds)
        for handler, n in zip(handlers, before, strict=True):
            assert len(handler.seen) == n, f"{handler.consumer} was given {handler.payloads[n:]}, where nothing was due"
