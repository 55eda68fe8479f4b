"""The end of a check: the broker is asked what it holds."""

from typing import Protocol

from msgkit.message import Message
from msgkit.spi import Depth
from msgkit.testing.conformance.journal import Journal
from msgkit.topology import Queue

__all__ = ["Asked", "sweep"]


class Asked(Protocol):
    """Who knows the broker: the lab."""

    journal: Journal
    patience: float

    async def depth(self, queue: Queue[str] | Queue[bytes], /) -> Depth | None: ...
    async def is_settled(self, queue: Queue[str] | Queue[bytes], /) -> bool: ...
    async def dead(self, queue: Queue[str], n: int = 1, /) -> list[Message[bytes]]: ...


async def sweep(asked: Asked, queue: Queue[str]) -> None:
    """Collect the dead letters of a queue, and record what it and they still hold."""
    if queue.has_dead_letters:
        depth = await asked.depth(queue.dead_letters)
        if depth is not None and (n := depth.ready + depth.unsettled):
            await asked.dead(queue, n)
        await _record(asked, queue.dead_letters)
    await _record(asked, queue)


async def _record(asked: Asked, queue: Queue[str] | Queue[bytes]) -> None:
    await asked.journal.until(lambda: asked.is_settled(queue), asked.patience)
    if (depth := await asked.depth(queue)) is not None:
        with asked.journal.writing() as ledger:
            ledger.left(queue.name, depth.ready + depth.delayed, depth.unsettled)
