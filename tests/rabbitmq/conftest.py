"""One RabbitMQ and one Spring program for all tests of interoperation."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from msgkit import Settings
from msgkit.envelope import new_id
from msgkit.testing.brokers import RabbitMQ, Unavailable
from tests.brokers.requiring import unavailable
from tests.rabbitmq.plain import Plain
from tests.rabbitmq.spring import Spring


@pytest.fixture(scope="session")
def interop() -> Iterator[RabbitMQ]:
    """A RabbitMQ that msgkit shares with others."""
    broker = RabbitMQ(provider="process")
    try:
        asyncio.run(broker.__aenter__())
    except Unavailable as error:
        unavailable("rabbitmq", error)
    yield broker
    asyncio.run(broker.__aexit__(None, None, None))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def spring(interop: RabbitMQ) -> AsyncIterator[Spring]:
    spring = Spring(interop.url)
    try:
        await spring.__aenter__()
    except Unavailable as error:
        unavailable("rabbitmq", error)
    yield spring
    await spring.__aexit__()


@pytest.fixture
def plain(interop: RabbitMQ) -> Plain:
    return Plain(interop.url)


@pytest.fixture
def settings(interop: RabbitMQ) -> Settings:
    return Settings(url=interop.url)


@pytest.fixture
def name() -> str:
    """A name that nothing else has."""
    return f"interop.{new_id()}"
