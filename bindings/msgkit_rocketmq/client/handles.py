"""What a broker wants to see of who settles a message: when it was taken, from where, and for how long."""

from typing import NamedTuple

__all__ = ["MARKS", "Handle", "retry_topic"]

_RETRY = "%RETRY%"
#: What came from the topic itself; from the topic of what came back, and from such a one with a newer name.
MARKS = _ITSELF, _CAME_BACK, _CAME_BACK_NEWER = "0", "1", "2"
_BETWEEN = {_CAME_BACK: "_", _CAME_BACK_NEWER: "+"}
#: Where no message goes back to: it stays in its queue, which waits for it.
_IN_ORDER = 999


class Handle(NamedTuple):
    """Settles one message that was taken. When it was lent for longer, only the newest does."""

    #: Where what was taken together begins.
    start: int
    #: By the broker's clock, in milliseconds since 1970.
    popped: int
    #: For how long nobody else sees it, in milliseconds from then.
    invisible: int
    #: The queue in which the broker writes down what is not settled.
    revive: int
    mark: str
    broker: str
    queue: int
    offset: int

    def __str__(self) -> str:
        return " ".join(map(str, self))

    @property
    def in_order(self) -> bool:
        """Was it taken with the queue's others waiting for it?"""
        return self.revive == _IN_ORDER

    def topic_of(self, topic: str, group: str) -> str:
        """Return the topic in which the message is: that of what came back, perhaps."""
        return topic if self.mark == _ITSELF else f"{_RETRY}{group}{_BETWEEN[self.mark]}{topic}"


def retry_topic(topic: str, group: str, *, newer: bool = False) -> str:
    """Return the topic of what comes back to a group.

    :param newer: as brokers name it that have `enableRetryTopicV2`
    """
    return f"{_RETRY}{group}{_BETWEEN[_CAME_BACK_NEWER if newer else _CAME_BACK]}{topic}"
