"""Clients as the server knows them: whose loop to call on, and what is theirs."""

from asyncio import AbstractEventLoop, get_running_loop
from collections.abc import Callable, Sequence
from contextvars import Context, copy_context
from itertools import count
from typing import Protocol

from msgkit.envelope import Envelope
from msgkit_memory.queues import Taker

__all__ = ["Answer", "Client", "ClientEars"]

_numbers = count(1)

#: What became of a half message.
Answer = Callable[[bool | None], None]


class ClientEars(Protocol):
    """What a client is told, on its own loop and outside the lock."""

    def went_down(self, reason: str, /) -> None:
        """Hear that the connection is lost."""
        ...

    def calmed(self) -> None:
        """Go on with what was held up."""
        ...

    def arm(self) -> None:
        """See when the server is due next."""
        ...

    def replied(self) -> None:
        """See what replies there are."""
        ...

    def asked(self, check: str, envelope: Envelope, answer: Answer, /) -> None:
        """Find out what became of a half message."""
        ...


class Client:
    """One connection. What changes here changes under the server's lock."""

    __slots__ = (
        "address",
        "anonymous",
        "arming",
        "banned",
        "checks",
        "clear",
        "connected",
        "connection",
        "context",
        "ears",
        "loop",
        "name",
        "replies",
        "takers",
    )

    def __init__(self, name: str, loop: AbstractEventLoop, ears: ClientEars) -> None:
        self.name = name
        self.connection = f"{name}-{next(_numbers)}"
        self.loop = loop
        self.ears = ears
        # Whoever sends wakes whoever receives: without a context of its own, the
        # receiver would run in the sender's.
        self.context: Context = copy_context()
        self.connected = False
        #: May requests be performed at once, with no look at anything else?
        self.clear = False
        self.banned = False
        self.arming = False
        self.takers: list[Taker] = []
        self.anonymous: set[str] = set()
        self.checks: Sequence[str] = ()
        self.address: str | None = None
        self.replies: list[Envelope] = []

    def post(self, callback: Callable[[], object]) -> bool:
        """Have something called on the client's loop; False when that loop is closed."""
        loop = self.loop
        if _runs_here(loop):
            loop.call_soon(callback, context=self.context)
            return True
        try:
            loop.call_soon_threadsafe(callback, context=self.context)
        except RuntimeError:
            if not loop.is_closed():
                raise
            return False
        return True

    def rearm(self) -> bool:
        """Have it look at the time, once a turn of its loop; False when that is closed."""
        if not self.arming:
            self.arming = self.post(self.ears.arm)
        return self.arming


def _runs_here(loop: AbstractEventLoop) -> bool:
    try:
        return get_running_loop() is loop
    except RuntimeError:
        return False
