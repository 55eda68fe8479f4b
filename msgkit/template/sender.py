"""What a service asks for to send: the least that all senders have in common."""

from asyncio import Future
from collections.abc import Sequence
from typing import Protocol, TypeVar, Unpack, runtime_checkable

from msgkit.envelope import Receipt
from msgkit.message import Message, SendOptions
from msgkit.topology import Destination

__all__ = ["Pipeline", "Prepared", "Sender"]

T = TypeVar("T")


@runtime_checkable
class Sender(Protocol):
    """Sends: a template, or a transaction."""

    async def send(self, to: Destination[T], payload: T | Message[T], /, **options: Unpack[SendOptions]) -> Receipt:
        """Return when the broker has stored the message.

        :raises SendRefused: when the broker does not have it
        :raises SendUnknown: when the broker may have it
        """
        ...

    async def send_many(
        self,
        to: Destination[T],
        payloads: Sequence[T | Message[T]],
        /,
        **options: Unpack[SendOptions],
    ) -> list[Receipt]:
        """Return when the broker has stored all of them, in this order for each key.

        :raises ExceptionGroup: of the failures, when some were not confirmed; the others were
        """
        ...


class Pipeline(Protocol):
    """Sends without waiting for each confirmation; leaving it waits for all."""

    async def send(
        self, to: Destination[T], payload: T | Message[T], /, **options: Unpack[SendOptions]
    ) -> "Future[Receipt]":
        """Return when the message is on its way, and there is room for the next."""
        ...


class Prepared(Protocol):
    """A stored message that nobody sees until it is committed."""

    async def commit(self) -> Receipt: ...
    async def roll_back(self) -> None: ...
