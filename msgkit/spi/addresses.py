"""A destination as one text, for what a message says of its way. Pure."""

from msgkit.envelope import Kind

__all__ = ["address", "addressed"]

_KIND_OF = {kind.value: kind for kind in Kind}


def address(kind: Kind, destination: str) -> str:
    """Return a destination as one text."""
    return f"{kind.value}:{destination}"


def addressed(text: str | None) -> tuple[Kind, str] | None:
    """Return the destination that a text is; None if it is none."""
    kind, _, destination = (text or "").partition(":")
    return (_KIND_OF[kind], destination) if destination and kind in _KIND_OF else None
