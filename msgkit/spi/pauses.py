"""How long to wait before the next try: longer each time, and not all at once."""

from random import uniform

__all__ = ["pause"]

#: Seconds before the second try, and at most before any.
_FIRST, _LONGEST = 0.1, 5.0


def pause(failures: int, *, is_final: bool = False) -> float:
    """Return seconds; `is_final` is what will hardly be otherwise the next time."""
    longest = _LONGEST if is_final else min(_FIRST * 2 ** min(failures, 16), _LONGEST)
    return uniform(longest / 2, longest)  # noqa: S311 -- jitter keeps no secret
