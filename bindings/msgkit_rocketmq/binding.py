"""The binding of RocketMQ."""

from asyncio import Future
from collections.abc import Callable

from msgkit.envelope import Envelope, Receipt
from msgkit.errors import Closed
from msgkit.spi import (
    Binding,
    BindingOptions,
    Capabilities,
    Consumer,
    Event,
    Plan,
    ProvisionMode,
    Sink,
    Subscription,
    Topology,
)
from msgkit_rocketmq.address import RocketSettings
from msgkit_rocketmq.session import Session

__all__ = ["RocketBinding"]


class RocketBinding(Binding):
    """A client of a RocketMQ: `rocketmq://host:9876,host:9876`."""

    def __init__(self, options: BindingOptions) -> None:
        super().__init__(options)
        self._settings = RocketSettings.parse(options.url, options.options)
        self._connected: Session | None = None

    async def connect(self, on_event: Callable[[Event], None]) -> Capabilities:
        session = Session(self._settings, self.options, on_event)
        found = await session.connect()
        self._connected = session
        return found

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

    # -- helpers

    @property
    def _session(self) -> Session:
        if self._connected is None:
            raise Closed("connect() comes first")
        return self._connected
