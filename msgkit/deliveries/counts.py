"""What happened to a queue's messages here: counted for people, shown to tests."""

from typing import Protocol

from msgkit.envelope import Envelope

__all__ = ["Counts", "Observer"]


class Counts:
    """What happened to a queue's messages here."""

    __slots__ = ("dead", "dropped", "expired", "failed", "handled", "lost", "poison", "retried")

    def __init__(self) -> None:
        self.handled = self.failed = self.retried = self.dead = 0
        self.dropped = self.expired = self.lost = self.poison = 0

    def as_dict(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in self.__slots__}


class Observer(Protocol):
    """Sees what is given up: for tests."""

    def dead(self, queue: str, copy: Envelope, /) -> None: ...
