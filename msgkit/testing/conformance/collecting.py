"""A listener of dead letters."""

from collections.abc import Callable
from typing import Any

from msgkit.listener import listener
from msgkit.message import Message
from msgkit.policy import Backoff
from msgkit.testing.conformance.handlers import Boom, content_of
from msgkit.testing.conformance.journal import Journal
from msgkit.topology import Queue

__all__ = ["Collector"]


class Collector:
    """Takes the dead letters of a queue, or fails with each; `function` is what an application lists."""

    def __init__(self, queue: Queue[Any], journal: Journal, *, fails: bool) -> None:
        self._queue = queue
        self._journal = journal
        self._fails = fails
        self.tries: list[str] = []
        self.bodies: list[bytes] = []
        self.function: Callable[..., object] = listener(queue.dead_letters, retry=Backoff(1, first=0.02, limit=0.1))(
            self._handle()
        )

    def _handle(self) -> Callable[..., object]:
        async def collects_dead_letters(message: Message[bytes]) -> None:
            self.tries.append(message.id)
            self._journal.pulse()
            if self._fails:
                raise Boom
            self.bodies.append(message.payload)
            with self._journal.writing() as ledger:
                ledger.dead(self._queue.name, message.id, content_of(message))

        return collects_dead_letters
