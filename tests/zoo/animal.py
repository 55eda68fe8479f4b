"""A memory binding with something wrong, and the places where that can be put."""

import re
from asyncio import Future
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, TypeVar
from weakref import WeakKeyDictionary

from msgkit.brokers import register_binding
from msgkit.envelope import Envelope, Receipt
from msgkit.spi import (
    Binding,
    BindingOptions,
    Capabilities,
    Consumer,
    Depth,
    Event,
    Plan,
    ProvisionMode,
    QueueSpec,
    RawDelivery,
    RawSettlement,
    Sink,
    Subscription,
    Topology,
    Transaction,
)
from msgkit_memory.binding import MemoryBinding
from msgkit_memory.queues import ServerQueue
from msgkit_memory.server import Broker

__all__ = ["ZOO", "Animal", "Deal", "Line", "Outcome", "caught_by", "ignore", "relay", "settled"]

A = TypeVar("A", bound="type[Animal]")

ZOO: "dict[str, type[Animal]]" = {}


def caught_by(*checks: str) -> Callable[[A], A]:
    """Put an animal into the zoo, under a URL scheme of its own, with the checks that must fail."""

    def register(animal: A) -> A:
        animal.name = re.sub(r"(?<!^)(?=[A-Z])", "-", animal.__name__).lower()
        if animal.name in ZOO:
            msg = f"there are two animals of the name {animal.name}"
            raise ValueError(msg)
        animal.checks = checks
        ZOO[animal.name] = animal
        register_binding(animal.scheme(), animal)
        return animal

    return register


class Line:
    """One subscription with the animal in between: the core's consumer, and the broker's sink."""

    consumer: Consumer

    def __init__(self, animal: "Animal", queue: QueueSpec, sink: Sink) -> None:
        self.animal = animal
        self.queue = queue
        self.sink = sink
        #: Delivered and not settled, in that order.
        self.held: dict[RawDelivery, None] = {}

    # -- what the core calls

    @property
    def holds(self) -> bool:
        return self.consumer.holds

    def credit(self, n: int, /) -> None:
        self.animal.credit(self, n)

    def settle(self, delivery: RawDelivery, how: RawSettlement, /) -> "Future[None] | None":
        future = self.animal.settle(self, delivery, how)
        self.held.pop(delivery, None)
        return future

    async def drain(self) -> None:
        await self.animal.drain(self)

    async def close(self) -> None:
        await self.animal.leave(self)

    # -- what the broker calls

    def deliver(self, batch: Sequence[RawDelivery], /) -> None:
        self.animal.deliver(self, batch)

    def lost(self, scope: Hashable, /) -> None:
        self.animal.lose(self, scope)
        self.held = {raw: None for raw in self.held if raw.scope != scope}

    async def revoke(self, scope: Hashable, deadline: float, /) -> None:
        await self.animal.revoke(self, scope, deadline)

    def event(self, event: Event, /) -> None:
        self.animal.hear(self.sink.event, event)

    # -- for animals

    def pass_on(self, batch: Sequence[RawDelivery]) -> None:
        """Deliver as a healthy binding does."""
        self.held.update(dict.fromkeys(batch))
        if batch:
            self.sink.deliver(batch)


class Animal(MemoryBinding):
    """A healthy one: it passes everything through. Each animal overrides a little of it."""

    name: ClassVar[str] = "healthy"
    #: What must fail with it.
    checks: ClassVar[tuple[str, ...]] = ()

    _memories: ClassVar["WeakKeyDictionary[Broker, set[str]]"] = WeakKeyDictionary()

    def __init__(self, options: BindingOptions) -> None:
        _, _, place = options.url.partition(":")
        super().__init__(replace(options, url=f"memory:{place}"))
        self.born()

    def born(self) -> None:
        """Begin to remember."""

    @classmethod
    def scheme(cls) -> str:
        return f"zoo-{cls.name}"

    # -- where something can be wrong

    def claims(self, keeps: Capabilities) -> Capabilities:
        """Say what the broker keeps."""
        return keeps

    def hear(self, tell: Callable[[Event], None], event: Event) -> None:
        """Pass on what became of the connection."""
        tell(event)

    def out(self, envelope: Envelope) -> Envelope:
        """Return what is sent."""
        return envelope

    def spec(self, queue: QueueSpec) -> QueueSpec:
        """Return the queue that is declared and subscribed to."""
        return queue

    def credit(self, line: Line, n: int) -> None:
        line.consumer.credit(n)

    def settle(self, line: Line, raw: RawDelivery, how: RawSettlement) -> "Future[None] | None":
        return line.consumer.settle(raw, how)

    async def drain(self, line: Line) -> None:
        await line.consumer.drain()

    async def leave(self, line: Line) -> None:
        await line.consumer.close()

    def deliver(self, line: Line, batch: Sequence[RawDelivery]) -> None:
        line.pass_on(batch)

    def lose(self, line: Line, scope: Hashable) -> None:
        line.sink.lost(scope)

    async def revoke(self, line: Line, scope: Hashable, deadline: float) -> None:
        await line.sink.revoke(scope, deadline)

    # -- the binding

    async def connect(self, on_event: Callable[[Event], None]) -> Capabilities:
        return self.claims(await super().connect(partial(self.hear, on_event)))

    async def provision(self, topology: Topology, mode: ProvisionMode) -> Plan:
        queues = [self.spec(queue) for queue in topology.queues.values()]
        changed = Topology(topology.exchanges, {queue.name: queue for queue in queues})
        return await super().provision(changed, mode)

    def send(self, envelope: Envelope) -> "Future[Receipt]":
        return super().send(self.out(envelope))

    async def subscribe(self, subscription: Subscription, sink: Sink) -> Consumer:
        queue = self.spec(subscription.queue)
        line = Line(self, queue, sink)
        line.consumer = await super().subscribe(replace(subscription, queue=queue), line)
        return line

    async def begin(self) -> Transaction:
        return Deal(self, await super().begin())

    async def depth(self, queue: QueueSpec, /) -> Depth:
        return await super().depth(self.spec(queue))

    # -- for animals

    @property
    def broker(self) -> Broker:
        return self._session.broker

    @property
    def memory(self) -> set[str]:
        """What all clients of one broker remember."""
        return self._memories.setdefault(self.broker, set())

    def server(self, queue: QueueSpec) -> ServerQueue:
        """Return the broker's own queue; its lock must be held by who changes it."""
        return self.broker.content.queues[queue.name]

    def put(self, queue: QueueSpec, envelope: Envelope) -> None:
        """Have one more message in a queue."""
        with self.broker.lock:
            self.server(queue).put(envelope)

    def receipt(self, envelope: Envelope) -> Receipt:
        return Receipt(envelope.message_id, envelope.destination, self.options.name)

    def confirm(self, envelope: Envelope) -> "Future[Receipt]":
        """Say that a message is stored."""
        future: Future[Receipt] = self.future()
        future.set_result(self.receipt(envelope))
        return future

    def future(self) -> "Future[Receipt]":
        return self._session.loop.create_future()


class Deal:
    """A transaction with the animal in between."""

    def __init__(self, animal: Binding, transaction: Transaction) -> None:
        self.animal = animal
        self.transaction = transaction

    async def send(self, envelope: Envelope, /) -> Receipt:
        return await self.transaction.send(envelope)

    async def commit(self, settle: Sequence[tuple[Consumer, RawDelivery]], /) -> None:
        await self.transaction.commit(
            [(each.consumer if isinstance(each, Line) else each, raw) for each, raw in settle]
        )

    async def abort(self) -> None:
        await self.transaction.abort()


Outcome = Receipt | BaseException


def relay(
    source: "Future[Receipt]",
    target: "Future[Receipt]",
    revise: Callable[[Outcome], Outcome | None] = lambda outcome: outcome,
) -> None:
    """Let one send end as another does, or as is made of that; None leaves it open."""

    def answered(source: "Future[Receipt]") -> None:
        if target.done():
            return
        if source.cancelled():
            target.cancel()
            return
        match revise(source.exception() or source.result()):
            case Receipt() as receipt:
                target.set_result(receipt)
            case BaseException() as error:
                target.set_exception(error)
            case None:
                pass

    source.add_done_callback(answered)


def ignore(future: "Future[Any] | None") -> None:
    """Never ask what came of it."""
    if future is not None:
        future.add_done_callback(lambda over: over.cancelled() or over.exception())


def settled(sent: "Future[Receipt]") -> "Future[None]":
    """Return a settlement that is over when something was sent."""
    future: Future[None] = sent.get_loop().create_future()

    def over(sent: "Future[Receipt]") -> None:
        if not future.done():
            if error := sent.exception():
                future.set_exception(error)
            else:
                future.set_result(None)

    sent.add_done_callback(over)
    return future
