"""Messages for one queue of a broker, one request at a time: two at once would be stored in any order.

What comes while a request is on its way goes together with the next.
"""

import asyncio
from asyncio import Future, Task
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from msgkit.spi.pauses import pause
from msgkit_rocketmq.client.cluster import Cluster
from msgkit_rocketmq.client.errors import ClientError, NotWritten, Refused, Unanswered, Unfit
from msgkit_rocketmq.client.places import Place
from msgkit_rocketmq.client.sending import Outgoing, Sent, send, send_all

__all__ = ["Line", "Stored", "Waiting"]

#: Of one request: brokers take 4 MiB in one.
_MOST_MESSAGES, _MOST_BYTES = 256, 1024 * 1024
#: About what is said of a message.
_OVERHEAD = 512


class Stored(NamedTuple):
    """Where a message is stored."""

    place: Place
    sent: Sent


@dataclass(slots=True, eq=False)
class Waiting:
    """A message that is to be stored. To cancel what it is to become is to take it back, until it left."""

    message: Outgoing
    #: What became of it: stored, or a `ClientError`.
    stored: "Future[Stored]"
    key: str | None
    #: May it go together with others?
    is_plain: bool
    #: May the broker have it?
    left: bool = False


class Line:
    """What waits for one place."""

    def __init__(
        self,
        cluster: Cluster,
        place: Place,
        within: float,
        on_trouble: Callable[["Line"], Awaitable[None]],
    ) -> None:
        """Send; `on_trouble` is told that the place cannot be reached, and may take away what waits for it."""
        self.place = place
        self.waiting: deque[Waiting] = deque()
        self._cluster = cluster
        self._within = within
        self._on_trouble = on_trouble
        self._loop = asyncio.get_running_loop()
        self._working: Task[None] | None = None
        #: How many of the next go one by one, because one of them was refused.
        self._singly = 0

    def put(self, waiting: Waiting) -> None:
        self.waiting.append(waiting)
        if self._working is None:
            self._working = self._loop.create_task(self._work())

    async def _work(self) -> None:
        failures = 0
        try:
            while self.waiting:
                try:
                    # Until there is a connection nothing has left, and can be taken back.
                    await self._cluster.version(self.place.broker.address, within=self._within)
                    await self._send(self._next())
                    failures = 0
                except NotWritten as error:
                    if isinstance(error, Unfit):
                        self._fail(error)
                    failures += 1
                    await self._on_trouble(self)
                    await asyncio.sleep(pause(failures))
                except Refused:
                    failures += 1
                    await self._on_trouble(self)
                    await asyncio.sleep(pause(failures))
                except Unanswered:
                    # The broker may be at it still, and what comes next is not to overtake it.
                    failures += 1
                    await asyncio.sleep(pause(failures))
        finally:
            self._working = None

    def _fail(self, error: ClientError) -> None:
        while self.waiting:
            _set_error(self.waiting.popleft().stored, error)

    def _next(self) -> Sequence[Waiting]:
        """Take from the head what goes in one request."""
        taken: list[Waiting] = []
        size = 0
        most = 1 if self._singly else _MOST_MESSAGES
        while self.waiting and len(taken) < most:
            head = self.waiting[0]
            if head.stored.done():
                self.waiting.popleft()
                continue
            size += len(head.message.body) + _OVERHEAD
            if taken and (size > _MOST_BYTES or not head.is_plain):
                break
            taken.append(self.waiting.popleft())
            if not head.is_plain:
                break
        self._singly = max(0, self._singly - len(taken))
        return taken

    async def _send(self, taken: Sequence[Waiting]) -> None:
        for each in taken:
            each.left = True
        try:
            sent = await self._sent([each.message for each in taken])
        except (NotWritten, Refused) as error:
            if isinstance(error, NotWritten) or error.passes:
                self._put_back(taken)
                raise
            self._refused(taken, error)
        except (ClientError, ValueError) as error:
            for each in taken:
                _set_error(each.stored, error)
            if isinstance(error, Unanswered):
                raise
        else:
            for each, where in zip(taken, sent, strict=True):
                if not each.stored.done():
                    each.stored.set_result(Stored(self.place, where))

    async def _sent(self, messages: Sequence[Outgoing]) -> Sequence[Sent]:
        match messages:
            case []:
                return ()
            case [message]:
                return (await send(self._cluster, self.place, message, within=self._within),)
            case _:
                return await send_all(self._cluster, self.place, messages, within=self._within)

    def _put_back(self, taken: Sequence[Waiting]) -> None:
        for each in taken:
            each.left = False
        self.waiting.extendleft(reversed(taken))

    def _refused(self, taken: Sequence[Waiting], error: Refused) -> None:
        if len(taken) > 1:
            # Nothing of it is stored. One of them is to blame, and the others are not to suffer for it.
            self._put_back(taken)
            self._singly = len(taken)
        else:
            _set_error(taken[0].stored, error)

    async def close(self) -> None:
        if self._working is not None:
            self._working.cancel()
            await asyncio.wait([self._working])


def _set_error(stored: "Future[Stored]", error: Exception) -> None:
    if not stored.done():
        stored.set_exception(error)
