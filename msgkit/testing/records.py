"""What an application that is probed did, noted as the core tells of it."""

from collections.abc import Callable
from typing import Any

from msgkit.application import label
from msgkit.container import QueueRunner
from msgkit.dispatch import Handler
from msgkit.envelope import Envelope
from msgkit.errors import AlreadySettled, Closed, DeliveryLost
from msgkit.message import Delivery, Message

__all__ = ["Records", "plain"]


class Records:
    """Notes what is sent, handled and given up; an observer of the core's."""

    def __init__(self) -> None:
        self.sent: list[Envelope] = []
        #: When what was sent for later is due, by the loop's clock.
        self.due: list[float] = []
        self.handlings: list[tuple[Callable[..., object], Message[Any]]] = []
        #: What was given up, and the names of the queues on their brokers.
        self.letters: list[tuple[str, Envelope]] = []
        self._kept: dict[str, list[Delivery[Any]]] = {}

    def handled(self, handler: Handler, message: Message[Any], /) -> None:
        self.handlings.append((plain(handler.bound.handler), message))
        if isinstance(message, Delivery):
            self._kept.setdefault(label(handler.bound.spec.queue), []).append(message)

    def dead(self, queue: str, copy: Envelope, /) -> None:
        self.letters.append((queue, copy))

    def keeper(self, queue: str) -> QueueRunner | None:
        """Return who waits for deliveries of a queue that its handlers keep, to settle them later; None if none is."""
        kept = [(delivery, runner) for delivery in self._kept.get(queue, ()) if (runner := _runner_of(delivery))]
        self._kept[queue] = [delivery for delivery, _ in kept]
        return kept[0][1] if kept else None

    @property
    def length(self) -> tuple[int, int, int]:
        """How much was noted."""
        return len(self.sent), len(self.handlings), len(self.letters)


def plain(function: Callable[..., object]) -> Callable[..., object]:
    """Return the function of a method."""
    return getattr(function, "__func__", function)


def _runner_of(delivery: Delivery[Any]) -> QueueRunner | None:
    """Return who a delivery can be settled with, while it can be."""
    runner = delivery.settler
    if not isinstance(runner, QueueRunner):
        return None
    try:
        runner.enlist(delivery)
    except (AlreadySettled, DeliveryLost, Closed):
        return None
    return runner
