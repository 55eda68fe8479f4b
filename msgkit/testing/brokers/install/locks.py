"""One at a time, among all processes that share a cache."""

from collections.abc import Generator
from contextlib import contextmanager

from msgkit.testing.brokers.cache import cache
from msgkit.testing.brokers.install.telling import Say

__all__ = ["locked"]


@contextmanager
def locked(name: str, say: Say) -> Generator[None]:
    """Hold the lock of a name; it goes with the process, however that ends."""
    import fcntl  # noqa: PLC0415 -- not on every system, and only those that install need it

    folder = cache() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"{name}: waiting for another process that is at it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
