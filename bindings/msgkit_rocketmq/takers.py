"""Taking from one broker, whenever there is room: what there is at once, and then waiting until there is more."""

import asyncio
import logging
from asyncio import Task
from collections.abc import Sequence
from secrets import token_hex
from typing import Protocol

from msgkit.spi.pauses import pause
from msgkit_rocketmq.client.cluster import Cluster
from msgkit_rocketmq.client.codes import Response
from msgkit_rocketmq.client.errors import ClientError, Refused, Unanswered
from msgkit_rocketmq.client.popping import EVERYTHING, Popping, Source, wait
from msgkit_rocketmq.client.taking import Taken

__all__ = ["Holder", "Taker"]

_log = logging.getLogger("msgkit.rocketmq")
#: Seconds for which a broker waits before it says that there is nothing.
_PATIENCE = 15.0
#: Seconds that a broker has at least to hand something out.
_LEAST = 5.0


class Holder(Protocol):
    """Whoever wants messages."""

    async def room(self) -> int:
        """Return how many there is room for, when there is any; it is kept for whoever asks."""
        ...

    def came(self, source: Source, taken: Sequence[Taken], room: int, asked_at: float, /) -> None:
        """Take them, and the room back that was kept for more."""


class Taker:
    """Takes from one source as long as it works."""

    def __init__(self, cluster: Cluster, popping: Popping, source: Source, holder: Holder, lease: float) -> None:
        self._cluster = cluster
        self._popping = popping
        self._source = source
        self._holder = holder
        self._lease = lease
        self._loop = asyncio.get_running_loop()
        #: Under this name it is asked for in order: what got lost on the way is handed out once more.
        self._attempt = token_hex(8)

    async def work(self) -> None:
        """Take until it is cancelled; what has been asked for by then, the holder is given nevertheless."""
        failures = alarms = 0
        while True:
            try:
                found = await self._take()
                failures = 0
                if found:
                    alarms = 0
                elif await wait(self._cluster, self._source, patience=_PATIENCE):
                    # There is something, and perhaps nothing for us: what others have, or what is left out.
                    alarms += 1
                    await asyncio.sleep(pause(alarms - 2) / 4 if alarms > 1 else 0)
            except ClientError as error:
                self._note(error, failures)
                failures += 1
                await asyncio.sleep(pause(failures))

    async def _take(self) -> int:
        room = await self._holder.room()
        asked_at = self._loop.time()
        popping = self._loop.create_task(self._pop(1 if self._source.in_order else room))
        try:
            return len(await asyncio.shield(popping))
        except asyncio.CancelledError:
            await asyncio.wait([popping])
            raise
        finally:
            self._holder.came(self._source, _found(popping), room, asked_at)

    async def _pop(self, most: int) -> Sequence[Taken]:
        attempt = self._attempt if self._source.in_order else ""
        try:
            # What comes too late is lost until its lease ends: a broker that is slow is waited for as long as that.
            within = max(self._lease, _LEAST)
            found = await self._popping.pop(self._source, lease=self._lease, most=most, attempt=attempt, within=within)
        except Unanswered:
            raise
        except Refused as error:
            if error.code != Response.SUBSCRIPTION_PARSE_FAILED or self._source.filter == EVERYTHING:
                raise
            _log.warning("%s cannot filter by %r: it is done here", self._source.broker.name, self._source.filter)
            self._source = self._source._replace(filter=EVERYTHING)
            return await self._pop(most)
        self._attempt = token_hex(8)
        return found

    def _note(self, error: ClientError, failures: int) -> None:
        is_to_come = self._source.came_back and isinstance(error, Refused) and error.code == Response.TOPIC_NOT_EXIST
        if not is_to_come:
            level = logging.WARNING if failures in (1, 5) else logging.DEBUG
            text = "nothing can be taken from %s of %s: %s"
            _log.log(level, text, self._source.asked, self._source.broker.name, error)


def _found(popping: "Task[Sequence[Taken]]") -> Sequence[Taken]:
    return popping.result() if popping.done() and not popping.cancelled() and popping.exception() is None else ()
