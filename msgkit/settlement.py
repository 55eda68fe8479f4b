"""How an application ends a delivery: a closed set of three outcomes, returned or raised."""

from typing import final

from msgkit.errors import InvalidMessage
from msgkit.values import Seconds, at_least_zero

__all__ = ["ACCEPT", "Accept", "Reject", "Retry", "Settlement"]


@final
class Accept:
    """Done: the message never comes back."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Accept()"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Accept)

    def __hash__(self) -> int:
        return hash(Accept)


@final
class Retry(Exception):
    """Once more, after a pause of the policy's or of one's own; counts as an attempt."""

    def __init__(self, after: Seconds | None = None) -> None:
        super().__init__(after)
        self.after = None if after is None else at_least_zero(after, "Retry(after=)")


@final
class Reject(Exception):
    """Never again: straight to the dead letters, with the reason."""

    def __init__(self, reason: str) -> None:
        if not isinstance(reason, str):  # pyright: ignore[reportUnnecessaryIsInstance] -- callers without a type checker
            msg = f"Reject(reason) must be a str, not {type(reason).__name__}"
            raise InvalidMessage(msg)
        super().__init__(reason)
        self.reason = reason


Settlement = Accept | Retry | Reject

ACCEPT = Accept()
