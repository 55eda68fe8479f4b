from collections.abc import AsyncIterator

import pytest

from msgkit.testing.conformance.suite import *  # noqa: F403 -- all that a binding's tests need
from tests.memory_harness import MemoryHarness


@pytest.fixture
async def harness() -> AsyncIterator[MemoryHarness]:
    async with MemoryHarness() as harness:
        yield harness
