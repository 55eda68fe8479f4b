"""Which of a queue's listeners handles a message: the only one, or the one for its payload's type."""

from collections.abc import Callable, Sequence
from typing import Any

from msgkit.converter import members
from msgkit.dispatch.handler import Handler
from msgkit.envelope import Envelope
from msgkit.errors import AmbiguousListener, ConversionError, Poison

__all__ = ["Dispatcher", "check_unambiguous"]


class Dispatcher:
    """The listeners of one queue.

    `index_of` finds the one that an envelope is for; an index beyond them is a type that the
    queue carries and that nobody listens for. Without it there is nothing to choose.
    """

    __slots__ = ("_index_of", "_only", "handlers")

    def __init__(self, handlers: Sequence[Handler], index_of: Callable[[Envelope], int] | None) -> None:
        self.handlers = tuple(handlers)
        self._only = handlers[0] if index_of is None else None
        self._index_of = index_of or _first

    def choose(self, envelope: Envelope) -> Handler:
        """Return the listener of a message.

        :raises Poison: when nobody listens for its type
        """
        if self._only is not None:
            return self._only
        try:
            index = self._index_of(envelope)
        except ConversionError as error:
            raise Poison(str(error)) from error
        if index >= len(self.handlers):
            name = envelope.type or "what it holds"
            msg = f"message {envelope.message_id} is {name}, which the queue carries, but nobody here listens for"
            raise Poison(msg)
        return self.handlers[index]


def _first(_envelope: Envelope) -> int:
    return 0


def check_unambiguous(queue: str, listeners: Sequence[tuple[str, Any]]) -> None:
    """Refuse two listeners of one queue and payload type.

    :raises AmbiguousListener: naming both
    """
    taken: list[tuple[Any, str]] = []
    for name, kind in listeners:
        for member in members(kind):
            for other, who in taken:
                if other == member:
                    what = getattr(member, "__name__", str(member))
                    msg = f"{who}() and {name}() both listen to {queue!r} for {what}; one of them has to go"
                    raise AmbiguousListener(msg)
            taken.append((member, name))
