"""Whoever works on partitions, as those see it who give and take them."""

from collections.abc import Sequence
from typing import Protocol

from msgkit_kafka.orders import Order
from msgkit_kafka.wire.subscriptions import Partition

__all__ = ["Holder"]


class Holder(Protocol):
    """Whoever works on the partitions."""

    async def take(self, partitions: Sequence[Partition], /) -> None:
        """Begin with these; nobody else has them."""

    async def give_up(self, partition: Partition, /) -> None:
        """Finish what runs of it, and have the group know how far it came."""

    def lose(self, partitions: Sequence[Partition], why: str, /) -> None:
        """Forget these: they may be another's already."""

    def go_on(self, order: Order, /) -> None:
        """Hear where to go on, if that was not followed before."""

    def alarm(self, why: str | None, /) -> None:
        """Hear that nothing can be had, and why; or that it can again."""
