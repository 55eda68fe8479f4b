"""What is told of a client's connections and consumers: each thing once."""

import logging
from collections.abc import Callable

from msgkit.spi import Down, Event, Fatal, Up

__all__ = ["News"]

_log = logging.getLogger("msgkit.rabbitmq")


class News:
    """All is well when no connection is down and no consumer is away."""

    def __init__(self, tell: Callable[[Event], None], are_all_back: Callable[[], bool]) -> None:
        self._tell = tell
        self._are_all_back = are_all_back
        self._down: set[str] = set()
        self._is_well = True
        #: What was told last of what was declared.
        self._wrong: str | None = None

    def went_down(self, which: str, reason: str, *, always: bool) -> None:
        """Tell of a lost connection; unless it is always news, only where all was well."""
        is_news = self._is_well or always
        self._is_well, self._wrong = False, None
        self._down.add(which)
        if is_news:
            self._tell(Down(reason))

    def came_up(self, which: str) -> None:
        self._down.discard(which)
        self.tell_if_well()

    def is_away(self) -> None:
        """Hear that a consumer is away."""
        self._is_well = False

    def tell_if_well(self) -> None:
        if not self._is_well and not self._down and self._are_all_back():
            self._is_well = True
            self._tell(Up())

    def alarm(self, reason: str) -> None:
        """Tell what does not mend itself."""
        self._is_well = False
        self._tell(Fatal(reason))

    def found(self, wrong: str | None) -> None:
        """Hear what is there in place of what was declared. Who declares it again finds the same again."""
        if wrong is not None and wrong != self._wrong:
            _log.error("what was declared is not what is there now: %s", wrong)
            self._tell(Fatal(wrong))
        self._wrong = wrong
