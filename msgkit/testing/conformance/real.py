"""The harness of a real broker: hurt by its own means, and by the proxy before it."""

import asyncio
from collections.abc import Sequence
from itertools import cycle
from types import TracebackType

from msgkit.testing.brokers import Broker, Node
from msgkit.testing.conformance.harness import Harness
from msgkit.testing.proxy import Direction

__all__ = ["BrokerHarness"]

_TURNS = 20


class BrokerHarness(Harness):
    """What a binding of a broker out there is checked with.

    The broker is one that runs already, with a proxy before it: starting one takes seconds, so that
    many checks share it, each with names of its own. What only one kind of broker can do, such as
    refusing a send, is added by a class of the binding's tests.

    :param one_by_one: is one node at a time of a cluster to be stopped or killed, another each time?
    :raises ConfigurationError: when there is no proxy before the broker
    """

    # An answer takes milliseconds, a reconnect seconds, and another test may be starting a broker.
    patience = 30.0
    silence = 0.6
    tolerance = 0.25

    def __init__(self, broker: Broker, *, one_by_one: bool = False) -> None:
        self.broker = broker
        members: Sequence[Broker | Node] = broker.nodes if one_by_one else [broker]
        self._turns = cycle(members)
        nodes = broker.nodes
        self.proxies = list(dict.fromkeys(node.proxy for node in nodes)) if nodes else [broker.proxy]

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.heal()

    @property
    def url(self) -> str:
        return self.broker.url

    async def heal(self) -> None:
        for proxy in self.proxies:
            await proxy.heal()
        if self.broker.nodes:
            await self.broker.resume()
            await self.broker.start()

    async def cut_connections(self) -> None:
        for proxy in self.proxies:
            await proxy.cut()
        # Clients on this loop hear of it in its next turns: what a check sends from now on, it sends after the cut.
        for _ in range(_TURNS):
            await asyncio.sleep(0)

    async def stop(self) -> None:
        await next(self._turns).stop()

    async def start(self) -> None:
        await self.broker.start()

    async def kill(self) -> None:
        await next(self._turns).kill()

    async def pause(self) -> None:
        await self.broker.pause()

    async def resume(self) -> None:
        await self.broker.resume()

    async def lose_confirm(self, *, stored: bool) -> None:
        # The next byte of a confirm is the last of its connection; or that of a message is.
        for proxy in self.proxies:
            await proxy.cut_after(0, Direction.DOWN if stored else Direction.UP)

    async def slow(self, seconds: float) -> None:
        for proxy in self.proxies:
            await proxy.delay(seconds, Direction.DOWN)
