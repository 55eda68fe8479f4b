"""Where an animal is looked at: the memory harness, a little less patient."""

from asyncio import CancelledError
from collections.abc import Iterator

from msgkit.brokers import register_binding
from msgkit.errors import MessagingError
from msgkit.testing.conformance import checks
from msgkit.testing.conformance.registry import CHECKS
from tests.memory_harness import MemoryHarness
from tests.zoo.animal import Animal

__all__ = ["Cage", "fault_found", "visit"]

checks.load()
register_binding(Animal.scheme(), Animal)


class Cage(MemoryHarness):
    """A broker of its own, reached through one animal."""

    # The core itself gives a handler that swallows its cancellation two seconds: half of it is too little.
    patience = 1.2

    def __init__(self, animal: type[Animal]) -> None:
        super().__init__()
        self._animal = animal

    @property
    def url(self) -> str:
        _, _, place = super().url.partition(":")
        return f"{self._animal.scheme()}:{place}"


async def visit(animal: type[Animal], check: str) -> BaseException | None:
    """Return how a check fails with an animal; None when it finds nothing wrong."""
    async with Cage(animal) as cage:
        try:
            await CHECKS[check].run(cage)
        except (Exception, CancelledError) as error:  # noqa: BLE001 -- whatever it is, it is the answer
            return error
    return None


def fault_found(error: BaseException) -> bool:
    """Tell whether a check found a promise broken, rather than broke down itself.

    An error of the binding's, where none was due, is a promise broken as well.
    """
    found = (AssertionError, TimeoutError, MessagingError)
    return any(isinstance(each, found) for each in _leaves(error))


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] -- isinstance tells pyright nothing of what is inside
            yield from _leaves(each)  # pyright: ignore[reportUnknownArgumentType] -- as above
    else:
        yield error
