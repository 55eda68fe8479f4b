"""Bringing back consumers that lost their channel while the connection lives."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from msgkit.spi.pauses import pause
from msgkit_rabbitmq.home import Guest
from msgkit_rabbitmq.wire import Connection

__all__ = ["Comeback"]

_log = logging.getLogger("msgkit.rabbitmq")
#: Tries before somebody is told that it does not come back.
_PATIENCE = 5


class Comeback:
    """Those who are away, each tried again until it is back or has left."""

    def __init__(
        self,
        *,
        up: Callable[[], Awaitable[Connection]],
        declare: Callable[[], Awaitable[object]],
        is_wanted: Callable[[Guest], bool],
        on_alarm: Callable[[str], None],
        on_back: Callable[[], None],
    ) -> None:
        self._up = up
        self._declare = declare
        self._is_wanted = is_wanted
        self._on_alarm = on_alarm
        self._on_back = on_back
        self._away: list[Guest] = []

    @property
    def is_over(self) -> bool:
        """Is nobody away?"""
        return not self._away

    async def of(self, consumer: Guest, reason: str) -> None:
        """Try until it is back."""
        if consumer in self._away:
            return
        self._away.append(consumer)
        _log.warning("queue %r is not consumed any more: %s; trying again", consumer.queue_name, reason)
        try:
            await self._try(consumer)
        finally:
            self._away.remove(consumer)
        self._on_back()

    async def _try(self, consumer: Guest) -> None:
        failures = 0
        while True:
            connection = await self._up()
            # Meanwhile it may have left, or come back with the connection.
            if not self._is_wanted(consumer) or consumer.is_attached:
                return
            try:
                await consumer.attach(connection)
            except Exception as error:  # noqa: BLE001 -- nobody else would bring it back
                failures += 1
                if failures == _PATIENCE:
                    _log.error("queue %r cannot be consumed: %s", consumer.queue_name, error)
                    self._on_alarm(f"queue {consumer.queue_name!r} cannot be consumed: {error}")
                await asyncio.sleep(pause(failures))
                await self._declare()
            else:
                _log.info("queue %r is consumed again", consumer.queue_name)
