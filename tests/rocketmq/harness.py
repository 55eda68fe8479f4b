"""The harness of RocketMQ: what only this broker can be made to do is added to what any can."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from msgkit.spi import QueueSpec
from msgkit.testing.brokers import RocketMQ
from msgkit.testing.conformance.real import BrokerHarness
from msgkit.topology import Queue
from msgkit_rocketmq.client.cluster import Cluster
from msgkit_rocketmq.client.codes import Request
from msgkit_rocketmq.client.connection import Door
from msgkit_rocketmq.client.frames import Value
from msgkit_rocketmq.layout import Layout

__all__ = ["RocketHarness"]

#: Seconds after which what a killed process had in hand is handed out again.
_LEASE = 8
#: Seconds after which whoever had something has seen that it is over.
_MARGIN = 1.0


class RocketHarness(BrokerHarness):
    """A RocketMQ of one broker."""

    def __init__(self, broker: RocketMQ) -> None:
        super().__init__(broker)
        self._broker = broker

    @property
    def url(self) -> str:
        return f"{self.broker.url}?lease={_LEASE}"

    async def expire_leases(self, queue: Queue[str]) -> None:
        """Keep everybody from renewing anything for longer than a lease, as a network does that is gone."""
        del queue
        for proxy in self.proxies:
            await proxy.black_hole()
        await asyncio.sleep(_LEASE + _MARGIN)
        for proxy in self.proxies:
            await proxy.heal()

    async def outstay(self, queue: Queue[str]) -> None:
        """Sweep the queue while its client is away."""
        group = Layout().group_of(QueueSpec(name=queue.name, anonymous=True))
        for proxy in self.proxies:
            await proxy.refuse()
            await proxy.cut()
        async with self._asking() as cluster:
            fields: dict[str, Value] = {"groupName": group, "cleanOffset": True}
            await cluster.ask(self._broker.nodes[0].direct, Request.DELETE_SUBSCRIPTIONGROUP, fields)
        for proxy in self.proxies:
            await proxy.heal()

    @asynccontextmanager
    async def _asking(self) -> AsyncGenerator[Cluster]:
        cluster = Cluster(Door(), self._broker.addresses)
        try:
            yield cluster
        finally:
            await cluster.close()
