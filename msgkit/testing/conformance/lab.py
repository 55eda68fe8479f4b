"""What a check works with: names of its own, applications, recorded messages, deadlines."""

import asyncio
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from types import TracebackType
from typing import Any, Self, Unpack, cast
from uuid import uuid4

from msgkit.application import Application
from msgkit.errors import UnsupportedCapability
from msgkit.interception import HandleInterceptor, SendInterceptor
from msgkit.naming import Naming
from msgkit.policy import Backoff
from msgkit.settings import Settings
from msgkit.spi import Binding, Power, ProvisionMode, Refused, Shared, Subscription
from msgkit.template import MessageTemplate
from msgkit.testing.conformance.collecting import Collector
from msgkit.testing.conformance.handlers import Gate, Handler
from msgkit.testing.conformance.harness import Harness
from msgkit.testing.conformance.holdings import Holdings
from msgkit.testing.conformance.journal import Journal
from msgkit.testing.conformance.leaks import Leaks
from msgkit.testing.conformance.ledger import Ledger, Promises
from msgkit.testing.conformance.ledger.records import Attempted, Began, FaultKind, Settled
from msgkit.testing.conformance.processes import Process
from msgkit.testing.conformance.raising import raises
from msgkit.testing.conformance.sending import Sending
from msgkit.testing.conformance.tap import Tap
from msgkit.testing.conformance.victims import environment
from msgkit.testing.conformance.waiting import Waiting
from msgkit.topology import Destination, Exchange, ExchangeOptions, Queue, QueueOptions, Route

__all__ = ["Lab"]


class Lab(Waiting, Sending, Holdings):
    """One check's place of work, with names that nobody else uses.

    Everything sent with `send` or `offer` and everything that a `handler` sees goes into the
    ledger. On leaving without an error the broker is asked what it holds, dead letters are
    collected, and the ledger judges: a check asserts only what the ledger does not know of.
    """

    #: How quickly handlers fail over, unless a check says otherwise.
    RETRY = Backoff(5, first=0.05, factor=2.0, limit=0.5)

    def __init__(self, harness: Harness, name: str) -> None:
        self.harness = harness
        self.check = name
        Waiting.__init__(self, patience=harness.patience, silence=harness.silence)
        Sending.__init__(self)
        self._suffix = uuid4().hex[:10]
        self._stack = AsyncExitStack()
        self._numbers = 0
        self._listened: dict[str, Queue[Any]] = {}
        self._left: set[str] = set()
        self._faults = 0
        self._alive: set[str] = set()

    async def __aenter__(self) -> Self:
        self._leaks = Leaks()
        self.below = self.harness.binding("lab")
        self.capabilities = await self.below.connect(_ignore)
        self.ledger = Ledger(self._promises())
        self.journal = Journal(self.ledger)
        self.naming = Naming(self.settings())
        self.sender = MessageTemplate(self.settings())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self.harness.heal()
            if error is None:
                await self._sweep()
        finally:
            await self._stack.aclose()
            await self.sender.close()
            await self.below.close(self.patience)
        if error is None:
            ended = await self.journal.until(lambda: not self._leaks.found(), self.patience)
            assert ended, f"still running after everything was closed: {self._leaks.found()}"

    def _promises(self) -> Promises:
        keeps = self.capabilities
        return Promises(
            order=keeps.order.name,  # type: ignore[arg-type]  # mypy takes the name of a member for any str
            settle_window=keeps.settle_window + self.harness.tolerance,
            forks=keeps.forks,
            holds=keeps.holds,
            overcounts=not keeps.exact_attempts,
            inspectable=keeps.has(Power.INSPECT),
        )

    # -- names and topology

    def name(self, word: str) -> str:
        """Return a name that only this check uses."""
        self._numbers += 1
        return f"{word}-{self._suffix}-{self._numbers}"

    def exchange(self, word: str = "events", **options: Unpack[ExchangeOptions[str]]) -> Exchange[str]:
        return Exchange(self.name(word), str, **options)

    def queue(self, word: str = "jobs", route: Route[str] | None = None, **options: Unpack[QueueOptions]) -> Queue[str]:
        """Return a queue to send to directly, or with a route."""
        name = self.name(word)
        return Queue(name, str, **options) if route is None else Queue(name, route, **options)

    async def declare(self, *destinations: Destination[Any]) -> None:
        """Have destinations be there before any application is."""
        for topology in self.naming.topologies(destinations).values():
            await self.below.provision(topology, ProvisionMode.CREATE)
        self._note_declared(destinations)

    def expect(self, *queues: Queue[Any]) -> None:
        """Take queues for declared: what is sent from now on is for them, too."""
        self._note_declared(queues)

    def _note_declared(self, destinations: Sequence[object]) -> None:
        self.declared |= {each.name: each for each in destinations if isinstance(each, Queue)}

    def settings(self) -> Settings:
        return self.harness.settings()

    # -- what the broker can do

    def refused(self, power: Power) -> bool:
        """Tell whether the binding declares that it cannot do this: then assert the `refusal`."""
        return isinstance(self.capabilities.support(power), Refused)

    @property
    def can_spawn(self) -> bool:
        """Is there another process that this broker could be reached from, or a stand-in for one?"""
        return self.capabilities.shared is not Shared.PROCESS or self.harness.emulates_processes

    @property
    def keeps_no_order(self) -> bool:
        return self.refused(Power.ORDERED)

    @contextmanager
    def refusal(self, *names: str) -> Generator[None]:
        """Expect `UnsupportedCapability`, naming the broker and each of `names`."""
        with raises(UnsupportedCapability, self.capabilities.broker, *names):
            yield

    # -- who takes part

    def handler(
        self,
        queue: Queue[Any],
        consumer: str | None = None,
        *,
        retry: Backoff | None = None,
        batched: bool = False,
    ) -> Handler:
        """Return a recording handler; say next what it `does`, then list it in an application.

        `consumer` is its name in the ledger, and must be given where one queue has several.
        """
        retry = retry or self.RETRY
        self._note_listened(queue, retry.attempts, batched=batched)
        return self.unlisted(queue, consumer, retry=retry)

    def unlisted(self, queue: Queue[Any], consumer: str | None = None, *, retry: Backoff | None = None) -> Handler:
        """Return a handler of a queue that will never be there, because it is refused."""
        handler = Handler(
            queue=queue,
            consumer=consumer or f"on {queue.name}",
            journal=self.journal,
            retry=retry or self.RETRY,
        )
        handler.cancelled = self._cancelled
        return handler

    def _note_listened(self, queue: Queue[Any], attempts: int, *, batched: bool = False) -> None:
        if queue.name not in self._listened:
            self._listened[queue.name] = queue
            self.ledger.queue(
                queue.name,
                ordered=queue.ordered,
                anonymous=queue.is_anonymous,
                dead_letters=queue.has_dead_letters,
                attempts=attempts,
                batched=batched,
            )

    def collector(self, queue: Queue[Any], *, fails: bool = False) -> Collector:
        """Return a listener of a queue's dead letters."""
        return Collector(queue, self.journal, fails=fails)

    def gate(self, *payloads: str) -> Gate:
        """Return a behaviour that waits until it is opened: for these payloads, or for all."""
        return Gate(self.journal, *payloads)

    @asynccontextmanager
    async def application(
        self,
        *items: object,
        settings: Settings | None = None,
        template: MessageTemplate | None = None,
        topology: Sequence[Destination[Any]] = (),
        sending: Sequence[SendInterceptor] = (),
        handling: Sequence[HandleInterceptor] = (),
    ) -> AsyncGenerator[Application]:
        """Run an application with handlers, or with whatever else it takes."""
        handlers = [item for item in items if isinstance(item, Handler)]
        app = Application(
            [item.function if isinstance(item, Handler) else item for item in items],
            settings=settings or (None if template else self.settings()),
            template=template,
            topology=topology,
            sending=sending,
            handling=handling,
        )
        consumers = {handler.consumer for handler in handlers}
        self._joined(consumers)
        async with AsyncExitStack() as stopping, app:
            self._note_declared([*topology, *(handler.queue for handler in handlers)])
            try:
                yield app
            finally:
                await self._note_expired(app, handlers)
                self._alive -= consumers
                stopping.push_async_callback(asyncio.wait, [asyncio.create_task(self._stopped(consumers))])

    async def _note_expired(self, app: Application, handlers: Sequence[Handler]) -> None:
        for handler in handlers:
            name = handler.queue.name
            if count := await self.health(app, name, "expired"):
                with self.journal.writing() as ledger:
                    ledger.expired(name, count, self.journal.now())

    async def health(self, app: Application, queue: str, what: str) -> int:
        """Return a number that an application's health says of a queue."""
        queues = cast("Mapping[str, Mapping[str, int]]", (await app.health())["queues"])
        return queues.get(queue, {}).get(what, 0)

    async def is_healthy(self, app: Application, *, well: bool = True) -> bool:
        """Tell whether an application says that it is well; or that it is not."""
        return ((await app.health())["status"] == "up") is well

    def _joined(self, consumers: set[str]) -> None:
        self._alive |= consumers
        with self.journal.writing() as ledger:
            for consumer in consumers:
                ledger.joined(consumer, self.journal.now())

    async def _stopped(self, consumers: set[str]) -> None:
        # What is on its way in this turn of the loop begins before the application hears of its end.
        await asyncio.sleep(0)
        with self.journal.writing() as ledger:
            for consumer in consumers:
                ledger.stopped(consumer, self.journal.now())

    def _cancelled(self, consumer: str) -> Settled:
        """Tell a fault, the end of an application, and a handler's time that was up."""
        if self._faults:
            return "lost"
        return "retried" if consumer in self._alive else "released"

    @asynccontextmanager
    async def binding(self, client: str = "other") -> AsyncGenerator[Binding]:
        """Connect a binding of its own, for what is below the face."""
        binding = self.harness.binding(client)
        await binding.connect(_ignore)
        try:
            yield binding
        finally:
            await binding.close(self.patience)

    @asynccontextmanager
    async def tap(
        self, queue: Queue[Any], name: str = "tap", *, credit: int = 0, max_in_flight: int = 100
    ) -> AsyncGenerator[Tap]:
        """Consume a declared queue below the face, over a connection of its own."""
        self._note_listened(queue, self.RETRY.attempts)
        tap = Tap(queue.name, name, self.journal)
        async with self.binding(name) as binding:
            for topology in self.naming.topologies([queue]).values():
                await binding.provision(topology, ProvisionMode.CREATE)
            self._note_declared([queue])
            wanted = Subscription(queue=self.naming.queue_spec(queue), max_in_flight=max_in_flight)
            async with tap.consuming(binding, wanted):
                tap.consumer.credit(credit)
                yield tap

    async def spawn(
        self, queue: Queue[str], name: str, behave: str = "accepts", *, concurrency: int = 1, attempts: int = 5
    ) -> Process:
        """Start a consumer in a process of its own, which is in the ledger under its name."""
        self._note_listened(queue, attempts)
        env = environment(queue, name, behave, concurrency=concurrency, attempts=attempts)
        process = await self.harness.spawn("msgkit.testing.conformance.victims:consumer", env)
        process.listen(self._merge)
        self._stack.push_async_callback(process.kill)
        self._note_declared([queue])
        return process

    def _merge(self, line: str) -> None:
        with self.journal.writing() as ledger:
            ledger.merge(line)

    # -- faults

    @asynccontextmanager
    async def fault(self, kind: FaultKind, *consumers: str) -> AsyncGenerator[None]:
        """Record a fault: do it inside, and stay until all that it touches are back.

        Without names it touches all.
        """
        began = self.journal.now()
        self._faults += 1
        try:
            yield
        finally:
            self._faults -= 1
            with self.journal.writing() as ledger:
                ledger.fault(kind, began, self.journal.now(), consumers=consumers or None)

    def begun(self, consumer: str) -> int:
        """Return how many handlings a consumer of whatever process has begun."""
        return sum(isinstance(each, Began) and each.consumer == consumer for each in self.ledger.records)

    # -- the end

    def leaves(self, *queues: Queue[Any]) -> None:
        """Leave queues out of the closing sweep: this check means to leave something in them."""
        self._left |= {queue.name for queue in queues}

    async def _sweep(self) -> None:
        for queue in self._listened.values():
            if count := await self.harness.expired(queue):
                self.ledger.expired(queue.name, count, self.journal.now())
        # An anonymous queue goes with its client.
        swept = [queue for queue in self._listened.values() if queue.name not in self._left and not queue.is_anonymous]
        await self.sweep(swept)
        if any(isinstance(each, Attempted) for each in self.ledger.records):
            self.ledger.judge(self.harness.tolerance).check()


def _ignore(_event: object) -> None:
    return None
