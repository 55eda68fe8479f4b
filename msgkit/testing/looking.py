"""Looking at an application that is probed: has it anything to do?"""

import asyncio
from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from msgkit.application import Application, label
from msgkit.errors import Closed, MessagingError
from msgkit.naming import Naming
from msgkit.spi import Depth, Inspectable, Power
from msgkit.testing.records import Records
from msgkit.topology import Queue

__all__ = ["Look", "Looker", "refuse_when_stopped"]

#: Seconds after which a broker is asked again what a queue holds: the question may have been lost.
_ASKING = 5.0
#: How many attempts one after the other are waited for, each as late as its broker may be.
_ROUNDS = 5

_Fares = Mapping[str, Hashable]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What was seen at one moment."""

    #: The queues that have something to do, each in the words of an error.
    busy: Mapping[str, str]
    #: Differs from that of another look when something has happened in between.
    trace: Hashable
    #: Did the brokers tell of everything that is on its way?
    certain: bool


class Looker:
    """Sees what one application has to do: by its health, its records, and what its brokers tell."""

    def __init__(self, app: Application, naming: Naming, records: Records) -> None:
        self._app = app
        self._naming = naming
        self._records = records

    async def busy(self) -> Mapping[str, str]:
        """Return the queues that have something to do, each in the words of an error."""
        fares = await self._fares()
        busy: dict[str, str] = {}
        for queue in self._app.queues:
            its = fares[label(queue)]
            if self._is_at_work(queue, its) or (self._takes(queue, its) and await self._is_waiting(queue)):
                busy[queue.name] = queue.name
        return busy

    async def look(self, patience: float) -> Look:
        """See that, what happened so far, and whether that is all; wait no longer for the answer of a broker."""
        fares = await self._fares()
        busy: dict[str, str] = {}
        seen: list[Hashable] = [self._records.length]
        certain = True
        for queue in self._app.queues:
            its = fares[label(queue)]
            depth, trouble = await self._asked(queue, patience)
            if trouble is not None:
                busy[queue.name] = f"{queue.name} ({trouble})"
            elif self._is_at_work(queue, its) or (depth and depth.ready and self._takes(queue, its)):
                busy[queue.name] = queue.name
            # More than is here is in others' hands, or on its way.
            certain &= depth is not None and (depth.unsettled or 0) <= cast("int", its["in_flight"])
            seen += (depth, *its.values())
        return Look(busy=busy, trace=tuple(seen), certain=certain)

    async def latest(self, end: float) -> float:
        """Return until when something may come that was due by `end`, by the loop's clock and the brokers' lateness."""
        session = await self._app.template.session()
        late = max((link.capabilities.delay.lateness for link in session.links), default=0.0)
        latest = max((due for due in self._records.due if due <= end), default=end - late) + late
        fares = await self._fares()
        for queue in self._app.queues:
            rounds = min(cast("int", fares[label(queue)]["retried"]), _ROUNDS)
            if rounds and await self._holds(queue, fares[label(queue)]):
                latest = max(latest, end + rounds * late)
        return latest

    async def _fares(self) -> Mapping[str, _Fares]:
        return cast("Mapping[str, _Fares]", (await self._app.health())["queues"])

    def _is_at_work(self, queue: Queue[Any], fares: _Fares) -> bool:
        if fares["idle"] is True:
            return False
        runner = self._records.keeper(label(queue))
        return runner is None or bool(runner.running())

    def _takes(self, queue: Queue[Any], fares: _Fares) -> bool:
        """Is what waits at the broker going to be taken now?"""
        runner = self._records.keeper(label(queue))
        if runner is not None and (queue.ordered or runner.in_flight >= runner.options.max_in_flight):
            # It waits for what is kept here.
            return False
        return fares["consuming"] is True

    async def _is_waiting(self, queue: Queue[Any]) -> bool:
        depth = await self._depth(queue)
        return depth is not None and depth.ready > 0

    async def _holds(self, queue: Queue[Any], fares: _Fares) -> bool:
        """May something be held there for a later attempt?"""
        depth, _ = await self._asked(queue, _ASKING)
        return depth is None or depth.delayed != 0 or fares["in_flight"] != 0

    async def _asked(self, queue: Queue[Any], patience: float) -> tuple[Depth | None, str | None]:
        """Return what the broker tells of a queue, or why it cannot be asked now."""
        link = await (await self._app.template.session()).link_of(queue)
        try:
            async with asyncio.timeout(min(patience, _ASKING)):
                return await self._depth(queue), None
        except TimeoutError:
            return None, "its broker does not answer" if link.connected else f"its broker is lost: {link.trouble}"
        except MessagingError as error:
            return None, str(error)

    async def _depth(self, queue: Queue[Any]) -> Depth | None:
        """Return what the broker holds for a queue; None where it cannot tell."""
        link = await (await self._app.template.session()).link_of(queue)
        if not isinstance(link.binding, Inspectable) or not link.capabilities.has(Power.INSPECT):
            return None
        return await link.binding.depth(self._naming.queue_spec(queue))


def refuse_when_stopped(lookers: Collection[Looker]) -> None:
    """Refuse to wait for what nobody does any more.

    :raises Closed: when no application is left to look at
    """
    if not lookers:
        msg = "the application that was probed does not run any more"
        raise Closed(msg)
