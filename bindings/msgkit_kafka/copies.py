"""Copies for another attempt and for the dead letters: each takes the place of its original."""

import asyncio
from asyncio import Future, Task
from collections.abc import Callable, Mapping
from functools import partial

from msgkit.envelope import Envelope
from msgkit.errors import DeliveryLost, MessagingError, SendRefused
from msgkit.spi import RawDelivery
from msgkit_kafka.moves import Move, Moves
from msgkit_kafka.part import Handle, Part
from msgkit_kafka.publisher import Publisher

__all__ = ["Copies", "taken_back"]


class Copies:
    """Those of one consumer that are under way."""

    def __init__(self, publisher: Publisher, moves: Moves, end: Callable[[Handle], bool]) -> None:
        """Send copies; `end` ends an original, or tells that it is another's by now."""
        self._publisher = publisher
        self._moves = moves
        self._end = end
        self._placing: set[Task[None]] = set()
        self._under_way: dict[Future[None], Part] = {}

    def send(self, delivery: RawDelivery, handle: Handle, copy: Envelope, also: Mapping[str, str]) -> "Future[None]":
        """Send a copy, with more headers; the future is that the original ended."""
        loop = asyncio.get_running_loop()
        settled: Future[None] = loop.create_future()
        self._under_way[settled] = handle.part
        settled.add_done_callback(self._is_over)
        placing = loop.create_task(self._place(settled, delivery, handle, copy, also))
        self._placing.add(placing)
        placing.add_done_callback(partial(self._came_of_it, settled, delivery))
        # It goes on when whoever waits for it does not wait any longer.
        return asyncio.shield(settled)

    async def _place(
        self,
        settled: "Future[None]",
        delivery: RawDelivery,
        handle: Handle,
        copy: Envelope,
        also: Mapping[str, str],
    ) -> None:
        placed = await self._publisher.place(copy, handle.record, also)
        ended = partial(self._ended, settled, delivery, handle)
        self._moves.put(Move(placed, handle.part, handle.record.offset, ended))

    def _is_over(self, settled: "Future[None]") -> None:
        del self._under_way[settled]
        # Looked at in any case: asyncio complains of an error that nobody ever looks at, and nobody may wait any more.
        settled.exception()

    def _came_of_it(self, settled: "Future[None]", delivery: RawDelivery, placing: "Task[None]") -> None:
        self._placing.discard(placing)
        if placing.cancelled():
            settled.set_exception(taken_back(delivery))
        elif isinstance(error := placing.exception(), MessagingError):
            settled.set_exception(error)
        elif error is not None:
            refused = SendRefused(f"a copy of message {delivery.envelope.message_id} cannot be stored: {error!r}")
            refused.__cause__ = error
            settled.set_exception(refused)

    def _ended(
        self, settled: "Future[None]", delivery: RawDelivery, handle: Handle, error: MessagingError | None
    ) -> None:
        try:
            if isinstance(error, DeliveryLost) or (error is None and not self._end(handle)):
                error = taken_back(delivery)
        except Exception as unforeseen:
            # Whoever waits for it would do so for ever.
            settled.set_exception(unforeseen)
            raise
        if error is None:
            settled.set_result(None)
        else:
            settled.set_exception(error)

    async def left(self, part: Part) -> None:
        """Return when no copy of a partition's messages is under way."""
        while settling := [settled for settled, whose in self._under_way.items() if whose is part]:
            await asyncio.wait(settling)

    async def finish(self, patience: float) -> None:
        """Wait for what is under way; what was not stored after so many seconds never will be."""
        try:
            if self._placing:
                await asyncio.wait(tuple(self._placing), timeout=patience)
                self._stop_placing()
            await self._moves.finish(patience)
        finally:
            # Whoever does not wait for it may be about to close the connections.
            self._stop_placing()
            self._moves.close()

    def _stop_placing(self) -> None:
        for placing in self._placing:
            placing.cancel()


def taken_back(delivery: RawDelivery) -> DeliveryLost:
    return DeliveryLost(f"message {delivery.envelope.message_id} was taken back: its partition is another's")
