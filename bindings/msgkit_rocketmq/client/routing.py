"""Where topics and brokers were when that was last asked, and whether it can still be believed."""

import asyncio
from asyncio import Task
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Generic, TypeVar

from msgkit.reaching import Address
from msgkit_rocketmq.client.errors import NotWritten, Refused
from msgkit_rocketmq.client.names import Names
from msgkit_rocketmq.client.routes import Route

__all__ = ["Remembered", "Routing"]

T = TypeVar("T")

#: Seconds after which what is known is asked for again, while it is still used.
_AGE = 30.0
#: Seconds for the name servers to answer, and before they are asked again when none did.
_WITHIN, _PAUSE = 5.0, 1.0


class Remembered(Generic[T]):
    """One answer, which is asked for again from time to time, and at once when it is doubted.

    Who cannot be asked leaves us with what we know: name servers may be away while brokers are there.
    """

    def __init__(self, ask: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._ask = ask
        self._loop = asyncio.get_running_loop()
        self._renewing: Task[T] | None = None
        self._renew_at = 0.0
        self._is_doubted = False
        self.value: T | None = None

    async def get(self) -> T:
        """Return it.

        :raises Refused: when there is no such thing, or no more
        :raises NotWritten: when it was never known, and nobody can be asked
        """
        value = self.value
        if value is None:
            return await asyncio.shield(self._renewal())
        if self._is_doubted:
            try:
                return await asyncio.shield(self._renewal())
            except NotWritten:
                return value
        if self._loop.time() > self._renew_at:
            _ = self._renewal()
        return value

    async def renew(self) -> T:
        """Return what it is now, whatever it was.

        :raises Refused: when there is no such thing
        :raises NotWritten: when nobody can be asked
        """
        try:
            self.value = await self._ask()
        except Refused:
            self.value = None
            raise
        except NotWritten:
            self._believe(_PAUSE)
            raise
        self._believe(_AGE)
        return self.value

    def doubt(self) -> None:
        self._is_doubted = True

    def _believe(self, seconds: float) -> None:
        self._is_doubted, self._renew_at = False, self._loop.time() + seconds

    def _renewal(self) -> Task[T]:
        """Return what will come of asking again; of many who want it at once, one asks."""
        if self._renewing is None:
            self._renewing = self._loop.create_task(self.renew())
            self._renewing.add_done_callback(self._renewed)
        return self._renewing

    def _renewed(self, task: Task[T]) -> None:
        self._renewing = None
        if not task.cancelled():
            # Whoever waits for it hears of it as well; and perhaps nobody does.
            task.exception()

    async def close(self) -> None:
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.wait([self._renewing])


class Routing:
    def __init__(self, names: Names) -> None:
        self._names = names
        self._routes: dict[str, Remembered[Route]] = {}
        self._masters = Remembered(lambda: names.masters(_WITHIN))

    async def route(self, topic: str, *, fresh: bool = False) -> Route:
        known = self._routes.get(topic)
        if known is None:
            known = self._routes[topic] = Remembered(lambda: self._names.route(topic, _WITHIN))
        try:
            return await (known.renew() if fresh else known.get())
        finally:
            if known.value is None and self._routes.get(topic) is known:
                del self._routes[topic]

    async def masters(self, *, fresh: bool = False) -> Mapping[str, Address]:
        return await (self._masters.renew() if fresh else self._masters.get())

    def doubt(self, address: Address) -> None:
        """Believe no longer what is known of a broker."""
        for each in self._routes.values():
            if each.value is not None and address in each.value.masters.values():
                each.doubt()
        if self._masters.value is not None and address in self._masters.value.values():
            self._masters.doubt()

    async def close(self) -> None:
        await asyncio.gather(self._masters.close(), *(each.close() for each in self._routes.values()))
