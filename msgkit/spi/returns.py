"""How often this process gave a message back, which the broker counts as it counts a crash."""

from collections import OrderedDict

__all__ = ["Returns"]

_MOST = 20_000


class Returns:
    """Counts by queue and message id, of the last messages that went back."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: OrderedDict[tuple[str, str], int] = OrderedDict()

    def note(self, queue: str, message_id: str) -> None:
        counts, at = self._counts, (queue, message_id)
        counts[at] = counts.pop(at, 0) + 1
        if len(counts) > _MOST:
            counts.popitem(last=False)

    def count(self, queue: str, message_id: str) -> int:
        return self._counts.get((queue, message_id), 0)

    def forget(self, queue: str, message_id: str) -> None:
        if self._counts:
            self._counts.pop((queue, message_id), None)
