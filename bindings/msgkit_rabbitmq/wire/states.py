"""What a broker says of what was declared."""

from typing import NamedTuple

__all__ = ["QueueState"]


class QueueState(NamedTuple):
    """What a broker says of a queue that was declared."""

    name: str
    messages: int
    consumers: int

    @property
    def is_certain(self) -> bool:
        """Tell whether the queue itself was asked.

        What a broker cannot find out of a quorum queue at once, it says is nothing: no messages and no consumers.
        """
        return self.messages > 0 or self.consumers > 0
