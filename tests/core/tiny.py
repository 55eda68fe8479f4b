"""The smallest consumer that there can be, for looking at one decision at a time."""

import asyncio
from collections import deque
from collections.abc import Hashable
from typing import Any

from msgkit.envelope import Envelope, Kind, new_id
from msgkit.settlement import ACCEPT
from msgkit.spi import RawDelivery, RawSettlement

__all__ = ["TinyConsumer", "raw"]


def raw(
    body: str = "", *, lane: Hashable | None = None, scope: Hashable = 1, attempt: int = 1, **said: Any
) -> RawDelivery:
    """Return a delivery that waits to be settled."""
    envelope = Envelope(body.encode(), "jobs", Kind.QUEUE, new_id(), attempt=attempt)._replace(**said)
    return RawDelivery(envelope=envelope, attempt=attempt, crashes=0, lane=lane, scope=scope, handle=None)


class TinyConsumer:
    """Keeps what it is told, and answers as it was set up to: at once, unless told otherwise."""

    def __init__(self, *, holds: bool = False) -> None:
        self.holds = holds
        self.settled: list[tuple[RawDelivery, RawSettlement]] = []
        self.credits: list[int] = []
        #: How the next settlements end: an error that they fail with, or a future that is to come.
        self.answers: deque[Exception | asyncio.Future[None]] = deque()

    def credit(self, n: int, /) -> None:
        self.credits.append(n)

    def settle(self, delivery: RawDelivery, how: RawSettlement, /) -> "asyncio.Future[None] | None":
        self.settled.append((delivery, how))
        if not self.answers:
            return None
        answer = self.answers.popleft()
        if isinstance(answer, asyncio.Future):
            return answer
        failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        failed.set_exception(answer)
        return failed

    async def drain(self) -> None:
        """Nothing to do: nothing is delivered."""

    async def close(self) -> None:
        """Nothing to do."""

    def answer_later(self) -> "asyncio.Future[None]":
        """Let the next settlement wait for its answer, and return that."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.answers.append(future)
        return future

    @property
    def accepted(self) -> list[str]:
        return [delivery.envelope.body.decode() for delivery, how in self.settled if how is ACCEPT]
