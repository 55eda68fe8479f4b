"""A cluster that does not say how a transaction ended before it is let."""

import asyncio
from typing import Any, TypeVar, cast

from msgkit.envelope import new_id
from msgkit.testing.brokers import Kafka
from msgkit_kafka.wire.api import Api
from msgkit_kafka.wire.cluster import Cluster
from msgkit_kafka.wire.connection import Door
from msgkit_kafka.wire.producers import END_TRANSACTION
from msgkit_kafka.wire.topics import CREATE_TOPICS, NewTopic, NewTopics

__all__ = ["Slow"]

Q = TypeVar("Q", bound=tuple[Any, ...])
A = TypeVar("A", bound=tuple[Any, ...])


class Slow(Cluster):
    """One that says how a transaction ends when it is let, and not before."""

    def __init__(self, broker: Kafka) -> None:
        super().__init__(Door(client="slow"), broker.addresses)
        self.is_asked, self.may_go_on = asyncio.Event(), asyncio.Event()

    async def ask(
        self, node: int, api: Api[Q, A], question: Q, *, purpose: str = "asking", patience: float | None = 0.0
    ) -> A:
        if api is cast("Api[Q, A]", END_TRANSACTION):
            self.is_asked.set()
            await self.may_go_on.wait()
        return await super().ask(node, api, question, purpose=purpose, patience=patience)

    async def new_topic(self) -> str:
        """Return one that has a single partition."""
        name = f"slow.{new_id()}"
        await self.ask_controller(CREATE_TOPICS, NewTopics([NewTopic(name, 1, 1, [], [])], 5_000), patience=5)
        await self.refresh([name])
        return name
