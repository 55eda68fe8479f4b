"""The binding that the page on writing one shows is no toy: it passes the suite."""

from collections.abc import AsyncIterator
from itertools import count

import pytest

from msgkit.brokers import register_binding
from msgkit.testing.conformance.harness import Harness
from msgkit.testing.conformance.suite import *  # noqa: F403 -- all that a binding's tests need
from samples.shelf.binding import ShelfBinding

pytestmark = pytest.mark.slow

register_binding("shelf", ShelfBinding)


class ShelfHarness(Harness):
    silence = 0.03
    _numbers = count()

    def __init__(self) -> None:
        self._url = f"shelf://{next(self._numbers)}"

    @property
    def url(self) -> str:
        return self._url


@pytest.fixture
async def harness() -> AsyncIterator[ShelfHarness]:
    async with ShelfHarness() as harness:
        yield harness
