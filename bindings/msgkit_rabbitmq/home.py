"""The session, as a consumer sees it; and a consumer, as it is seen there."""

from collections.abc import Coroutine
from typing import Any, Protocol

from msgkit.spi.returns import Returns
from msgkit_rabbitmq.publisher import Publisher
from msgkit_rabbitmq.wire import Connection

__all__ = ["Guest", "Home"]


class Guest(Protocol):
    """A consumer that can be brought back."""

    @property
    def queue_name(self) -> str: ...
    @property
    def is_attached(self) -> bool: ...
    async def attach(self, connection: Connection, /) -> None:
        """Take part over a channel of its own.

        :raises TopologyMismatch: when the queue does not exist
        """


class Home(Protocol):
    """What all consumers of a client share, and whom they tell of trouble."""

    @property
    def publisher(self) -> Publisher: ...
    @property
    def returns(self) -> Returns: ...
    def bring_back(self, consumer: Guest, reason: str, /) -> None:
        """Attach a consumer again that lost its channel while the connection lives."""

    def spawn(self, work: Coroutine[Any, Any, None], /) -> None:
        """Do something in the background, that ends with the client at the latest."""

    def leave(self, consumer: Guest, /) -> None: ...
