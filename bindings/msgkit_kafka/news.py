"""What is told of a client: that its brokers are lost or back, and what is wrong though they are there."""

import asyncio
import logging
from asyncio import Task
from collections.abc import Callable, Sequence
from typing import Protocol

from msgkit.spi import Down, Event, Fatal, Up
from msgkit.spi.pauses import pause
from msgkit_kafka.wire.cluster import Cluster
from msgkit_kafka.wire.connection import Connection
from msgkit_kafka.wire.errors import WireError

__all__ = ["News"]

_log = logging.getLogger("msgkit.kafka")


class _Member(Protocol):
    """Whoever has to be back before all is well."""

    @property
    def is_well(self) -> bool: ...
    def look(self) -> None: ...


class News:
    """All is well when the brokers are there, and whoever consumes is back."""

    def __init__(
        self,
        cluster: Cluster,
        tell: Callable[[Event], None],
        members: Callable[[], Sequence[_Member]],
        wake: Callable[[], None],
    ) -> None:
        """Tell of these; `wake` is called whenever the brokers may be there again."""
        self._cluster = cluster
        self._tell = tell
        self._members = members
        self._wake = wake
        self._loop = asyncio.get_running_loop()
        self._recovering: Task[None] | None = None
        #: Why consumers get nothing, though the brokers are there. Another one of the same queue may get what it can.
        self._alarms: dict[object, str] = {}
        #: Is there one less of them, which was not told yet?
        self._owes_up = False

    def lost(self, node: int, purpose: str, connection: Connection) -> None:
        if self._recovering is None:
            what = f"the connection to broker {node} for {purpose} was lost: {connection.why}"
            if not connection.was_idle:
                self._went_down(what)
            self._recovering = self._loop.create_task(self._recover(what, is_told=not connection.was_idle))

    def _went_down(self, what: str) -> None:
        _log.warning("%s; connecting again", what)
        self._tell(Down(what))

    async def _recover(self, what: str, *, is_told: bool) -> None:
        began, failures = self._loop.time(), 0
        try:
            if not is_told:
                if await self._is_there():
                    if self._owes_up:
                        self._all_is_well()
                    return
                self._went_down(what)
            while True:
                try:
                    await self._cluster.refresh(sorted(self._cluster.topics))
                    self._wake()
                    members = self._members()
                    for member in members:
                        member.look()
                    if all(member.is_well for member in members):
                        break
                except (WireError, TimeoutError) as error:
                    if failures in (1, 5) or failures % 20 == 0:
                        _log.warning("no connection to Kafka yet, trying on: %s", error)
                failures += 1
                await asyncio.sleep(pause(min(failures, 4)))
        finally:
            self._recovering = None
        _log.info("Kafka is back, after %.1f s and %d tries", self._loop.time() - began, failures + 1)
        self._all_is_well()

    def _all_is_well(self) -> None:
        self._owes_up = False
        self._tell(Up())
        for why in self._alarms.values():
            # That was not in the way of the brokers, and still is.
            self._tell(Fatal(why))

    async def _is_there(self) -> bool:
        try:
            await self._cluster.refresh([])
        except (WireError, TimeoutError):
            return False
        return True

    def alarm(self, consumer: object, queue: str, why: str | None) -> None:
        if why is not None:
            text = f"queue {queue!r}: {why}"
            if self._alarms.get(consumer) != text:
                self._alarms[consumer] = text
                self._tell(Fatal(text))
        elif self._alarms.pop(consumer, None) is not None:
            if self._recovering is None:
                self._all_is_well()
            else:
                self._owes_up = True

    async def close(self) -> None:
        if self._recovering is not None:
            self._recovering.cancel()
            await asyncio.wait([self._recovering])
