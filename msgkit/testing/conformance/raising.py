"""Errors that a check expects, or allows."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["Raised", "may_raise", "raises"]

E = TypeVar("E", bound=BaseException)


@dataclass(slots=True)
class Raised(Generic[E]):
    """What was raised; known when the block is over."""

    found: E | None = None

    @property
    def error(self) -> E:
        assert self.found is not None, "nothing was raised"
        return self.found


@contextmanager
def raises(kind: type[E] | tuple[type[E], ...], *names: str) -> Generator[Raised[E]]:
    """Expect an error of a kind, whose text holds each of `names`."""
    with may_raise(kind, *names) as raised:
        yield raised
    assert raised.found is not None, f"{kind} was expected, and nothing was raised"


@contextmanager
def may_raise(kind: type[E] | tuple[type[E], ...], *names: str) -> Generator[Raised[E]]:
    """Allow an error of a kind, if its text holds each of `names`."""
    raised = Raised[E]()
    try:
        yield raised
    except kind as error:
        raised.found = error
    for name in names if raised.found is not None else ():
        assert name in str(raised.found), f"the error does not name {name!r}: {raised.found}"
