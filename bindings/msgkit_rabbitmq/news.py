"""What is told of a client's connections and consumers: each thing once."""

import logging
from collections.abc import Callable, Collection

from msgkit.spi import Down, Event, Fatal, Up

__all__ = ["News"]

_log = logging.getLogger("msgkit.rabbitmq")


class News:
    """All is well when no connection is down and no consumer is away."""

    def __init__(self, tell: Callable[[Event], None], away: Callable[[], Collection[str | None]]) -> None:
        """`away` returns, for each consumer that is, what of that does not mend itself, or None."""
        self._tell = tell
        self._away = away
        self._down: set[str] = set()
        self._is_well = True
        #: What is there in place of what was declared.
        self._wrong: str | None = None

    def went_down(self, which: str, reason: str, *, always: bool) -> None:
        """Tell of a lost connection; unless it is always news, only where all was well."""
        is_news = self._is_well or always
        self._is_well = False
        self._down.add(which)
        if is_news:
            self._tell(Down(reason))

    def came_up(self, which: str) -> None:
        self._down.discard(which)
        self.tell_if_well()
        if not self._is_well and not self._down:
            self._tell_what_stands()

    def is_away(self) -> None:
        """Hear that a consumer is away."""
        self._is_well = False

    def tell_if_well(self) -> None:
        if not self._is_well and not self._down and not self._away():
            self._is_well = True
            self._tell(Up())
            self._tell_what_stands()

    def _tell_what_stands(self) -> None:
        """Tell it again after what says that all is well, or that all is lost: it was in the way of neither."""
        for reason in (*self._away(), self._wrong):
            if reason is not None:
                self._tell(Fatal(reason))

    def alarm(self, reason: str) -> None:
        """Tell what does not mend itself."""
        self._is_well = False
        self._tell(Fatal(reason))

    def found(self, wrong: str | None) -> None:
        """Hear what is there in place of what was declared. Who declares it again finds the same again."""
        before, self._wrong = self._wrong, wrong
        if wrong == before:
            return
        if wrong is not None:
            _log.error("what was declared is not what is there now: %s", wrong)
        if self._down:
            # It is told when the connections are back.
            pass
        elif wrong is not None:
            self._tell(Fatal(wrong))
        elif self._is_well:
            self._tell(Up())
