"""The Kafkas of these tests, each started once and ended when it is not needed any more, and one program in Java."""

import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from functools import partial

import pytest
import pytest_asyncio

from msgkit import Settings
from msgkit.envelope import new_id
from msgkit.testing.brokers import Kafka, Unavailable
from tests.brokers.requiring import unavailable
from tests.brokers.running import running
from tests.kafka.harness import KafkaHarness
from tests.kafka.permitting import guarding
from tests.kafka.plain import Plain
from tests.kafka.slow import Slow
from tests.kafka.spring import Spring

#: What the conformance suite can run on.
KAFKAS: Mapping[str, Callable[[], Kafka]] = {
    "process": partial(Kafka, provider="process", proxied=True),
    "newest": partial(Kafka, "4.3", provider="container", proxied=True),
    "cluster": partial(Kafka, nodes=3, provider="process", proxied=True),
}
#: It takes ten minutes on each: one here, the others on demand.
WANTED = os.environ.get("MSGKIT_TEST_KAFKAS", "process").split(",")


@pytest.fixture(scope="session")
def interop() -> Iterator[Kafka]:
    """A Kafka that msgkit shares with others."""
    yield from running(Kafka(provider="process"))


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


@pytest.fixture(scope="package")
def guarded() -> Iterator[Kafka]:
    """One that asks who comes: `create`, `verify` and `assume` may do what the page says of that mode."""
    yield from running(guarding(["create", "verify", "assume", "stranger", "mover"]))


@pytest.fixture(
    scope="package",
    params=[pytest.param(name, id=name, marks=pytest.mark.xdist_group(f"kafka-checked-{name}")) for name in WANTED],
)
def checked(request: pytest.FixtureRequest) -> Iterator[Kafka]:
    yield from running(KAFKAS[request.param]())


@pytest.fixture
async def slow(interop: Kafka) -> AsyncIterator[Slow]:
    slow = Slow(interop)
    await slow.refresh([])
    yield slow
    await slow.close()


@pytest.fixture
async def harness(checked: Kafka) -> AsyncIterator[KafkaHarness]:
    async with KafkaHarness(checked) as harness:
        yield harness
