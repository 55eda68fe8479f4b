"""Animals that lose something over a connection, come and go badly, or do not come back."""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace

from msgkit.envelope import Envelope
from msgkit.errors import Closed
from msgkit.spi import (
    BindingOptions,
    Capabilities,
    Consumer,
    Down,
    Event,
    Plan,
    ProvisionMode,
    Sink,
    Subscription,
    Topology,
    Up,
)
from tests.zoo.animal import Animal, Line, caught_by

__all__: list[str] = []

_log = logging.getLogger("msgkit.zoo")


class _Lossy(Animal):
    """Does something when its connection is lost."""

    losses = 0

    def hear(self, tell: Callable[[Event], None], event: Event) -> None:
        if isinstance(event, Down):
            self.losses += 1
            with self.broker.lock:
                self.went_down()
        super().hear(tell, event)

    def went_down(self) -> None:
        raise NotImplementedError


@caught_by()
class ComesBackNever(_Lossy):
    """Does not connect again."""

    def went_down(self) -> None:
        self._session.client.banned = True


@caught_by()
class ComesBackOnce(_Lossy):
    """Connects again only once."""

    def went_down(self) -> None:
        self._session.client.banned = self.losses > 2


@caught_by()
class ComesBackWithoutConsumers(_Lossy):
    """Connects again, and consumes nothing any more."""

    def went_down(self) -> None:
        self._session.members.clear()


@caught_by()
class LosesWhatWaits(_Lossy):
    """Keeps queues in memory, which a lost connection empties."""

    def went_down(self) -> None:
        for queue in self.broker.content.queues.values():
            queue.purge()


@caught_by()
class LosesItsRoutes(Animal):
    """Makes routes that end with the connection, and does not declare them again."""

    def hear(self, tell: Callable[[Event], None], event: Event) -> None:
        if isinstance(event, Up):
            with self.broker.lock:
                for exchange in self.broker.content.exchanges.values():
                    for name in self.broker.content.queues:
                        exchange.remove(name)
        super().hear(tell, event)


@caught_by()
class SaysNothing(Animal):
    """Does not tell that the connection is lost, or back."""

    def hear(self, tell: Callable[[Event], None], event: Event) -> None:
        if not isinstance(event, Down | Up):
            super().hear(tell, event)


@caught_by()
class ComesBackInSilence(Animal):
    """Does not tell that the connection is back."""

    def hear(self, tell: Callable[[Event], None], event: Event) -> None:
        if not isinstance(event, Up):
            super().hear(tell, event)


@caught_by()
class WaitsForNoBroker(Animal):
    """Fails at once when the broker is down, however long it may wait."""

    def __init__(self, options: BindingOptions) -> None:
        super().__init__(replace(options, wait=0.0))


@caught_by()
class WaitsForEver(Animal):
    """Waits for a broker that is down when it was told not to."""

    def __init__(self, options: BindingOptions) -> None:
        super().__init__(replace(options, wait=3600.0))


@caught_by()
class TellsItsPassword(Animal):
    """Says in the log how it connects."""

    def __init__(self, options: BindingOptions) -> None:
        _log.info("connecting to %s", options.url)
        super().__init__(options)


@caught_by()
class TellsWhatItCarries(Animal):
    """Says in the log what it sends."""

    def out(self, envelope: Envelope) -> Envelope:
        _log.debug("sending %s", envelope)
        return envelope


@caught_by()
class IgnoresItsOptions(Animal):
    """Reads nothing of a URL but the name."""

    def __init__(self, options: BindingOptions) -> None:
        super().__init__(replace(options, url=options.url.partition("?")[0], options={}))


# -- leaving


@caught_by()
class DeliversWhenDrained(Animal):
    """Goes on delivering to a consumer that said it would take no more."""

    async def drain(self, line: Line) -> None:
        """Go on."""


@caught_by()
class SettlesNothingWhenDrained(Animal):
    """Takes what a drained consumer has away from it."""

    async def drain(self, line: Line) -> None:
        await super().drain(line)
        await line.consumer.close()


@caught_by()
class StaysSubscribed(Animal):
    """Goes on delivering to a consumer that has left."""

    async def drain(self, line: Line) -> None:
        """Go on."""

    async def leave(self, line: Line) -> None:
        """Stay."""


@caught_by()
class KeepsWhatItHas(Animal):
    """Gives back what a consumer had only when its whole application ends."""

    async def leave(self, line: Line) -> None:
        """Keep it."""


@caught_by()
class ClosesNever(Animal):
    """Hangs when it is closed."""

    async def close(self, deadline: float) -> None:
        await super().close(deadline)
        await asyncio.Event().wait()


@caught_by()
class LeavesNever(Animal):
    """Hangs when a consumer leaves."""

    async def leave(self, line: Line) -> None:
        await super().leave(line)
        await asyncio.Event().wait()


@caught_by()
class ClosesOnlyWhenConnected(Animal):
    """Waits for the broker when it is closed."""

    async def close(self, deadline: float) -> None:
        # Whatever is asked of a broker waits for it.
        await self._session.wire.request(lambda: None)
        await super().close(deadline)


@caught_by()
class ClosesOnce(Animal):
    """Fails when it is closed a second time."""

    closed = False

    async def close(self, deadline: float) -> None:
        if self.closed:
            raise Closed("closed already")
        self.closed = True
        await super().close(deadline)


@caught_by()
class TakesItsTimeToLeave(Animal):
    """Lets every stop take as long as it may."""

    async def leave(self, line: Line) -> None:
        await asyncio.sleep(1.2)
        await super().leave(line)


@caught_by()
class LeavesATask(Animal):
    """Has a task for each consumer, and forgets it."""

    async def subscribe(self, subscription: Subscription, sink: Sink) -> Consumer:
        self._session.loop.create_task(_for_ever(), name="forgotten")  # type: ignore[unused-awaitable]
        return await super().subscribe(subscription, sink)


async def _for_ever() -> None:
    await asyncio.Event().wait()


@caught_by()
class LeavesAThread(Animal):
    """Has a thread for each connection, and forgets it."""

    async def connect(self, on_event: Callable[[Event], None]) -> Capabilities:
        # In the end it goes, or nobody could run all animals in one process.
        threading.Thread(target=threading.Event().wait, args=(5,), daemon=True).start()
        return await super().connect(on_event)


@caught_by()
class BindsLate(Animal):
    """Says that a queue has its routes a little before it has them."""

    async def provision(self, topology: Topology, mode: ProvisionMode) -> Plan:
        make = super().provision
        if mode is not ProvisionMode.CREATE:
            return await make(topology, mode)
        plan = await make(topology, ProvisionMode.PLAN)
        bare = {name: replace(queue, routes=()) for name, queue in topology.queues.items()}
        await make(Topology(topology.exchanges, bare), mode)
        self._session.spawn(_after(0.05, lambda: make(topology, mode)))
        return plan


async def _after(pause: float, then: Callable[[], Awaitable[object]]) -> None:
    await asyncio.sleep(pause)
    await then()
