"""Sends: stored at once and confirmed at once, as long as nothing stands in the way."""

import asyncio
from asyncio import Future
from functools import partial

from msgkit.envelope import Envelope, Receipt
from msgkit.errors import SendRefused, SendUnknown
from msgkit_memory.session import Session

__all__ = ["Publisher", "confirm_lost"]

#: A sender that awaits each confirm never meets one that is not there yet. So one in so many
#: takes a turn of the loop, or whoever sends in a loop would starve whoever receives.
_TURN = 64


class Publisher:
    """The sending side of a session."""

    __slots__ = (
        "_broker",
        "_client",
        "_content",
        "_lock",
        "_loop",
        "_name",
        "_new_future",
        "_rested",
        "_sent",
        "_wire",
    )

    def __init__(self, session: Session, name: str) -> None:
        self._broker = session.broker
        self._client = session.client
        self._content = session.broker.content
        self._lock = session.broker.lock
        self._loop = session.loop
        self._new_future = session.loop.create_future
        self._wire = session.wire
        self._name = name
        self._sent = self._rested = 0

    def send(self, envelope: Envelope) -> "Future[Receipt]":
        if not self._client.clear:
            return self._wire.request(partial(self._store, envelope), confirm_lost)
        future: Future[Receipt] = self._new_future()
        try:
            with self._lock:
                self._content.store(envelope)
        except SendRefused as refused:
            # Without its traceback, which would make a cycle of frame, future and error.
            future.set_exception(refused.with_traceback(None))
            return future
        self._sent += 1
        receipt = Receipt(envelope.message_id, envelope.destination, self._name)
        if self._sent % _TURN:
            future.set_result(receipt)
        else:
            self._loop.call_soon(_confirm, future, receipt)
        return future

    async def writable(self) -> None:
        if not self._client.clear:
            await self._wire.room()
        elif self._sent - self._rested >= _TURN:
            self._rested = self._sent
            await asyncio.sleep(0)

    def _store(self, envelope: Envelope) -> Receipt:
        self._broker.store(envelope, self._client)
        return self.receipt(envelope)

    def receipt(self, envelope: Envelope) -> Receipt:
        return Receipt(envelope.message_id, envelope.destination, self._name)


def confirm_lost() -> SendUnknown:
    return SendUnknown("the connection was lost before the confirm")


def _confirm(future: "Future[Receipt]", receipt: Receipt) -> None:
    if not future.done():
        future.set_result(receipt)
