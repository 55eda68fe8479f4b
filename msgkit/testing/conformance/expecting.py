"""Expecting an error, in words that a reader of it needs."""

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["raises"]


@contextmanager
def raises(kind: type[Exception], *words: str) -> Iterator[None]:
    """Expect an error that says each of `words`.

    :raises AssertionError: when there is none, or it does not say them
    """
    text: str | None = None
    try:
        yield
    except kind as error:
        text = str(error)
    assert text is not None, f"{kind.__name__} was not raised"
    for word in words:
        assert word in text, f"{kind.__name__} does not say {word!r}: {text}"
