"""Taking the orders of a queue, whoever sent them."""

from collections.abc import Awaitable, Callable
from typing import Any

from msgkit import Message, Queue, listener
from tests.interop.inbox import Inbox
from tests.interop.shop import OrderPlaced

__all__ = ["taking"]


def taking(queue: Queue[Any]) -> tuple[Callable[[Message[OrderPlaced]], Awaitable[None]], Inbox[Message[OrderPlaced]]]:
    """Return a listener that takes orders with all that was said of them, and where they are then."""
    got = Inbox[Message[OrderPlaced]]()

    @listener(queue)
    async def work(message: Message[OrderPlaced]) -> None:
        got.put(message)

    return work, got
