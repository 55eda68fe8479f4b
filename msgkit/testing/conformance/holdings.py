"""What the broker says that it holds; and dead letters, taken from it."""

import asyncio
from collections.abc import Sequence
from typing import Any

from msgkit.message import Message
from msgkit.naming import Naming
from msgkit.settlement import ACCEPT
from msgkit.spi import Binding, Capabilities, Depth, Inspectable, Power
from msgkit.template import MessageTemplate
from msgkit.testing.conformance.handlers import content_of
from msgkit.testing.conformance.journal import Journal
from msgkit.topology import Queue

__all__ = ["Holdings"]


class Holdings:
    """Asks the broker, over a connection of the check's own."""

    journal: Journal
    patience: float
    sender: MessageTemplate
    #: A binding that is connected, for what is below the face.
    below: Binding
    capabilities: Capabilities
    naming: Naming

    async def depth(self, queue: Queue[Any]) -> Depth | None:
        """Return what the broker says that a queue holds; None where it cannot say."""
        if not self.capabilities.has(Power.INSPECT) or not isinstance(self.below, Inspectable):
            return None
        return await self.below.depth(self.naming.queue_spec(queue))

    async def dead(self, queue: Queue[Any], n: int = 1, *, within: float | None = None) -> list[Message[bytes]]:
        """Take so many dead letters of a queue, in their order."""
        found: list[Message[bytes]] = []
        deadline = self.journal.now() + (self.patience if within is None else within)
        async with self.sender.receiver(queue.dead_letters) as receiver:
            while len(found) < n:
                left = deadline - self.journal.now()
                assert left > 0, f"{len(found)} of {n} dead letters of {queue.name} in time"
                for delivery in await receiver.take(n - len(found), timeout=left):
                    found.append(delivery)
                    with self.journal.writing() as ledger:
                        ledger.dead(queue.name, delivery.id, content_of(delivery))
                    await delivery.settle(ACCEPT)
        return found

    async def is_settled(self, queue: Queue[Any]) -> bool:
        """Tell whether the queue is empty and nothing of it in anybody's hands, as far as is known."""
        return _is_empty(await self.depth(queue))

    async def has_dead(self, queue: Queue[Any]) -> bool:
        """Tell whether dead letters of a queue wait."""
        depth = await self.depth(queue.dead_letters)
        return depth is not None and depth.ready > 0

    async def sweep(self, queues: Sequence[Queue[Any]]) -> None:
        """Collect the dead letters of queues, and record what these and they still hold."""
        works = [self._sweep_queue(queue) for queue in queues]
        works += [self._sweep_dead(queue) for queue in queues if queue.has_dead_letters]
        for found in await asyncio.gather(*works, return_exceptions=True):
            if found is not None:
                raise found

    async def _sweep_queue(self, queue: Queue[Any]) -> None:
        self._record(queue, await self._rested(queue))

    async def _sweep_dead(self, queue: Queue[Any]) -> None:
        depth = await self.depth(queue.dead_letters)
        if depth is not None and (n := depth.ready + (depth.unsettled or 0)):
            await self.dead(queue, n)
        self._record(queue.dead_letters, depth if _is_empty(depth) else await self._rested(queue.dead_letters))

    async def _rested(self, queue: Queue[Any]) -> Depth | None:
        """Return what is in a queue when it is empty, or after a while."""
        last: list[Depth | None] = []

        async def is_empty() -> bool:
            last[:] = [await self.depth(queue)]
            return _is_empty(last[0])

        await self.journal.until(is_empty, self.patience)
        return last[0]

    def _record(self, queue: Queue[Any], depth: Depth | None) -> None:
        if depth is not None:
            with self.journal.writing() as ledger:
                ledger.left(queue.name, depth.ready + (depth.delayed or 0), depth.unsettled or 0)


def _is_empty(depth: Depth | None) -> bool:
    return depth is None or (depth.agrees(ready=0) and not depth.delayed)
