"""Bringing back consumers that lost their channel while the connection lives."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Coroutine
from typing import Any

from msgkit.spi.pauses import pause
from msgkit_rabbitmq.home import Guest
from msgkit_rabbitmq.wire import Connection, OutOfReach

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
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        is_wanted: Callable[[Guest], bool],
        on_alarm: Callable[[str], None],
        on_back: Callable[[], None],
    ) -> None:
        self._up = up
        self._declare = declare
        self._spawn = spawn
        self._is_wanted = is_wanted
        self._on_alarm = on_alarm
        self._on_back = on_back
        self._away: dict[Guest, str | None] = {}

    @property
    def away(self) -> Collection[str | None]:
        """For each that is away, what was told of that, if it was."""
        return self._away.values()

    def of(self, consumer: Guest, reason: str) -> None:
        """Try until it is back, in the background; it is away from now on."""
        if consumer not in self._away:
            self._away[consumer] = None
            _log.warning("queue %r is not consumed any more: %s; trying again", consumer.queue_name, reason)
            self._spawn(self._bring_back(consumer))

    def came_back(self, consumer: Guest) -> None:
        """Hear that it came back with the connection: what was told of it stands no longer."""
        if consumer in self._away:
            self._away[consumer] = None

    async def _bring_back(self, consumer: Guest) -> None:
        try:
            await self._try(consumer)
        finally:
            del self._away[consumer]
        self._on_back()

    async def _try(self, consumer: Guest) -> None:
        failures = refusals = 0
        while True:
            connection = await self._up()
            # Meanwhile it may have left, or come back with the connection.
            if not self._is_wanted(consumer) or consumer.is_attached:
                return
            try:
                await consumer.attach(connection)
            except OutOfReach as error:
                # Nothing is wrong with it: so it is whenever a broker starts, and nobody has to look.
                _log.info("queue %r is not served yet: %s", consumer.queue_name, error)
            except Exception as error:  # noqa: BLE001 -- nobody else would bring it back
                refusals += 1
                if refusals == _PATIENCE:
                    alarm = self._away[consumer] = f"queue {consumer.queue_name!r} cannot be consumed: {error}"
                    _log.error("%s", alarm)
                    self._on_alarm(alarm)
            else:
                _log.info("queue %r is consumed again", consumer.queue_name)
                return
            failures += 1
            await asyncio.sleep(pause(failures))
            await self._declare()
