"""The binding: what an application knows of a shelf."""

import asyncio
from asyncio import Future
from collections.abc import Callable
from types import MappingProxyType
from typing import ClassVar
from urllib.parse import parse_qsl, urlsplit

from msgkit.envelope import Envelope, Receipt
from msgkit.errors import SendRefused, UnknownSetting, Unroutable
from msgkit.spi import (
    NATIVE,
    Binding,
    BindingOptions,
    Capabilities,
    Consumer,
    Depth,
    Event,
    Order,
    Plan,
    Power,
    ProvisionMode,
    QueueSpec,
    Shared,
    Sink,
    Subscription,
    Topology,
)
from samples.shelf.broker import Shelf
from samples.shelf.consumer import ShelfConsumer
from samples.shelf.provisioning import provision

__all__ = ["ShelfBinding"]

# What is not named among the powers is refused: an order, a delay, a request.
_CAPABILITIES = Capabilities(
    broker="shelf",
    durable=False,
    shared=Shared.PROCESS,
    order=Order.NONE,
    powers=MappingProxyType({Power.INSPECT: NATIVE}),
)


class ShelfBinding(Binding):
    _shelves: ClassVar[dict[str, Shelf]] = {}

    def __init__(self, options: BindingOptions) -> None:
        super().__init__(options)
        for name in (*options.options, *dict(parse_qsl(urlsplit(options.url).query))):
            raise UnknownSetting(f"shelf:// has no option {name!r}")
        self._shelf = self._shelves.setdefault(options.url, Shelf())
        self._is_open = False

    async def connect(self, on_event: Callable[[Event], None]) -> Capabilities:
        # Nothing ever happens to the connection: there is none.
        del on_event
        self._is_open = True
        return _CAPABILITIES

    async def provision(self, topology: Topology, mode: ProvisionMode) -> Plan:
        if mode is ProvisionMode.PRUNE:
            _CAPABILITIES.require(Power.PRUNE, "provision(PRUNE)")
        return provision(self._shelf, topology, mode)

    def send(self, envelope: Envelope) -> "Future[Receipt]":
        sent: Future[Receipt] = asyncio.get_running_loop().create_future()
        if not self._is_open:
            sent.set_exception(SendRefused("the binding is closed"))
            return sent
        try:
            self._shelf.store(envelope)
        except Unroutable as error:
            sent.set_exception(error)
        else:
            sent.set_result(Receipt(envelope.message_id, envelope.destination, self.options.name))
        return sent

    def abandon(self, sent: "Future[Receipt]") -> bool:
        # A send is done before anybody can wait for it.
        del sent
        return False

    async def writable(self) -> None:
        return

    async def subscribe(self, subscription: Subscription, sink: Sink) -> Consumer:
        queue = self._shelf.queues[subscription.queue.name]
        return ShelfConsumer(self._shelf, queue, sink, subscription.max_bytes)

    async def close(self, deadline: float) -> None:
        del deadline
        self._is_open = False

    # -- the one power: Inspectable

    async def depth(self, queue: QueueSpec, /) -> Depth:
        there = self._shelf.queues[queue.name]
        return Depth(ready=len(there.waiting), unsettled=there.unsettled, delayed=there.later)

    async def purge(self, queue: QueueSpec, /) -> int:
        there = self._shelf.queues[queue.name]
        purged = len(there.waiting)
        there.waiting.clear()
        return purged
