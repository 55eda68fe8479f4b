"""The Kafkas of these tests, each started once, and one program in Java."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from msgkit import Settings
from msgkit.envelope import new_id
from msgkit.testing.brokers import Kafka, Provider, Unavailable
from tests.brokers.requiring import unavailable
from tests.kafka.harness import KafkaHarness
from tests.kafka.plain import Plain
from tests.kafka.spring import Spring


def _running(broker: Kafka) -> Iterator[Kafka]:
    """Start a broker for a whole session, or skip what needs it; end it with the session."""
    try:
        asyncio.run(broker.__aenter__())
    except Unavailable as error:
        unavailable(broker.name, error)
    yield broker
    asyncio.run(broker.__aexit__(None, None, None))


@pytest.fixture(scope="session")
def interop() -> Iterator[Kafka]:
    """A Kafka that msgkit shares with others."""
    yield from _running(Kafka(provider="process"))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def spring(interop: Kafka) -> AsyncIterator[Spring]:
    spring = Spring(interop.url)
    try:
        await spring.__aenter__()
    except Unavailable as error:
        unavailable("kafka", error)
    yield spring
    await spring.__aexit__()


@pytest.fixture
def plain(interop: Kafka) -> Plain:
    return Plain(interop.url)


@pytest.fixture
def settings(interop: Kafka) -> Settings:
    return Settings(url=interop.url)


@pytest.fixture
def name() -> str:
    """A name that nothing else has."""
    return f"interop.{new_id()}"


# -- for the conformance suite


def _each(purpose: str) -> list[object]:
    providers: tuple[Provider, ...] = ("process",)
    return [
        pytest.param(provider, id=provider, marks=pytest.mark.xdist_group(f"kafka-{purpose}-{provider}"))
        for provider in providers
    ]


@pytest.fixture(scope="session", params=_each("checked"))
def checked(request: pytest.FixtureRequest) -> Iterator[Kafka]:
    yield from _running(Kafka(provider=request.param, proxied=True))


@pytest.fixture
async def harness(checked: Kafka) -> AsyncIterator[KafkaHarness]:
    async with KafkaHarness(checked) as harness:
        yield harness
