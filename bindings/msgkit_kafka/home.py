"""The session, as a consumer sees it."""

from asyncio import Task
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Protocol

from msgkit.spi import QueueSpec
from msgkit_kafka.address import KafkaSettings
from msgkit_kafka.fetching import Fetcher
from msgkit_kafka.publisher import Publisher
from msgkit_kafka.transacting import Producers
from msgkit_kafka.wire.cluster import Cluster
from msgkit_kafka.wire.subscriptions import Partition

__all__ = ["Home"]


class Home(Protocol):
    """What all consumers of a client share, and whom they tell of trouble."""

    @property
    def settings(self) -> KafkaSettings: ...
    @property
    def cluster(self) -> Cluster: ...
    @property
    def fetcher(self) -> Fetcher: ...
    @property
    def publisher(self) -> Publisher: ...
    @property
    def producers(self) -> Producers: ...
    def group_of(self, queue: QueueSpec, /) -> str: ...
    def instance_in(self, group: str, /) -> str | None:
        """Return whose place one may take in a group: of two with one name, one would throw out the other."""

    async def begins(self, group: str, partitions: Sequence[Partition], /) -> Mapping[Partition, int]:
        """Return where a group begins that has come nowhere yet."""
        ...

    def alarm(self, consumer: object, queue: str, why: str | None, /) -> None:
        """Hear that a queue's consumer gets nothing, and why; or that it does again."""

    def spawn(self, work: Coroutine[Any, Any, None], /) -> Task[None]:
        """Do something in the background, that ends with the client at the latest."""
        ...

    def leave(self, consumer: object, /) -> None: ...
