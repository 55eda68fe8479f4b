"""A message in one queue: what waits there is the very object that will be delivered."""

from msgkit.envelope import Envelope
from msgkit.spi import RawDelivery

__all__ = ["Guard", "Parked", "Stored"]


class Guard:
    """A dead letter that its successors follow, until it is gone."""

    __slots__ = ("_key", "_parked", "message_id")

    def __init__(self, parked: "Parked", key: str, message_id: str) -> None:
        self.message_id = message_id
        self._parked = parked
        self._key = key
        parked.setdefault(key, {})[self] = None

    def lift(self) -> None:
        standing = self._parked[self._key]
        del standing[self]
        if not standing:
            del self._parked[self._key]


#: The dead letters that wait, by key, oldest first.
Parked = dict[str, dict[Guard, None]]


class Stored(RawDelivery):
    """A message and its place in a queue.

    One object for both sides of the seam saves the making of a second one for each message.
    """

    __slots__ = ("guard", "place")

    def __init__(self, envelope: Envelope, attempt: int, crashes: int, place: int) -> None:
        self.envelope = envelope
        self.attempt = attempt
        self.crashes = crashes
        self.lane = envelope.key
        self.scope = None
        self.handle = None
        self.follows = None
        self.lost = False
        self.place = place
        self.guard: Guard | None = None

    def again(self, *, crashes: int = 0) -> "Stored":
        """Return it for the next delivery: the object of the last one may still be in use."""
        again = Stored(self.envelope, self.attempt, self.crashes + crashes, self.place)
        again.guard = self.guard
        return again

    def failed(self) -> "Stored":
        """Return it with one more failure recorded."""
        attempt = self.attempt + 1
        envelope = self.envelope._replace(attempt=attempt)
        again = Stored(envelope, attempt, self.crashes, self.place)
        again.guard = self.guard
        return again
