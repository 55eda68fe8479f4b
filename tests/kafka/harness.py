"""The harness of Kafka: what only this broker can be made to do is added to what any can."""

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from types import TracebackType

from msgkit.testing.brokers import Kafka, Node
from msgkit.testing.conformance.real import BrokerHarness
from msgkit.topology import Queue
from msgkit_kafka.wire.cluster import Cluster
from msgkit_kafka.wire.connection import Door
from msgkit_kafka.wire.groups import DESCRIBE_GROUPS, GROUP, LEAVE_GROUP, DescribeGroups, Leave, Leaver
from tests.kafka.plain import Plain

__all__ = ["KafkaHarness"]

_log = logging.getLogger(__name__)


class KafkaHarness(BrokerHarness):
    """A Kafka of one broker, or a cluster."""

    def __init__(self, broker: Kafka, *, one_by_one: bool = False) -> None:
        super().__init__(broker, one_by_one=one_by_one)
        self._broker = broker

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await super().__aexit__(kind, error, trace)
        # One that was killed reads each partition before it answers: a thousand of them take minutes.
        try:
            await Plain(self.broker.url).delete_topics(but=("msgkit.", "__"))
        except Exception as failure:  # noqa: BLE001 -- a broker that a check left broken has failed that check already
            _log.warning("the topics of a check stay where they are: %r", failure)

    async def expire_leases(self, queue: Queue[str]) -> None:
        """Have each member of the queue's group taken for gone, as after a session without a sign of life."""
        async with self._asking() as cluster:
            coordinator = await cluster.coordinator(queue.name, GROUP)
            found = await cluster.ask(coordinator, DESCRIBE_GROUPS, DescribeGroups([queue.name]))
            members = [Leaver(each.member, None) for each in found.groups[0].members]
            await cluster.ask(coordinator, LEAVE_GROUP, Leave(queue.name, members))

    async def coordinator(self, queue: Queue[str]) -> Node:
        """Return the one that knows who is in the queue's group, and how far it is."""
        async with self._asking() as cluster:
            return self._broker.nodes[await cluster.coordinator(queue.name, GROUP) - 1]

    @asynccontextmanager
    async def _asking(self) -> AsyncGenerator[Cluster]:
        cluster = Cluster(Door(client="harness"), self._broker.addresses)
        try:
            await cluster.refresh([])
            yield cluster
        finally:
            await cluster.close()
