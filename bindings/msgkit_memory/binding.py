"""The binding of the embedded broker."""

from asyncio import Future
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from functools import partial
from typing import Literal, TypeVar

from msgkit.envelope import Envelope, Receipt
from msgkit.errors import Closed, TopologyMismatch, UnsupportedCapability
from msgkit.spi import (
    Binding,
    BindingOptions,
    Capabilities,
    Checker,
    Consumer,
    Depth,
    Event,
    HalfMessage,
    Plan,
    Power,
    ProvisionMode,
    QueueSpec,
    Sink,
    Subscription,
    Topology,
    Transaction,
)
from msgkit_memory.capabilities import capabilities
from msgkit_memory.consumer import subscribe
from msgkit_memory.options import MemoryOptions
from msgkit_memory.publisher import Publisher
from msgkit_memory.queues import ServerQueue
from msgkit_memory.server import Broker
from msgkit_memory.session import Session
from msgkit_memory.transactions import MemoryTransaction, prepare

__all__ = ["MemoryBinding"]

T = TypeVar("T")


class MemoryBinding(Binding):
    """A client of a broker in this process: `memory://[name][?retain=…&check_after=…&transient=…]`."""

    def __init__(self, options: BindingOptions) -> None:
        super().__init__(options)
        self._options = MemoryOptions.parse(options.url, options.options)
        self._connected: tuple[Session, Publisher] | None = None
        self._send: Callable[[Envelope], Future[Receipt]] = self._send_too_early

    async def connect(self, on_event: Callable[[Event], None]) -> Capabilities:
        broker = Broker.of(self._options, self.options.clock)
        session = Session(broker, self.options, on_event)
        await session.connect()
        publisher = Publisher(session, self.options.name)
        self._connected = session, publisher
        self._send = publisher.send
        return capabilities(broker.retain)

    async def provision(self, topology: Topology, mode: ProvisionMode) -> Plan:
        return await self._session.wire.request(partial(self._session.provision, topology, mode))

    def send(self, envelope: Envelope) -> "Future[Receipt]":
        return self._send(envelope)

    def abandon(self, sent: "Future[Receipt]") -> bool:
        return self._session.wire.abandon(sent)

    async def writable(self) -> None:
        await self._publisher.writable()

    async def subscribe(self, subscription: Subscription, sink: Sink) -> Consumer:
        return await subscribe(self._session, subscription, sink)

    async def close(self, deadline: float) -> None:
        if self._connected is not None:
            await self._session.close(deadline)

    # -- the powers

    async def listen_for_replies(self, on_reply: Callable[[Envelope], None], /) -> str:
        return await self._session.wire.request(partial(self._session.listen_for_replies, on_reply))

    async def begin(self) -> Transaction:
        return MemoryTransaction(self._session, self._publisher)

    async def prepare(self, envelope: Envelope, check: str, /) -> HalfMessage:
        return await prepare(self._session, self._publisher, envelope, check)

    def answer_checks(self, checker: Checker, names: Sequence[str], /) -> None:
        self._session.answer_checks(checker, tuple(names))

    async def seek(self, queue: QueueSpec, to: Literal["earliest", "latest"] | datetime, /) -> int:
        if to != "latest":
            broker = self._session.broker
            capabilities(broker.retain).require(Power.REPLAY, f"seek of queue {queue.name!r}")
        return await self._ask(queue, lambda there: self._session.broker.content.seek(there, to))

    async def depth(self, queue: QueueSpec, /) -> Depth:
        return await self._ask(queue, ServerQueue.depth)

    async def purge(self, queue: QueueSpec, /) -> int:
        return await self._ask(queue, ServerQueue.purge)

    async def browse(self, queue: QueueSpec, limit: int | None, /) -> AsyncIterator[Envelope]:
        for envelope in await self._ask(queue, lambda there: there.waiting(limit)):
            yield envelope

    def native(self, kind: type[T], /) -> AbstractAsyncContextManager[T]:
        return self._native(kind)

    @asynccontextmanager
    async def _native(self, kind: type[T]) -> AsyncGenerator[T]:
        broker: object = self._session.broker
        if not isinstance(broker, kind):
            raise UnsupportedCapability(f"memory:// has no {kind.__qualname__} to lend; there is msgkit_memory.Broker")
        yield broker

    # -- helpers

    @property
    def connection(self) -> str:
        """What this connection is called where faults are done to it."""
        return self._session.client.connection

    @property
    def _session(self) -> Session:
        return self._live()[0]

    @property
    def _publisher(self) -> Publisher:
        return self._live()[1]

    def _live(self) -> tuple[Session, Publisher]:
        if self._connected is None:
            raise Closed("connect() comes first")
        return self._connected

    def _send_too_early(self, envelope: Envelope) -> "Future[Receipt]":
        return self._publisher.send(envelope)

    def _ask(self, queue: QueueSpec, ask: Callable[[ServerQueue], T]) -> "Future[T]":
        queues = self._session.broker.content.queues

        def find_and_ask() -> T:
            there = queues.get(queue.name)
            if there is None:
                raise TopologyMismatch(f"queue {queue.name!r} does not exist")
            return ask(there)

        return self._session.wire.request(find_and_ask)
