"""Telling the broker how deliveries end, again and again until it has heard."""

import asyncio
import logging
from asyncio import Future
from collections.abc import Callable
from functools import partial

from msgkit.clock import Clock, Timer
from msgkit.errors import DeliveryLost
from msgkit.spi import Consumer, RawDelivery, RawSettlement

__all__ = ["Answers"]

logger = logging.getLogger("msgkit")

#: Seconds before a settlement that failed is tried again, at first and at most.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0


class Answers:
    """Settlements that the broker has not answered yet.

    One that fails is as if it had not been made, so it is made again; `on_end` hears when
    the broker has it, or when the delivery is lost and nothing is left to settle.
    """

    def __init__(
        self,
        queue: str,
        consumer: Consumer,
        *,
        clock: Clock,
        on_end: Callable[[RawDelivery, RawSettlement, bool], None],
    ) -> None:
        self._queue = queue
        self._settle = consumer.settle
        self._clock = clock
        self._on_end = on_end
        self._pending: dict[RawDelivery, Future[None] | Timer] = {}
        self._waiters: dict[RawDelivery, Future[None]] = {}
        self._stopped = False
        #: Why settlements fail at the moment.
        self.trouble: str | None = None

    def settle(self, raw: RawDelivery, how: RawSettlement) -> bool:
        """Settle; tell whether the broker has it already. Else `on_end` hears of it."""
        future = self._settle(raw, how)
        if future is None:
            if not self._pending:
                self.trouble = None
            return True
        self._await(raw, how, _FIRST_PAUSE, future)
        return False

    async def heard(self, raw: RawDelivery) -> None:
        """Return when the broker has heard of a delivery.

        :raises DeliveryLost: when it was told too late
        """
        if raw in self._pending:
            self._waiters[raw] = asyncio.get_running_loop().create_future()
            await self._waiters[raw]

    def lose(self, scope: object) -> None:
        """Stop settling what is pending of a scope."""
        for raw in self._pending:
            if raw.scope == scope:
                raw.lost = True

    def stop(self) -> None:
        self._stopped = True
        for pending in self._pending.values():
            pending.cancel()
        for raw, waiter in self._waiters.items():
            if not waiter.done():
                waiter.set_exception(DeliveryLost(_too_late(raw)))
        self._pending.clear()
        self._waiters.clear()

    def __len__(self) -> int:
        return len(self._pending)

    def has_of(self, scope: object) -> bool:
        return any(raw.scope == scope for raw in self._pending)

    def _await(self, raw: RawDelivery, how: RawSettlement, pause: float, future: "Future[None]") -> None:
        self._pending[raw] = future
        future.add_done_callback(partial(self._answered, raw, how, pause))

    def _answered(self, raw: RawDelivery, how: RawSettlement, pause: float, future: "Future[None]") -> None:
        if self._stopped or future.cancelled():
            return
        error = future.exception()
        lost = raw.lost or isinstance(error, DeliveryLost)
        if error is None or lost:
            self._end(raw, how, lost=lost)
            return
        self.trouble = f"settling on {self._queue!r} fails: {error}"
        logger.error("message %s: %s; trying again in %.3g s", raw.envelope.message_id, self.trouble, pause)
        self._pending[raw] = self._clock.call_later(pause, partial(self._once_more, raw, how, pause * 2))

    def _once_more(self, raw: RawDelivery, how: RawSettlement, pause: float) -> None:
        future = None if raw.lost else self._settle(raw, how)
        if future is None:
            self._end(raw, how, lost=raw.lost)
        else:
            self._await(raw, how, min(pause, _LONGEST_PAUSE), future)

    def _end(self, raw: RawDelivery, how: RawSettlement, *, lost: bool) -> None:
        del self._pending[raw]
        waiter = self._waiters.pop(raw, None)
        if not lost or not self._pending:
            self.trouble = None
        if waiter is not None and not waiter.done():
            if lost:
                waiter.set_exception(DeliveryLost(_too_late(raw)))
            else:
                waiter.set_result(None)
        self._on_end(raw, how, lost)


def _too_late(raw: RawDelivery) -> str:
    return f"message {raw.envelope.message_id} was taken back before it was settled"
