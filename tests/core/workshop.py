"""What the tests of the core share: a broker for each of them alone, and one that can do less."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Unpack, cast

import pytest

from msgkit import Application, Destination, MessageTemplate, Settings
from msgkit.brokers import register_binding
from msgkit.errors import MessagingError
from msgkit.settings import SettingsValues
from msgkit.spi import BindingOptions, Capabilities, Consumer, Event, Power, Refused, Sink, Subscription, Support
from msgkit_memory import Broker, MemoryBinding

__all__ = ["Order", "Place", "at_rest", "fares", "holding", "narrow", "refusal_at_start", "until"]

_numbers = count(1)
_DEADLINE = 10.0


@dataclass(frozen=True)
class Order:
    """A payload of a user's."""

    id: int


class Place:
    """A broker that only one test knows."""

    def __init__(self) -> None:
        self.url = f"memory://core-{next(_numbers)}"

    def settings(self, **said: Unpack[SettingsValues]) -> Settings:
        values: SettingsValues = {"url": self.url, "drain": 1, **said}
        return Settings(**values)

    @asynccontextmanager
    async def template(self, *destinations: Destination[Any]) -> AsyncGenerator[MessageTemplate]:
        """Connect a template, with destinations that are there."""
        async with MessageTemplate(self.settings()) as template:
            await template.declare(*destinations)
            yield template

    @property
    def broker(self) -> Broker:
        return Broker.at(self.url)

    @property
    def waiting(self) -> int:
        """How many messages wait, in all queues together."""
        return sum(depth.ready + (depth.delayed or 0) for depth in self.broker.depths().values())

    @property
    def is_untouched(self) -> bool:
        """Has nobody connected, and nobody declared anything?"""
        return not self.broker.clients and not self.broker.depths()

    def forget(self) -> None:
        Broker.forget(self.url)


async def refusal_at_start(
    kind: type[MessagingError], place: Place, listeners: Sequence[object], **said: Unpack[SettingsValues]
) -> str:
    """Start what cannot start, see that nothing was begun, and return what is said."""
    app = Application(listeners, settings=place.settings(**said))
    with pytest.raises(kind) as caught:
        await app.__aenter__()
    assert (await app.health())["status"] == "stopped"
    assert place.is_untouched
    return str(caught.value)


async def fares(app: Application, queue: str) -> Mapping[str, Any]:
    """Return what an application tells of one of its queues."""
    health: Any = await app.health()
    return cast("Mapping[str, Any]", health["queues"][queue])


async def at_rest(app: Application, queue: str) -> None:
    """Wait until nothing is left to do in a queue at this time."""
    async with asyncio.timeout(_DEADLINE):
        while not (await fares(app, queue))["idle"]:  # noqa: ASYNC110 -- as below
            await asyncio.sleep(0.001)


async def until(happened: Callable[[], object]) -> None:
    """Wait for something, which may happen in another thread."""
    async with asyncio.timeout(_DEADLINE):
        while not happened():  # noqa: ASYNC110 -- it may happen in another thread, which sets no event
            await asyncio.sleep(0.001)


class _Narrow(MemoryBinding):
    """The embedded broker, without some of its powers."""

    def __init__(self, options: BindingOptions, without: Sequence[Power], limits: Mapping[str, Any]) -> None:
        super().__init__(options)
        self._without = without
        self._limits = limits

    async def connect(self, on_event: Callable[[Event], None]) -> Capabilities:
        whole = await super().connect(on_event)
        refused: dict[Power, Support] = {
            power: Refused("it was taken away", "use a broker that has it") for power in self._without
        }
        return replace(whole, powers={**whole.powers, **refused}, **self._limits)


class _HoldingConsumer:
    """A consumer whose retries the core holds in place."""

    holds = True

    def __init__(self, consumer: Consumer) -> None:
        self.credit = consumer.credit
        self.settle = consumer.settle
        self.drain = consumer.drain
        self.close = consumer.close


class _Holding(MemoryBinding):
    async def subscribe(self, subscription: Subscription, sink: Sink) -> Consumer:
        return _HoldingConsumer(await super().subscribe(subscription, sink))


def holding(place: Place) -> str:
    """Return another URL of a broker, for clients that hold ordered lanes themselves, as on Kafka."""
    scheme = f"holding{next(_numbers)}"

    def make(options: BindingOptions) -> _Holding:
        return _Holding(replace(options, url=place.url))

    register_binding(scheme, make)
    return f"{scheme}://"


def narrow(place: Place, *without: Power, **limits: Any) -> str:
    """Return another URL of a broker, for clients to which it has fewer powers."""
    scheme = f"narrow{next(_numbers)}"

    def make(options: BindingOptions) -> _Narrow:
        return _Narrow(replace(options, url=place.url), without, limits)

    register_binding(scheme, make)
    return f"{scheme}://"
