"""Where a consumer's messages come from: every broker that has its topics, those that are there and those that come."""

import asyncio
import contextlib
import logging
from asyncio import Task
from collections.abc import Awaitable, Callable, Iterable

from msgkit_rocketmq.client.errors import ClientError
from msgkit_rocketmq.client.places import Broker
from msgkit_rocketmq.client.popping import Source
from msgkit_rocketmq.home import Home
from msgkit_rocketmq.sources import Feed, sources_at
from msgkit_rocketmq.takers import Holder, Taker

__all__ = ["Supply"]

_log = logging.getLogger("msgkit.rocketmq")
#: Seconds between two looks at which brokers have the topics.
_LOOKS = 5.0
#: Seconds when nothing is taken.
_GLIMPSE = 0.5


class Supply:
    """Takes for one consumer, from `open` to `close`."""

    def __init__(
        self,
        home: Home,
        holder: Holder,
        group: str,
        feeds: Iterable[Feed],
        *,
        in_order: bool,
        ready: Callable[[], Awaitable[None]],
    ) -> None:
        """Take nothing yet; `ready` returns when it may be begun, at first and when it was doubted."""
        self._home = home
        self._ready = ready
        self._doubted = asyncio.Event()
        self._holder = holder
        self._group = group
        self._feeds = tuple(feeds)
        self._in_order = in_order
        self._loop = asyncio.get_running_loop()
        self._takers: dict[Source, Task[None]] = {}
        self._watching: Task[None] | None = None

    async def open(self) -> None:
        """Begin.

        :raises ClientError: when it is not known where the topics are
        """
        await self._ready()
        await self._look()
        self._watching = self._loop.create_task(self._watch())

    def doubt(self) -> None:
        """Take nothing until all is ready again."""
        for task in self._takers.values():
            task.cancel()
        self._takers.clear()
        self._doubted.set()

    async def _watch(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOKS if self._takers else _GLIMPSE):
                    await self._doubted.wait()
            self._doubted.clear()
            try:
                if not self._takers:
                    await self._ready()
                await self._look()
            except ClientError as error:
                _log.debug("group %r: it is not known where its topics are: %s", self._group, error)

    async def _look(self) -> None:
        """Take from those brokers that have the topics now."""
        wanted = await self._wanted()
        for source in [each for each in self._takers if each not in wanted]:
            self._takers.pop(source).cancel()
        for source in wanted:
            if source not in self._takers:
                taker = Taker(self._home.cluster, self._home.popping, source, self._holder, self._home.settings.lease)
                self._takers[source] = self._loop.create_task(taker.work())

    async def _wanted(self) -> list[Source]:
        wanted: list[Source] = []
        returns = not self._home.has_newer_returns
        for feed in self._feeds:
            route = await self._home.cluster.route(feed.topic)
            for name in sorted({at.broker for at in route.readable}):
                broker = Broker(name, route.masters[name])
                wanted += sources_at(feed, broker, self._group, in_order=self._in_order, returns=returns)
        return wanted

    async def close(self) -> None:
        """Take nothing any more."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])
        tasks = tuple(self._takers.values())
        self._takers.clear()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
