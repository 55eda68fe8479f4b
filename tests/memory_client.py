"""A bare client of the embedded broker: what the core is to it, cut down to what a test looks at."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Hashable, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

from msgkit.clock import SYSTEM, Clock
from msgkit.envelope import Envelope, Kind, new_id
from msgkit.settlement import ACCEPT
from msgkit.spi import (
    BindingOptions,
    Consumer,
    Depth,
    Event,
    ExchangeSpec,
    Plan,
    ProvisionMode,
    QueueSpec,
    RawDelivery,
    RawSettlement,
    Subscription,
    Topology,
)
from msgkit.testing.clock import VirtualClock
from msgkit_memory import Broker, MemoryBinding

__all__ = ["Bench", "Collector", "message", "pass_time", "topology", "turns", "until"]

_numbers = count(1)
_DEADLINE = 5.0


def message(body: str = "", to: str = "jobs", *, kind: Kind = Kind.QUEUE, **more: Any) -> Envelope:
    return Envelope(body.encode(), to, kind, more.pop("message_id", new_id()), **more)


def topology(*specs: QueueSpec | ExchangeSpec) -> Topology:
    return Topology(
        {spec.name: spec for spec in specs if isinstance(spec, ExchangeSpec)},
        {spec.name: spec for spec in specs if isinstance(spec, QueueSpec)},
    )


async def turns(number: int = 5) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def pass_time(clock: VirtualClock, seconds: float) -> None:
    """Let time pass step by step, so that what comes of one step can set the next."""
    end = clock.now() + seconds
    await turns()
    while (due := clock.next_due) is not None and due <= end:
        clock.advance_to(due)
        await turns()
    clock.advance_to(end)
    await turns()


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(_DEADLINE):
        while not happened():  # noqa: ASYNC110 -- what is waited for sets no event
            await asyncio.sleep(0)


class Collector:
    """A sink that keeps what comes, or settles it at once."""

    def __init__(self, *, settle: RawSettlement | None = None) -> None:
        self.got: list[RawDelivery] = []
        self.batches: list[int] = []
        self.lost_scopes: list[Hashable] = []
        self.events: list[Event] = []
        self.revoked: list[tuple[Hashable, float]] = []
        self.finish_revoked = asyncio.Event()
        self._settle = settle
        self.consumer: Consumer

    def deliver(self, batch: Sequence[RawDelivery], /) -> None:
        self.got.extend(batch)
        self.batches.append(len(batch))
        if self._settle is not None:
            for delivery in batch:
                assert self.consumer.settle(delivery, self._settle) is None
            self.consumer.credit(len(batch))

    def lost(self, scope: Hashable, /) -> None:
        self.lost_scopes.append(scope)

    async def revoke(self, scope: Hashable, deadline: float, /) -> None:
        self.revoked.append((scope, deadline))
        await self.finish_revoked.wait()

    def event(self, event: Event, /) -> None:
        self.events.append(event)

    @property
    def bodies(self) -> list[str]:
        return [delivery.envelope.body.decode() for delivery in self.got]

    async def has(self, number: int) -> list[RawDelivery]:
        """Wait for so many deliveries, and return all there are."""
        await until(lambda: len(self.got) >= number)
        return self.got

    async def take(self) -> RawDelivery:
        """Wait for the next delivery, and forget it here."""
        return (await self.has(1)).pop(0)

    def settle(self, delivery: RawDelivery, how: RawSettlement = ACCEPT) -> None:
        assert self.consumer.settle(delivery, how) is None


class Bench:
    """One connected client."""

    def __init__(self, binding: MemoryBinding) -> None:
        self.binding = binding
        self.events: list[Event] = []

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str | None = None, *, clock: Clock = SYSTEM, client: str = "test", wait: float = 5
    ) -> AsyncGenerator["Bench"]:
        url = url or f"memory://test-{next(_numbers)}?transient=true"
        options = BindingOptions(url=url, client=client, clock=clock, wait=wait)
        bench = cls(MemoryBinding(options))
        await bench.binding.connect(bench.events.append)
        try:
            yield bench
        finally:
            await bench.binding.close(1)

    @property
    def url(self) -> str:
        return self.binding.options.url

    @property
    def broker(self) -> Broker:
        return Broker.at(self.url)

    async def declare(self, *specs: QueueSpec | ExchangeSpec, mode: ProvisionMode = ProvisionMode.CREATE) -> Plan:
        return await self.binding.provision(topology(*specs), mode)

    async def consume(
        self,
        queue: QueueSpec,
        credit: int = 100,
        *,
        settle: RawSettlement | None = None,
        max_bytes: int = 1 << 26,
        sink: Collector | None = None,
    ) -> Collector:
        sink = sink or Collector(settle=settle)
        subscription = Subscription(queue=queue, max_in_flight=100, max_bytes=max_bytes)
        sink.consumer = await self.binding.subscribe(subscription, sink)
        sink.consumer.credit(credit)
        return sink

    async def send(self, body: str = "", to: str = "jobs", **more: Any) -> str:
        """Send, wait for the confirm, and return the message's id."""
        return (await self.binding.send(message(body, to, **more))).message_id

    async def depth(self, queue: QueueSpec) -> Depth:
        return await self.binding.depth(queue)
