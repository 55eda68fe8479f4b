"""Delays: topics in which a record waits as long as the topic is for, and then moves on to what is left of its delay.

All in one topic wait equally long, by the time at which the broker appended them: nobody waits behind one that waits
longer, and they come due in the order in which they stand. Whoever is at work takes part in moving them on, as
members of one group.
"""

from collections.abc import Sequence

from msgkit_kafka.layout import TopicForm
from msgkit_kafka.options import MAX_RECORD

__all__ = ["GROUP_OF_DELAYS", "LONGEST", "SHORTEST", "UNDELIVERABLE", "Clocks", "level_for", "level_forms", "wait_of"]

#: Seconds for which the first level is; each one waits twice as long as the one before.
SHORTEST = 0.1
_LEVELS = 22
#: Seconds: more is waited for in the last level again and again.
LONGEST = 10 * 365 * 86_400.0
GROUP_OF_DELAYS = "msgkit.delays"
#: What comes due and has nowhere to go.
UNDELIVERABLE = "msgkit.undeliverable"
_PREFIX = "msgkit.delay."
#: Bytes that may be said of the way of a record, beside what it had when it was sent.
_OF_THE_WAY = 4096
_CONFIGS = {
    "max.message.bytes": str(MAX_RECORD + _OF_THE_WAY),
    # A record goes when it has moved on, and never before.
    "retention.ms": "-1",
    "cleanup.policy": "delete",
}


def level_for(seconds: float) -> str:
    """Return the topic for so long a wait: the longest that is not longer, or the shortest of all."""
    steps = int(seconds / SHORTEST + 1e-9)
    return f"{_PREFIX}{min(max(steps, 1).bit_length(), _LEVELS) - 1}"


def wait_of(topic: str) -> float:
    """Return how many seconds a record waits there."""
    return SHORTEST * (1 << int(topic.removeprefix(_PREFIX)))


def level_forms() -> Sequence[TopicForm]:
    """Return the topics that delays need."""
    levels = [
        TopicForm(
            f"{_PREFIX}{number}", "delays", 1, None, {**_CONFIGS, "message.timestamp.type": "LogAppendTime"}, owned=True
        )
        for number in range(_LEVELS)
    ]
    return [*levels, TopicForm(UNDELIVERABLE, "delays", 1, None, _CONFIGS, owned=True)]


class Clocks:
    """How far the brokers' clocks are ahead of ours, at least: so that nothing is early by theirs.

    A record that is here was appended before: by the broker's clock it is no earlier now than that.
    """

    __slots__ = ("_ahead",)

    def __init__(self) -> None:
        self._ahead: dict[str, float] = {}

    def seen(self, topic: str, appended: float, now: float) -> None:
        """Hear when a record was appended that is here at a time of ours."""
        ahead = appended - now
        if ahead > self._ahead.get(topic, float("-inf")):
            self._ahead[topic] = ahead

    def knows(self, topic: str) -> bool:
        return topic in self._ahead

    def ours(self, topic: str, theirs: float) -> float:
        """Return when by our clock it is so late by theirs, at the latest."""
        return theirs - self._ahead.get(topic, 0.0)
