"""The session, as a consumer sees it."""

from asyncio import Task
from collections.abc import Coroutine
from typing import Any, Protocol

from msgkit.spi import QueueSpec
from msgkit.spi.returns import Returns
from msgkit_rocketmq.address import RocketSettings
from msgkit_rocketmq.client.cluster import Cluster
from msgkit_rocketmq.client.popping import Popping
from msgkit_rocketmq.layout import Layout
from msgkit_rocketmq.publisher import Publisher

__all__ = ["Home"]


class Home(Protocol):
    """What all consumers of a client share, and whom they tell of trouble."""

    @property
    def settings(self) -> RocketSettings: ...
    @property
    def cluster(self) -> Cluster: ...
    @property
    def popping(self) -> Popping: ...
    @property
    def publisher(self) -> Publisher: ...
    @property
    def layout(self) -> Layout: ...
    @property
    def returns(self) -> Returns: ...
    @property
    def has_newer_returns(self) -> bool:
        """Is whoever waits for what is new told of what comes back, too?"""
        ...

    def alarm(self, queue: str, why: str, /) -> None:
        """Hear that something of a queue cannot be handled, and why."""

    def spawn(self, work: Coroutine[Any, Any, None], /) -> Task[None]:
        """Do something in the background, that ends with the client at the latest."""
        ...

    async def revive(self, queue: QueueSpec, /) -> None:
        """Make an anonymous queue again that was taken away; then it begins at the end, and all hear of the gap.

        :raises ClientError: when it cannot be found out whether it is there
        """

    async def leave(self, queue: QueueSpec, consumer: object, /) -> None:
        """Forget a consumer, and its queue if that is anonymous."""
