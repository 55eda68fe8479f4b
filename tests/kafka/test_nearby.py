"""Reading from a replica nearby, where the brokers are set to choose one."""

import asyncio
from collections.abc import Iterator, Mapping

import pytest

from msgkit import Application, Exchange, Settings, listener
from msgkit.envelope import new_id
from msgkit.testing.brokers import Kafka
from msgkit.testing.brokers.nodes import Node
from msgkit.testing.brokers.programs import Host
from msgkit.testing.brokers.supply import Supply
from tests.brokers.running import running

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.xdist_group("kafka-nearby")]

SELECTOR = "org.apache.kafka.common.replica.RackAwareReplicaSelector"


class Apart(Kafka):
    """Each broker stands in a rack of its own: `1`, `2`, `3`."""

    def _node(self, host: Host, supply: Supply, cluster: str, number: int, controllers: Mapping[int, int]) -> Node:
        self._config = {"replica.selector.class": SELECTOR, "broker.rack": str(number)}
        return super()._node(host, supply, cluster, number, controllers)


@pytest.fixture(scope="module")
def apart() -> Iterator[Kafka]:
    yield from running(Apart(provider="process", nodes=3))


async def test_all_is_read_wherever_the_reader_stands_and_also_when_his_replica_is_gone(apart: Kafka) -> None:
    orders = Exchange(new_id(), str)
    billing = orders.queue(f"{orders.name}.billing")
    handled: asyncio.Queue[str] = asyncio.Queue()

    @listener(billing)
    async def bill(order: str) -> None:
        handled.put_nowait(order)

    settings = Settings(url=f"{apart.url}?rack=2")
    async with Application([bill], settings=settings) as app, asyncio.timeout(120):
        expected = {f"{number}" for number in range(40)}
        await app.template.send_many(orders, sorted(expected))
        assert {await handled.get() for _ in expected} == expected
        await apart.nodes[1].kill()
        await app.template.send_many(orders, sorted(expected))
        assert {await handled.get() for _ in expected} == expected
