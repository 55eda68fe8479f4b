"""The application: an explicit list of listeners, run on the brokers of the settings."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Self, cast

from msgkit.application.running import Running
from msgkit.application.signals import Signals, leave
from msgkit.clock import SYSTEM, Clock
from msgkit.container import HandlingObserver
from msgkit.errors import Closed, ConfigurationError
from msgkit.interception import HandleInterceptor, SendInterceptor
from msgkit.listener import collect
from msgkit.settings import Settings
from msgkit.spi import Capabilities, Plan, Power, ProvisionMode, Replayable
from msgkit.template import MessageTemplate, Session
from msgkit.topology import Destination, Exchange, Queue, Start
from msgkit.values import check_functions

__all__ = ["Application", "PlannedBroker"]

logger = logging.getLogger("msgkit")

#: What a plan says of one broker: its name, what it can do, and what is to be done there.
PlannedBroker = tuple[str, Capabilities, Plan]


class Application:
    """Runs listeners: `async with`, `run()`, `msgkit run`, or the `lifespan` of an ASGI host.

    Settings are read on entering, not on construction. `template` is the same object before,
    in and after a run. `topology` is declared besides what the listeners need. `sending` and
    `handling` wrap every send and every handling, the first one outermost.
    """

    def __init__(
        self,
        listeners: Sequence[object] = (),
        *,
        template: MessageTemplate | None = None,
        settings: Settings | None = None,
        topology: Sequence[Destination[Any]] = (),
        sending: Sequence[SendInterceptor] = (),
        handling: Sequence[HandleInterceptor] = (),
    ) -> None:
        if not isinstance(settings, Settings | None):  # pyright: ignore[reportUnnecessaryIsInstance] -- callers without a type checker
            msg = f"Application(settings=) takes Settings(...), not {type(settings).__name__}"
            raise ConfigurationError(msg)
        self.template = template or MessageTemplate()
        self._listeners, self._checkers = collect(listeners)
        self._settings = settings
        self._topology = _checked(topology)
        check_functions(sending, "Application(sending=)")
        check_functions(handling, "Application(handling=)")
        self._sending = tuple(sending)
        self._handling = tuple(handling)
        self._running: Running | None = None
        self._stack: AsyncExitStack | None = None

    # -- lifetime

    async def __aenter__(self) -> Self:
        stack = AsyncExitStack()
        await stack.enter_async_context(self.running())
        self._stack = stack
        return self

    async def __aexit__(self, *exc: object) -> None:
        stack, self._stack = self._stack, None
        if stack is not None:
            await stack.aclose()

    @asynccontextmanager
    async def running(
        self,
        settings: Settings | None = None,
        *,
        clock: Clock = SYSTEM,
        observer: HandlingObserver | None = None,
        sending: Sequence[SendInterceptor] = (),
    ) -> AsyncGenerator[Self]:
        """Run within a block, on other settings, by another clock, or observed: what tests need."""
        running = await self._start(settings, clock, observer, tuple(sending))
        try:
            yield self
        finally:
            try:
                await running.stop()
            finally:
                self._running = None

    async def _start(
        self,
        settings: Settings | None,
        clock: Clock,
        observer: HandlingObserver | None,
        sending: tuple[SendInterceptor, ...],
    ) -> Running:
        if self._running is not None:
            msg = "the application runs already; make a second one to run it twice"
            raise ConfigurationError(msg)
        session = await self.template.attach(
            settings or self._settings, clock=clock, interceptors=(*self._sending, *sending)
        )
        running = Running(self.template, session)
        self._running = running
        try:
            running.assemble(self._listeners, self._handling)
            _check_names(session.settings, self.destinations)
            await running.start(self.destinations, self._checkers, clock=clock, observer=observer)
        except BaseException:
            self._running = None
            await running.stop()
            raise
        return running

    def run(self) -> None:
        """Run until SIGTERM or SIGINT, then stop cleanly; a second signal stops at once.

        :raises SystemExit: after a second signal, with its number and 128 as a shell has it
        """
        if not logging.getLogger().handlers:
            logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)-8s %(name)s: %(message)s")
        signals = Signals()
        try:
            asyncio.run(self._run_until(signals))
        except asyncio.CancelledError:
            if signals.forced is None:
                raise
            leave(128 + signals.forced)

    async def run_until_signalled(self) -> None:
        """Run until SIGTERM or SIGINT on the running loop; a second signal cancels the task."""
        await self._run_until(Signals())

    async def _run_until(self, signals: Signals) -> None:
        with signals.heard():
            async with self:
                names = sorted(queue.name for queue in self.queues)
                logger.info("running; listening to %s", ", ".join(names) or "nothing")
                await signals.asked()

    @asynccontextmanager
    async def lifespan(self, host: object, /) -> AsyncGenerator[None]:
        """Run as long as an ASGI host does: `FastAPI(lifespan=messaging.lifespan)`."""
        async with self:
            logger.debug("running within %r", host)
            yield

    # -- while it runs

    async def pause(self, queue: Queue[Any], /) -> None:
        """Stop a queue's listeners: what runs finishes, nothing begins any more, and the rest is others' to take."""
        running = self._current()
        await running.runner(queue).pause(running.settings.drain)

    async def resume(self, queue: Queue[Any], /) -> None:
        """Start a queue's listeners, after a pause or where `autostart=False`."""
        await self._current().runner(queue).start()

    async def health(self) -> Mapping[str, object]:
        """Return how it fares: `status` is `up`, `down` or `stopped`; brokers, queues and counts tell why."""
        if self._running is None:
            return {"status": "stopped", "brokers": {}, "queues": {}}
        return self._running.health()

    def _current(self) -> Running:
        if self._running is None:
            msg = "the application does not run"
            raise Closed(msg)
        return self._running

    @property
    def queues(self) -> tuple[Queue[Any], ...]:
        """The queues that are listened to."""
        return tuple(dict.fromkeys(bound.spec.queue for bound in self._listeners))

    @property
    def handlers(self) -> tuple[Callable[..., object], ...]:
        """The functions that listen."""
        return tuple(bound.handler for bound in self._listeners)

    @property
    def destinations(self) -> tuple[Destination[Any], ...]:
        """Everything that is declared: queues listened to, their exchanges, targets, and `topology`."""
        targets = [bound.spec.send_to for bound in self._listeners if bound.spec.send_to is not None]
        exchanges = [route.exchange for queue in self.queues for route in queue.routes]
        return tuple(dict.fromkeys([*exchanges, *self.queues, *self._topology, *targets]))

    # -- from outside

    async def plan(self, settings: Settings | None = None, *, prune: bool = False) -> list[PlannedBroker]:
        """Return what would be declared, without declaring or consuming; `prune` takes away what is stale."""
        async with self._connected(settings) as session:
            Running(self.template, session).assemble(self._listeners, self._handling)
            planned: list[PlannedBroker] = []
            for name, topology in session.naming.topologies(self.destinations).items():
                link = await session.links.get(name)
                mode = ProvisionMode.PRUNE if prune else ProvisionMode.PLAN
                planned.append((name, link.capabilities, await link.declare(topology, mode)))
            return planned

    async def seek(self, queue: Queue[Any], to: Start, settings: Settings | None = None) -> int:
        """Have a queue receive again from there on, whoever listens to it; declare and consume nothing.

        Return how many messages that makes, as far as is known.

        :raises UnsupportedCapability: when its broker, or this queue, cannot be read again
        """
        if queue.is_anonymous:
            msg = f"{queue} is anonymous: each program makes one of its own, and nobody else's can be read again"
            raise ConfigurationError(msg)
        async with self._connected(settings) as session:
            link = await session.link_of(queue)
            link.capabilities.require(Power.REPLAY, f"seek({queue})")
            return await cast("Replayable", link.binding).seek(session.naming.queue_spec(queue), to)

    @asynccontextmanager
    async def _connected(self, settings: Settings | None) -> AsyncGenerator[Session]:
        """Be connected within a block, without running."""
        session = await self.template.attach(settings or self._settings)
        try:
            _check_names(session.settings, self.destinations)
            yield session
        finally:
            await self.template.detach()


def _checked(topology: object) -> tuple[Destination[Any], ...]:
    """Return what is declared besides, or say what of it cannot be."""
    if not isinstance(topology, Sequence):
        msg = f"Application(topology=) takes a list of exchanges and queues, not {topology!r}"
        raise ConfigurationError(msg)
    for each in cast("Sequence[object]", topology):
        if not isinstance(each, Destination):
            msg = f"Application(topology=) takes exchanges and queues, and {each!r} is none"
            raise ConfigurationError(msg)
    return tuple(cast("Sequence[Destination[Any]]", topology))


def _check_names(settings: Settings, destinations: Sequence[Destination[Any]]) -> None:
    """Refuse settings for queues and exchanges that are not there: most likely a typing error."""
    queues = {destination for destination in destinations if isinstance(destination, Queue)}
    exchanges = {destination.name for destination in destinations if isinstance(destination, Exchange)}
    exchanges |= {route.exchange.name for queue in queues for route in queue.routes}
    names = {queue.name for queue in queues}
    names |= {queue.dead_letters.name for queue in queues if queue.has_dead_letters}
    settings.check_names(names, exchanges)
