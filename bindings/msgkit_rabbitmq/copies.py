"""Copies for another attempt and for the dead letters: the original ends when the broker has its copy."""

import asyncio
from asyncio import Future
from collections.abc import Callable
from functools import partial

from msgkit.envelope import Envelope, Receipt
from msgkit.spi import RawDelivery
from msgkit_rabbitmq.publisher import Publisher
from msgkit_rabbitmq.taking import Handle, taken_back
from msgkit_rabbitmq.wire import Table

__all__ = ["Copies", "look_at"]


class Copies:
    """Those of one consumer that are under way."""

    __slots__ = ("_loop", "_publisher", "_under_way")

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._loop = asyncio.get_running_loop()
        self._under_way: dict[Future[Receipt], RawDelivery] = {}

    def __contains__(self, delivery: RawDelivery) -> bool:
        return delivery in self._under_way.values()

    def send(
        self, delivery: RawDelivery, handle: Handle, copy: Envelope, also: Table, end: Callable[[], bool]
    ) -> "Future[None]":
        """Send a copy, with more headers; `end` ends the original, or tells that it is too late for that."""
        settled: Future[None] = self._loop.create_future()
        sent = self._publisher.send(copy, handle.properties, also)
        self._under_way[sent] = delivery
        sent.add_done_callback(partial(self._sent, settled, delivery, end))
        return settled

    def _sent(
        self, settled: "Future[None]", delivery: RawDelivery, end: Callable[[], bool], sent: "Future[Receipt]"
    ) -> None:
        del self._under_way[sent]
        error = taken_back(delivery) if sent.cancelled() else sent.exception()
        # The original ends also when nobody waits for that any more: its copy is there.
        if error is None and not end():
            error = taken_back(delivery)
        if settled.done():
            return
        if error is None:
            settled.set_result(None)
        else:
            settled.set_exception(error)

    def abandon(self) -> None:
        """Take back what was not written yet: its original will come again."""
        for sent in tuple(self._under_way):
            if self._publisher.abandon(sent):
                sent.cancel()

    async def finish(self, patience: float) -> None:
        """Wait for what is under way; what was not written after so many seconds never will be."""
        if self._under_way:
            try:
                await asyncio.wait(tuple(self._under_way), timeout=patience)
            finally:
                self.abandon()


def look_at(settled: "Future[None]") -> None:
    """See an error, if there is one: then the message goes back as it is."""
    if not settled.cancelled():
        settled.exception()
