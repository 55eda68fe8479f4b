"""What a binding tells of its connection."""

from dataclasses import dataclass

__all__ = ["Down", "Event", "Fatal", "Gap", "Up"]


@dataclass(frozen=True, slots=True)
class Up:
    """The broker can be reached (again); topology is declared and consumers are back."""


@dataclass(frozen=True, slots=True)
class Down:
    """The connection was lost; the binding is at work to get it back."""

    reason: str


@dataclass(frozen=True, slots=True)
class Gap:
    """An anonymous queue was away too long: messages passed it by."""

    queue: str
    reason: str


@dataclass(frozen=True, slots=True)
class Fatal:
    """Something that cannot mend itself: somebody has to look."""

    reason: str


Event = Up | Down | Gap | Fatal
