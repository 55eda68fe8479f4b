"""Real brokers for these tests: each kind from each provider, started once and hurt by many."""

from collections.abc import AsyncIterator, Iterator
from typing import TypeVar

import pytest

from msgkit.testing.brokers import Broker, Kafka, Provider, RabbitMQ, RocketMQ
from tests.brokers.running import running

B = TypeVar("B", bound=Broker)

KINDS: tuple[type[Broker], ...] = (RabbitMQ, Kafka, RocketMQ)
PROVIDERS: tuple[Provider, ...] = ("container", "process")


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
    yield from running(kind(provider=provider, proxied=True))


@pytest.fixture
async def hurt(shared: Broker) -> AsyncIterator[Broker]:
    """The same, made well again after each test."""
    yield shared
    await shared.proxy.heal()
    await shared.resume()
    await shared.start()
