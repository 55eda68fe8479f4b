"""One subscription: deliveries while there is credit, and how each of them ends."""

import asyncio

from msgkit.envelope import Envelope
from msgkit.settlement import Accept
from msgkit.spi import Dead, RawDelivery, RawSettlement, Release, RetryCopy, Sink
from samples.shelf.broker import Shelf, ShelfQueue, Waiting

__all__ = ["ShelfConsumer"]


class ShelfConsumer:
    holds = False

    def __init__(self, shelf: Shelf, queue: ShelfQueue, sink: Sink, max_bytes: int) -> None:
        self._shelf = shelf
        self._queue = queue
        self._sink = sink
        self._credit = 0
        self._room = max_bytes
        self._unsettled: dict[RawDelivery, Waiting] = {}
        self._is_awake = False
        queue.takers.append(self.wake)

    def credit(self, n: int, /) -> None:
        self._credit += n
        self.wake()

    def wake(self) -> None:
        # In a turn of its own: whoever wakes is in the midst of something.
        if not self._is_awake:
            self._is_awake = True
            asyncio.get_running_loop().call_soon(self._deliver)

    def _deliver(self) -> None:
        self._is_awake = False
        if self.wake not in self._queue.takers:
            return
        batch: list[RawDelivery] = []
        while self._credit and self._queue.waiting and self._room > 0:
            message = self._queue.waiting.popleft()
            self._room -= len(message.envelope.body)
            envelope = message.envelope
            delivery = RawDelivery(envelope, envelope.attempt, 0, envelope.key, self, None)
            self._unsettled[delivery] = message
            self._queue.unsettled += 1
            self._credit -= 1
            batch.append(delivery)
        if batch:
            self._sink.deliver(batch)

    def settle(self, delivery: RawDelivery, how: RawSettlement, /) -> None:
        match how:
            case Accept():
                pass
            case Release():
                self._queue.put_back(self._unsettled[delivery])
            case RetryCopy(after, copy):
                self._queue.later += 1
                asyncio.get_running_loop().call_later(after, self._again, copy)
            case Dead(copy):
                self._shelf.store(copy)
        del self._unsettled[delivery]
        self._room += len(delivery.envelope.body)
        self._queue.unsettled -= 1
        self.wake()

    def _again(self, copy: Envelope) -> None:
        self._queue.later -= 1
        self._queue.put(copy)

    async def drain(self) -> None:
        if self.wake in self._queue.takers:
            self._queue.takers.remove(self.wake)

    async def close(self) -> None:
        await self.drain()
        for delivery in tuple(self._unsettled):
            self.settle(delivery, Release())
