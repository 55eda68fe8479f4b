"""Deliveries for calling a handler by hand."""

from typing import Any, TypeVar, cast

from msgkit.envelope import Envelope, Kind, Receipt, new_id
from msgkit.errors import AlreadySettled
from msgkit.message import Delivery
from msgkit.settlement import Settlement
from msgkit.values import Seconds

__all__ = ["ByHand", "delivery"]

T = TypeVar("T")


class ByHand:
    """Remembers how a delivery was settled, how long it was extended, and what was replied."""

    def __init__(self) -> None:
        self.settled: Settlement | None = None
        self.extended: list[Seconds] = []
        self.replies: list[object] = []

    async def settle(self, delivery: Delivery[Any], how: Settlement, /) -> None:
        if self.settled is not None:
            msg = f"message {delivery.id} is settled already; a delivery ends once"
            raise AlreadySettled(msg)
        self.settled = how

    async def extend(self, _delivery: Delivery[Any], by: Seconds, /) -> None:
        self.extended.append(by)

    async def reply(self, delivery: Delivery[Any], payload: object, /) -> Receipt:
        self.replies.append(payload)
        return Receipt(new_id(), delivery.reply_to or "test")


def delivery(payload: T, /, *, attempt: int = 1) -> Delivery[T]:
    """Return a delivery that no broker sent; its `settler` is a `ByHand` that remembers what was done with it."""
    envelope = Envelope(body=b"", destination="test", kind=Kind.QUEUE, message_id=new_id(), attempt=attempt)
    return cast("Delivery[T]", Delivery.taken(payload, envelope, ByHand(), None))
