"""One destination to send to, with options that hold for every message."""

from typing import Generic, Protocol, TypeVar, Unpack

from msgkit.envelope import Receipt
from msgkit.message import Message, SendOptions, check_send_options
from msgkit.template.sender import Sender
from msgkit.topology import Destination

__all__ = ["Handle"]

T = TypeVar("T")
R = TypeVar("R")


class _Template(Sender, Protocol):
    async def request(
        self, to: Destination[T], payload: T | Message[T], reply: type[R], /, **options: Unpack[SendOptions]
    ) -> R: ...


class Handle(Generic[T]):
    """Sends to one destination, with options that hold for all; those of a call go before them."""

    __slots__ = ("_destination", "_options", "_template")

    def __init__(self, template: _Template, destination: Destination[T], options: SendOptions) -> None:
        check_send_options(options, f"to({destination})")
        self._template = template
        self._destination = destination
        self._options = options

    async def send(self, payload: T | Message[T], /, **options: Unpack[SendOptions]) -> Receipt:
        return await self._template.send(self._destination, payload, **self._with(options))

    async def request(self, payload: T | Message[T], reply: type[R], /, **options: Unpack[SendOptions]) -> R:
        return await self._template.request(self._destination, payload, reply, **self._with(options))

    def _with(self, options: SendOptions) -> SendOptions:
        return {**self._options, **options}
