"""Where messages for a topic go: to the queue of their key, or to each in turn."""

import asyncio
from asyncio import Future, Task
from collections.abc import Mapping, Sequence
from itertools import count

from msgkit.spi.partitioning import partition_of
from msgkit.spi.pauses import pause
from msgkit_rocketmq.client.cluster import Cluster
from msgkit_rocketmq.client.codes import Response
from msgkit_rocketmq.client.errors import ClientError, NotWritten, Refused, Unfit
from msgkit_rocketmq.client.places import Place
from msgkit_rocketmq.client.sending import Outgoing
from msgkit_rocketmq.lines import Line, Stored, Waiting

__all__ = ["Outlet"]

#: Seconds after which it is looked again where the topic is.
_AGE = 30.0


class Outlet:
    """The lines of one topic, and what waits until it is known which there are."""

    def __init__(self, cluster: Cluster, topic: str, within: float) -> None:
        self._cluster = cluster
        self._topic = topic
        self._within = within
        self._loop = asyncio.get_running_loop()
        self._lines: Mapping[Place, Line] = {}
        self._order: Sequence[Line] = ()
        self._turns = count()
        self._unplaced: list[Waiting] = []
        self._looking: Task[None] | None = None
        self._look_again = 0.0

    def write(self, message: Outgoing, key: str | None, *, is_plain: bool) -> Waiting:
        """Have a message stored; what is written with one key is stored in that order."""
        future: Future[Stored] = self._loop.create_future()
        waiting = Waiting(message, future, key, is_plain)
        self._put(waiting)
        if self._looking is None and self._loop.time() > self._look_again:
            self._looking = self._loop.create_task(self._look())
        return waiting

    def _put(self, waiting: Waiting) -> None:
        if not self._order:
            self._unplaced.append(waiting)
        elif waiting.key is None:
            self._order[next(self._turns) % len(self._order)].put(waiting)
        else:
            self._order[partition_of(waiting.key.encode(), len(self._order))].put(waiting)

    # -- where it is

    async def _look(self) -> None:
        failures = 0
        try:
            while not await self._found():
                failures += 1
                await asyncio.sleep(pause(failures))
        finally:
            self._looking = None
            self._look_again = self._loop.time() + _AGE

    async def _found(self) -> bool:
        """Tell whether it is known now where the topic is, or that it cannot be."""
        try:
            route = await self._cluster.route(self._topic)
        except (Refused, Unfit) as error:
            self._fail(error)
            return True
        except NotWritten:
            return not self._unplaced
        places = route.to_write
        if not places:
            self._fail(Refused(Response.NO_PERMISSION, f"nobody may write topic {self._topic}"))
            return True
        self._arrange(places)
        return True

    def _arrange(self, places: Sequence[Place]) -> None:
        before = self._lines
        self._lines = {place: before.get(place) or self._new_line(place) for place in places}
        self._order = tuple(self._lines.values())
        moved = [each for place, line in before.items() if place not in self._lines for each in _taken_from(line)]
        waiting, self._unplaced = self._unplaced, []
        for each in (*moved, *waiting):
            self._put(each)

    def _new_line(self, place: Place) -> Line:
        return Line(self._cluster, place, self._within, self._troubled)

    async def _troubled(self, line: Line) -> None:
        """See whether a place is still one, since it cannot be reached or takes nothing."""
        if line.place in self._lines:
            await self._found()

    def _fail(self, error: ClientError) -> None:
        waiting, self._unplaced = self._unplaced, []
        for line in self._order:
            waiting += _taken_from(line)
        self._lines, self._order = {}, ()
        for each in waiting:
            if not each.stored.done():
                each.stored.set_exception(error)

    async def close(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])
        await asyncio.gather(*(line.close() for line in self._order))


def _taken_from(line: Line) -> Sequence[Waiting]:
    """Return what waits in a line, and leave it nothing."""
    waiting = list(line.waiting)
    line.waiting.clear()
    return waiting
