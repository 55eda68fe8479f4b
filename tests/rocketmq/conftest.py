"""The RocketMQs of these tests, each started once and ended when it is not needed any more."""

import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path

import pytest
import pytest_asyncio

from msgkit.brokers import register_binding
from msgkit.envelope import new_id
from msgkit.testing.brokers import RocketMQ, Unavailable
from msgkit_rocketmq.binding import RocketBinding
from msgkit_rocketmq.client.cluster import Cluster
from msgkit_rocketmq.client.connection import Door
from tests.brokers.requiring import unavailable
from tests.brokers.running import running
from tests.rocketmq.harness import RocketHarness
from tests.rocketmq.java import Java

register_binding("rocketmq", RocketBinding)

#: How brokers keep what they have lent, which their answers depend on.
KEEPING: Mapping[str, Mapping[str, object]] = {
    "plain": {},
    "kept": {"popConsumerKVServiceInit": "true", "popConsumerKVServiceEnable": "true"},
}
#: Sends nobody away who waited for a fifth of a second: it shares its machine with others that are started.
BUSY = {"waitTimeMillsInSendQueue": 10_000}
#: Writes down often how far groups have come: whoever makes one waits for that.
WRITING = {"flushConsumerOffsetInterval": 250}
#: Asks about half messages after a second, and not after thirty; and knows soon what was said of them.
ASKING = {"transactionTimeOut": 1000, "transactionCheckInterval": 1000, "transactionOpBatchInterval": 100}
#: Leaves senders time to decide, as brokers do that are set to nothing.
PATIENT = {**ASKING, "transactionTimeOut": 6000}
#: What the conformance suite runs on, on demand, until the binding passes it.
WANTED = list(filter(None, os.environ.get("MSGKIT_TEST_ROCKETMQS", "").split(",")))
_LATER = pytest.mark.skip(
    reason="this version serves no rocketmq:// yet; MSGKIT_TEST_ROCKETMQS=plain,kept runs what there is of the binding"
)


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Leave what takes a RocketMQ to those who ask for it, until the binding is served."""
    here = Path(__file__).parent
    for item in items:
        if not WANTED and here in item.path.parents and item.get_closest_marker("broker"):
            item.add_marker(_LATER)


@pytest.fixture(
    scope="package",
    params=[pytest.param(name, marks=pytest.mark.xdist_group(f"rocketmq-{name}")) for name in KEEPING],
)
def lending(request: pytest.FixtureRequest) -> Iterator[RocketMQ]:
    """A RocketMQ of each kind."""
    yield from running(RocketMQ(provider="process", config={**ASKING, **BUSY, **WRITING, **KEEPING[request.param]}))


@pytest.fixture(scope="package")
def patient() -> Iterator[RocketMQ]:
    """One that asks about half messages when their senders have had the usual time."""
    yield from running(RocketMQ(provider="process", config={**PATIENT, **WRITING}))


@pytest.fixture(scope="session")
def interop() -> Iterator[RocketMQ]:
    """A RocketMQ that msgkit shares with others."""
    yield from running(RocketMQ(provider="process", config=ASKING))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def java(interop: RocketMQ) -> AsyncIterator[Java]:
    java = Java(interop.url)
    try:
        await java.__aenter__()
    except Unavailable as error:
        unavailable("rocketmq", error)
    yield java
    await java.__aexit__()


@pytest.fixture
async def cluster(lending: RocketMQ) -> AsyncIterator[Cluster]:
    cluster = Cluster(Door(), lending.addresses)
    yield cluster
    await cluster.close()


@pytest.fixture
def name() -> str:
    """A name that nothing else has."""
    return f"t{new_id()}"


@pytest.fixture(
    scope="package",
    params=[pytest.param(name, id=name, marks=pytest.mark.xdist_group(f"rocketmq-checked-{name}")) for name in WANTED],
)
def checked(request: pytest.FixtureRequest) -> Iterator[RocketMQ]:
    """One behind a proxy."""
    config = {**PATIENT, **WRITING, **KEEPING[request.param]}
    yield from running(RocketMQ(provider="process", proxied=True, config=config))


@pytest.fixture
async def harness(checked: RocketMQ) -> AsyncIterator[RocketHarness]:
    async with RocketHarness(checked) as harness:
        yield harness
