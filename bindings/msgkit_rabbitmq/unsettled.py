"""What a channel has brought and not been told the end of."""

from collections.abc import Iterator
from itertools import takewhile

from msgkit.spi import RawDelivery
from msgkit_rabbitmq.wire import Channel

__all__ = ["Unsettled"]


class Unsettled:
    """Delivery tags in their order: with what the core was handed, or None while it was not."""

    __slots__ = ("_accepted", "_open")

    def __init__(self) -> None:
        self._open: dict[int, RawDelivery | None] = {}
        self._accepted: set[int] = set()

    def is_in_hand(self, tag: int, raw: RawDelivery) -> bool:
        """Is it this delivery, of all by which the core had the message, that is to be settled?"""
        return self._open.get(tag) is raw and tag not in self._accepted

    def came(self, tag: int) -> None:
        self._open[tag] = None

    def handed(self, tag: int, raw: RawDelivery) -> None:
        self._open[tag] = raw

    def took_back(self, tag: int) -> None:
        """Have it be as one that was not handed over yet."""
        self._open[tag] = None

    def went_back(self, tag: int) -> None:
        del self._open[tag]

    def accept(self, tag: int) -> None:
        self._accepted.add(tag)

    def in_hand(self) -> Iterator[RawDelivery]:
        """Return what the core has and has not accepted."""
        return (raw for tag, raw in self._open.items() if raw is not None and tag not in self._accepted)

    def acknowledge(self, channel: Channel) -> None:
        """Tell the broker what was accepted: of the oldest, all by one frame."""
        accepted, left = self._accepted, self._open
        if not accepted:
            return
        oldest = list(takewhile(accepted.__contains__, left))
        if oldest:
            channel.ack(oldest[-1], multiple=len(oldest) > 1)
        for tag in oldest:
            del left[tag]
        if len(oldest) < len(accepted):
            for tag in accepted.difference(oldest):
                channel.ack(tag)
                del left[tag]
        accepted.clear()

    def clear(self) -> None:
        self._open.clear()
        self._accepted.clear()
