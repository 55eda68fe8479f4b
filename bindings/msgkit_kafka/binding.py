"""The binding of Kafka."""

from asyncio import Future
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Literal, TypeVar

from msgkit.envelope import Envelope, Receipt
from msgkit.errors import Closed
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
    Sink,
    Subscription,
    Topology,
    Transaction,
)
from msgkit_kafka.address import KafkaSettings
from msgkit_kafka.capabilities import CAPABILITIES
from msgkit_kafka.lending import lend
from msgkit_kafka.session import Session

__all__ = ["KafkaBinding"]

T = TypeVar("T")


class KafkaBinding(Binding):
    """A client of a Kafka: `kafka://host:9092,host:9092`."""

    def __init__(self, options: BindingOptions) -> None:
        super().__init__(options)
        self._settings = KafkaSettings.parse(options.url, options.options)
        self._connected: Session | None = None

    async def connect(self, on_event: Callable[[Event], None]) -> Capabilities:
        session = Session(self._settings, self.options, on_event)
        await session.connect()
        self._connected = session
        return CAPABILITIES

    async def provision(self, topology: Topology, mode: ProvisionMode) -> Plan:
        return await self._session.provision(topology, mode)

    def send(self, envelope: Envelope) -> "Future[Receipt]":
        return self._session.publisher.send(envelope)

    def abandon(self, sent: "Future[Receipt]") -> bool:
        return self._session.publisher.abandon(sent)

    async def writable(self) -> None:
        await self._session.publisher.writable()

    async def subscribe(self, subscription: Subscription, sink: Sink) -> Consumer:
        return await self._session.subscribe(subscription, sink)

    async def close(self, deadline: float) -> None:
        if self._connected is not None:
            await self._connected.close(deadline)

    # -- the powers

    async def listen_for_replies(self, on_reply: Callable[[Envelope], None], /) -> str:
        return await self._session.listen_for_replies(on_reply)

    async def begin(self) -> Transaction:
        return self._session.transactions.begin()

    async def depth(self, queue: QueueSpec, /) -> Depth:
        return await self._session.depth(queue)

    def browse(self, queue: QueueSpec, limit: int | None, /) -> AsyncIterator[Envelope]:
        return self._session.browse(queue, limit)

    def native(self, kind: type[T], /) -> AbstractAsyncContextManager[T]:
        return lend(kind, self._settings, self.options.client)

    async def purge(self, queue: QueueSpec, /) -> int:
        return await self._session.purge(queue)

    async def seek(self, queue: QueueSpec, to: Literal["earliest", "latest"] | datetime, /) -> int:
        return await self._session.seek(queue, to)

    # -- helpers

    @property
    def _session(self) -> Session:
        if self._connected is None:
            raise Closed("connect() comes first")
        return self._connected
