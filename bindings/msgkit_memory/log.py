"""What was sent lately, for queues that begin earlier or go back."""

from collections import deque
from collections.abc import Iterable, Iterator
from heapq import merge

from msgkit.envelope import Envelope

__all__ = ["RETAIN", "RETAIN_BYTES", "Log", "merged", "sent_at"]

#: Messages that each destination keeps, unless its URL says otherwise; and bytes of them, at most.
RETAIN = 1_000
RETAIN_BYTES = 8 * 1024 * 1024


class Log:
    """The latest messages of one destination; bounded twice, in number and in bytes."""

    __slots__ = ("_bytes", "_kept", "_retain")

    def __init__(self, retain: int) -> None:
        self._kept: deque[Envelope] = deque()
        self._retain = retain
        self._bytes = 0

    def append(self, envelope: Envelope) -> None:
        kept = self._kept
        kept.append(envelope)
        self._bytes += len(envelope.body)
        while len(kept) > self._retain or self._bytes > RETAIN_BYTES:
            self._bytes -= len(kept.popleft().body)

    def since(self, moment: float | None) -> Iterator[Envelope]:
        """Look from a time of sending on; from the oldest when None."""
        for envelope in self._kept:
            if moment is None or sent_at(envelope) >= moment:
                yield envelope


def merged(logs: Iterable[Iterator[Envelope]]) -> Iterator[Envelope]:
    """Put together several logs by time; each one's own order is kept."""
    return merge(*logs, key=sent_at)


def sent_at(envelope: Envelope) -> float:
    return envelope.sent_at or 0.0
