"""What follows a handler's outcome: decided purely, carried out elsewhere."""

import math
from dataclasses import dataclass
from typing import cast, final

from msgkit.errors import ConfigurationError, Poison
from msgkit.settlement import Accept, Reject, Retry, Settlement
from msgkit.values import Seconds, check_duration, check_number, check_whole

__all__ = ["Again", "Backoff", "Decision", "GiveUp", "decide"]


@final
class Backoff:
    """How often a message is tried, and how long is waited in between.

    The n-th pause is `first * factor ** (n - 1)` seconds, at most `limit`, give or take
    `jitter` of it. An error in `give_up_on` is not tried again.
    """

    __slots__ = ("attempts", "factor", "first", "give_up_on", "jitter", "limit")

    def __init__(
        self,
        attempts: int = 5,
        *,
        first: Seconds = 0.2,
        factor: float = 2.0,
        limit: Seconds = 60,
        jitter: float = 0.2,
        give_up_on: tuple[type[Exception], ...] = (),
    ) -> None:
        self.attempts = check_whole(attempts, "Backoff(attempts=)")
        self.first = check_duration(first, "Backoff(first=)")
        self.factor = check_number(factor, "Backoff(factor=)", least=1, most=math.inf)
        self.limit = check_duration(limit, "Backoff(limit=)")
        self.jitter = check_number(jitter, "Backoff(jitter=)", least=0, most=1)
        self.give_up_on = _error_types(give_up_on)

    def with_attempts(self, attempts: int) -> "Backoff":
        """Return the same policy with another number of attempts."""
        return Backoff(
            attempts,
            first=self.first,
            factor=self.factor,
            limit=self.limit,
            jitter=self.jitter,
            give_up_on=self.give_up_on,
        )

    def pause(self, attempt: int, draw: float) -> float:
        """Return the seconds to wait after the `attempt`-th failure; `draw` is a random number from 0 to 1."""
        try:
            plain = min(self.limit, self.first * self.factor ** (attempt - 1))
        except OverflowError:
            # What is more than a float can say is beyond any limit.
            plain = self.limit if self.first else 0.0
        return plain * (1 + self.jitter * (2 * draw - 1))

    @property
    def longest(self) -> float:
        """The longest pause that can come of it."""
        return self.pause(self.attempts - 1, 1.0) if self.attempts > 1 else 0.0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Backoff) and self._state() == other._state()

    def __hash__(self) -> int:
        return hash(self._state())

    def __repr__(self) -> str:
        return f"Backoff({self.attempts}, first={self.first:g}, factor={self.factor:g}, limit={self.limit:g})"

    def _state(self) -> tuple[object, ...]:
        return (self.attempts, self.first, self.factor, self.limit, self.jitter, self.give_up_on)


def _error_types(given: object) -> tuple[type[Exception], ...]:
    kinds = cast("tuple[object, ...]", given) if isinstance(given, tuple) else (None,)
    if not all(isinstance(kind, type) and issubclass(kind, Exception) for kind in kinds):
        msg = f"Backoff(give_up_on=) takes a tuple of exception types, such as (ValueError,), not {given!r}"
        raise ConfigurationError(msg)
    return cast("tuple[type[Exception], ...]", kinds)


@dataclass(frozen=True, slots=True)
class Again:
    """Once more, after so many seconds."""

    after: float
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Never again: the reason is what the dead letter says."""

    reason: str
    error: BaseException | None = None


Decision = Accept | Again | GiveUp


def decide(policy: Backoff, attempt: int, outcome: Settlement | BaseException, draw: float) -> Decision:
    """Return what follows the outcome of the `attempt`-th try."""
    match outcome:
        case Accept():
            return outcome
        case Reject():
            return GiveUp(outcome.reason, outcome.__cause__)
        case Poison():
            return GiveUp("poison", outcome)
        case Retry():
            return _once_more(policy, attempt, outcome.__cause__, outcome.after, draw)
        case _ if isinstance(outcome, policy.give_up_on):
            return GiveUp("gave up", outcome)
        case _:
            return _once_more(policy, attempt, outcome, None, draw)


def _once_more(
    policy: Backoff, attempt: int, error: BaseException | None, after: float | None, draw: float
) -> Again | GiveUp:
    if attempt >= policy.attempts:
        return GiveUp("attempts exhausted", error)
    return Again(policy.pause(attempt, draw) if after is None else after, error)
