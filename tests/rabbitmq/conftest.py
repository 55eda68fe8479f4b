"""The RabbitMQs of these tests, each started once, and one Spring program."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from msgkit import Settings
from msgkit.envelope import new_id
from msgkit.testing.brokers import Provider, RabbitMQ, Unavailable
from tests.brokers.requiring import unavailable
from tests.brokers.running import running
from tests.rabbitmq.clearing import clear
from tests.rabbitmq.harness import RabbitHarness
from tests.rabbitmq.plain import Plain
from tests.rabbitmq.spring import Spring
from tests.rabbitmq.trouble import MOST_BYTES


@pytest.fixture(scope="session")
def interop() -> Iterator[RabbitMQ]:
    """A RabbitMQ that msgkit shares with others."""
    broker = RabbitMQ(provider="process")
    yield from running(broker)


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


# -- in trouble: the oldest version that is supported, and the newest


def _each(purpose: str) -> list[object]:
    """Return the two; one worker has all tests of one, and starts it once."""
    providers: tuple[Provider, ...] = ("process", "container")
    return [
        pytest.param(provider, id=provider, marks=pytest.mark.xdist_group(f"rabbitmq-{purpose}-{provider}"))
        for provider in providers
    ]


@pytest.fixture(scope="package", params=_each("trouble"))
def troubled(request: pytest.FixtureRequest) -> Iterator[RabbitMQ]:
    """A RabbitMQ that things are done to; each test has names of its own there."""
    config = {"max_message_size": MOST_BYTES}
    broker = RabbitMQ(provider=request.param, proxied=True, management=True, config=config)
    yield from running(broker)


@pytest.fixture
async def broker(troubled: RabbitMQ) -> AsyncIterator[RabbitMQ]:
    """The same, left as it was found."""
    yield troubled
    await troubled.proxy.heal()
    await troubled.resume()
    await troubled.start()
    await clear(troubled.management_url)


# -- for the conformance suite, and what else the ledger judges


@pytest.fixture(scope="package", params=_each("checked"))
def checked(request: pytest.FixtureRequest) -> Iterator[RabbitMQ]:
    """The oldest version that is supported, and the newest."""
    broker = RabbitMQ(provider=request.param, proxied=True, management=True)
    yield from running(broker)


@pytest.fixture
async def harness(checked: RabbitMQ) -> AsyncIterator[RabbitHarness]:
    # Routes can be seen on one of the two, so that it is checked what happens where they cannot.
    async with RabbitHarness(checked, management=checked.provider == "process") as harness:
        yield harness
