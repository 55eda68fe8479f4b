"""Real brokers for these tests: each kind from each provider, started once and hurt by many."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import TypeVar

import pytest

from msgkit.testing.brokers import Broker, Kafka, Provider, RabbitMQ, RocketMQ, Unavailable
from tests.brokers.requiring import unavailable

B = TypeVar("B", bound=Broker)

KINDS: tuple[type[Broker], ...] = (RabbitMQ, Kafka, RocketMQ)
PROVIDERS: tuple[Provider, ...] = ("container", "process")


@asynccontextmanager
async def started(broker: B) -> AsyncGenerator[B]:
    """Start a broker, or skip the test where it cannot be had."""
    try:
        await broker.__aenter__()
    except Unavailable as error:
        unavailable(broker.name, error)
    try:
        yield broker
    finally:
        await broker.__aexit__(None, None, None)


def _each() -> Iterator[object]:
    for kind in KINDS:
        for provider in PROVIDERS:
            name = f"{kind.name}-{provider}"
            # One worker has them all, and starts the broker once.
            yield pytest.param((kind, provider), id=name, marks=pytest.mark.xdist_group(name))


@pytest.fixture(scope="package", params=list(_each()))
def shared(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """A broker with a proxy before it, which is found well by each test and left so."""
    kind, provider = request.param
    broker = kind(provider=provider, proxied=True)
    try:
        asyncio.run(broker.__aenter__())
    except Unavailable as error:
        unavailable(kind.name, error)
    yield broker
    asyncio.run(broker.__aexit__(None, None, None))


@pytest.fixture
async def hurt(shared: Broker) -> AsyncIterator[Broker]:
    """The same, made well again after each test."""
    yield shared
    await shared.proxy.heal()
    await shared.resume()
    await shared.start()
