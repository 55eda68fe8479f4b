"""Copies for another attempt and for the dead letters: the original ends when the broker has its copy."""

import asyncio
from asyncio import Future
from collections.abc import Callable, Mapping
from functools import partial

from msgkit.envelope import Envelope, Receipt
from msgkit.errors import DeliveryLost
from msgkit.spi import RawDelivery
from msgkit_kafka.part import Handle
from msgkit_kafka.publisher import Publisher

__all__ = ["Copies", "taken_back"]


class Copies:
    """Those of one consumer that are under way."""

    def __init__(self, publisher: Publisher, end: Callable[[Handle], bool]) -> None:
        """Send copies; `end` ends an original, or tells that it is too late for that."""
        self._publisher = publisher
        self._end = end
        self._under_way: set[Future[Receipt]] = set()

    def send(self, delivery: RawDelivery, handle: Handle, copy: Envelope, also: Mapping[str, str]) -> "Future[None]":
        """Send a copy, with more headers; the future is that the original ended."""
        settled: Future[None] = asyncio.get_running_loop().create_future()
        sent = self._publisher.send(copy, handle.record, also)
        self._under_way.add(sent)
        sent.add_done_callback(partial(self._sent, settled, delivery, handle))
        return settled

    def _sent(self, settled: "Future[None]", delivery: RawDelivery, handle: Handle, sent: "Future[Receipt]") -> None:
        self._under_way.discard(sent)
        error = taken_back(delivery) if sent.cancelled() else sent.exception()
        # The original ends also when nobody waits for that any more: its copy is there.
        if error is None and not self._end(handle):
            error = taken_back(delivery)
        if settled.done():
            return
        if error is None:
            settled.set_result(None)
        else:
            settled.set_exception(error)

    async def finish(self, patience: float) -> None:
        """Wait for what is under way; what was not written after so many seconds never will be."""
        if self._under_way:
            await asyncio.wait(tuple(self._under_way), timeout=patience)
            for sent in tuple(self._under_way):
                if self._publisher.abandon(sent):
                    sent.cancel()


def taken_back(delivery: RawDelivery) -> DeliveryLost:
    return DeliveryLost(f"message {delivery.envelope.message_id} was taken back: its partition is another's")
