"""A listener that keeps whatever it is given, for what the ledger does not know."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar, Unpack, cast

from msgkit.listener import ListenerOptions, listener
from msgkit.message import Message
from msgkit.testing.conformance.lab import Lab
from msgkit.topology import Queue

__all__ = ["Kept"]

T = TypeVar("T")


class Kept(Generic[T]):
    """Accepts every message of a queue, of any payload type; `function` is what is listed."""

    def __init__(self, lab: Lab, queue: Queue[Any], kind: type[T], **options: Unpack[ListenerOptions]) -> None:
        self.queue = queue
        self.messages: list[Message[T]] = []
        self._lab = lab
        self.function: Callable[..., object] = listener(queue, **options)(self._keeping(kind))

    def _keeping(self, kind: type[T]) -> Callable[..., object]:
        async def keeps(message: Message[Any]) -> None:
            self.messages.append(message)
            self._lab.journal.pulse()

        # Read at run time, as every handler's are.
        keeps.__annotations__["message"] = cast("Any", Message)[kind]
        return keeps

    @property
    def payloads(self) -> list[T]:
        """In the order of their arrival."""
        return [message.payload for message in self.messages]

    async def gets(self, n: int) -> list[Message[T]]:
        """Return what came, as soon as it is so many."""
        what = f"{n} messages of {self.queue.name}"
        await self._lab.until(lambda: len(self.messages) >= n, what)
        return self.messages

    async def gets_just(self, n: int) -> list[Message[T]]:
        """Return what came, once it is so many, the broker has no more, and none comes late."""
        await self.gets(n)
        await self._lab.quiet()
        assert len(self.messages) == n, f"{self.queue.name} got {self.payloads}, {n} were due"
        await self._lab.until(lambda: self._lab.is_settled(self.queue), "all of it settled")
        return self.messages
