"""Copies for another attempt and for the dead letters: the original ends when the broker has its copy."""

import asyncio
from asyncio import Future
from collections.abc import Callable
from functools import partial

from msgkit.envelope import Envelope, Receipt
from msgkit.spi import RawDelivery
from msgkit_rocketmq.loans import Loan, taken_back
from msgkit_rocketmq.publisher import Publisher

__all__ = ["Copies"]


class Copies:
    """Those of one consumer that are under way."""

    __slots__ = ("_end", "_loop", "_publisher", "_under_way")

    def __init__(self, publisher: Publisher, end: Callable[[Loan, Envelope], None]) -> None:
        """Send copies; `end` ends an original."""
        self._publisher = publisher
        self._end = end
        self._loop = asyncio.get_running_loop()
        self._under_way: dict[Future[Receipt], Loan] = {}

    def __contains__(self, loan: Loan) -> bool:
        return loan in self._under_way.values()

    def send(self, delivery: RawDelivery, loan: Loan, copy: Envelope, origin: str | None) -> "Future[None]":
        """Send a copy, which tells the address of its original if there is one; the future is that this ended."""
        settled: Future[None] = self._loop.create_future()
        sent = self._publisher.send(copy, is_copy=True, origin=origin)
        self._under_way[sent] = loan
        sent.add_done_callback(partial(self._sent, settled, delivery, loan))
        return settled

    def _sent(self, settled: "Future[None]", delivery: RawDelivery, loan: Loan, sent: "Future[Receipt]") -> None:
        del self._under_way[sent]
        error = taken_back(delivery) if sent.cancelled() else sent.exception()
        # The original ends also when nobody waits for that any more: its copy is there.
        if error is None and loan.is_open:
            self._end(loan, delivery.envelope)
        elif error is None:
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
