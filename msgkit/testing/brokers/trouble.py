"""What cannot be had here, why, and what mends it."""

from msgkit.errors import MessagingError

__all__ = ["Trouble"]


class Trouble(MessagingError):
    """Something that a broker needs cannot be had as things are."""

    def __init__(self, why: str, *, mend: str) -> None:
        super().__init__(f"{why}\n{mend}")
        #: What is in the way.
        self.why = why
        #: What to do about it: an order, or a command.
        self.mend = mend
