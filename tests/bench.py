"""A client seen from below the public face: a binding as the core sees it, on a real broker."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from msgkit.brokers import binding_for
from msgkit.envelope import Envelope, Kind, Receipt, new_id
from msgkit.spi import (
    Binding,
    BindingOptions,
    Consumer,
    Depth,
    Event,
    ExchangeSpec,
    Inspectable,
    Plan,
    ProvisionMode,
    QueueSpec,
    RawDelivery,
    RawSettlement,
    Replies,
    Subscription,
    Topology,
)

__all__ = ["Bench", "Taker", "message", "topology"]

_PATIENCE = 20.0


def message(body: str | bytes = "", to: str = "", *, kind: Kind = Kind.QUEUE, **more: Any) -> Envelope:
    content = body.encode() if isinstance(body, str) else body
    return Envelope(content, to, kind, more.pop("message_id", new_id()), **more)


def topology(*specs: QueueSpec | ExchangeSpec) -> Topology:
    return Topology(
        {spec.name: spec for spec in specs if isinstance(spec, ExchangeSpec)},
        {spec.name: spec for spec in specs if isinstance(spec, QueueSpec)},
    )


class Taker:
    """A sink that hands out what came, one by one, and tells of events."""

    def __init__(self) -> None:
        self._waiting = asyncio.Queue[RawDelivery]()
        self.events = asyncio.Queue[Event]()
        self.consumer: Consumer

    async def take(self) -> RawDelivery:
        async with asyncio.timeout(_PATIENCE):
            return await self._waiting.get()

    @property
    def has_some(self) -> bool:
        return not self._waiting.empty()

    async def take_all(self, number: int) -> list[RawDelivery]:
        return [await self.take() for _ in range(number)]

    async def settle(self, delivery: RawDelivery, how: RawSettlement) -> None:
        settled = self.consumer.settle(delivery, how)
        self.consumer.credit(1)
        if settled is not None:
            await settled

    def deliver(self, batch: Sequence[RawDelivery], /) -> None:
        for delivery in batch:
            self._waiting.put_nowait(delivery)

    def lost(self, _scope: object, /) -> None:
        return None

    async def revoke(self, _scope: object, _deadline: float, /) -> None:
        return None

    def event(self, event: Event, /) -> None:
        self.events.put_nowait(event)


class Bench:
    """One connected client, seen from below."""

    def __init__(self, binding: Binding) -> None:
        self.binding = binding
        self.events = asyncio.Queue[Event]()

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, *, wait: float = 20, patience: float = 5, options: Mapping[str, object] | None = None
    ) -> AsyncGenerator["Bench"]:
        bench = cls(binding_for(url)(BindingOptions(url=url, client="trouble", wait=wait, options=options or {})))
        try:
            await bench.binding.connect(bench.events.put_nowait)
            yield bench
        finally:
            await bench.binding.close(patience)

    async def declare(self, *specs: QueueSpec | ExchangeSpec, mode: ProvisionMode = ProvisionMode.CREATE) -> Plan:
        return await self.binding.provision(topology(*specs), mode)

    async def send(self, body: str | bytes, to: str, **more: Any) -> Receipt:
        async with asyncio.timeout(_PATIENCE):
            return await self.binding.send(message(body, to, **more))

    async def depth(self, queue: QueueSpec) -> Depth:
        assert isinstance(self.binding, Inspectable)
        return await self.binding.depth(queue)

    async def listen(self, on_reply: Callable[[Envelope], None]) -> str:
        assert isinstance(self.binding, Replies)
        return await self.binding.listen_for_replies(on_reply)

    async def consume(self, queue: QueueSpec, credit: int = 100) -> Taker:
        taker = Taker()
        taker.consumer = await self.binding.subscribe(Subscription(queue=queue, max_in_flight=credit), taker)
        taker.consumer.credit(credit)
        return taker
