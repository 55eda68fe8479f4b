"""The checks: each a promise in one sentence, and a function that finds out if it is kept."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from msgkit.testing.conformance.harness import Fault, Harness
from msgkit.testing.conformance.lab import Lab

__all__ = ["CHECKS", "Check", "Skipped", "check"]

_Body = Callable[[Lab], Awaitable[None]]
_POINTS = range(1, 20)


class Skipped(Exception):
    """The harness cannot do what the check needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One promise: its name is the sentence, `points` the numbers of the meaning that it proves."""

    name: str
    points: tuple[int, ...]
    needs: frozenset[Fault]
    #: How many times the harness's patience all of it may take.
    limit: float
    body: _Body

    @property
    def sentence(self) -> str:
        return self.name.replace("_", " ")

    @property
    def topic(self) -> str:
        """The module that it stands in."""
        return self.body.__module__.rpartition(".")[2]

    async def run(self, harness: Harness) -> None:
        """Find out, on a harness that has been started. Ends in time, whatever the binding does.

        :raises Skipped: naming the methods that the harness lacks
        :raises AssertionError: when the promise is broken
        :raises TimeoutError: when the check did not come to an end
        """
        if missing := sorted(fault.value for fault in self.needs - harness.faults):
            msg = f"{type(harness).__name__} has no {', '.join(missing)}()"
            raise Skipped(msg)
        task = asyncio.create_task(self._run(harness), name=self.name)
        try:
            await asyncio.wait({task}, timeout=self.limit * harness.patience)
            if not task.done():
                msg = f"not over after {self.limit * harness.patience:g} s: {self.sentence}"
                raise TimeoutError(msg)
            await task
        finally:
            if not task.done():
                task.cancel()
                # Not awaited alone: what hangs may well swallow its cancellation, too.
                await asyncio.wait({task}, timeout=harness.patience)

    async def _run(self, harness: Harness) -> None:
        async with Lab(harness, self.name) as lab:
            if Fault.SPAWN in self.needs and not lab.can_spawn:
                msg = f"{type(harness).__name__} has no spawn(), and its broker ends with its process"
                raise Skipped(msg)
            await self.body(lab)


CHECKS: dict[str, Check] = {}


def check(*points: int, needs: tuple[Fault, ...] = (), limit: float = 6) -> Callable[[_Body], _Body]:
    """Register a function as the check of these points; it stays the function that it was.

    `needs` are the faults without which it is skipped. `limit` bounds the whole of it, in units
    of the harness's patience.
    """
    if not points or any(point not in _POINTS for point in points):
        msg = f"a check proves points {_POINTS.start} to {_POINTS.stop - 1}, not {points}"
        raise ValueError(msg)

    def register(body: _Body) -> _Body:
        name = body.__name__
        if name in CHECKS:
            msg = f"there are two checks of the name {name}"
            raise ValueError(msg)
        CHECKS[name] = Check(name=name, points=points, needs=frozenset(needs), limit=limit, body=body)
        return body

    return register
