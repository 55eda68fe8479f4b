"""The checks as pytest tests.

All that a binding's test module holds:

from msgkit.testing.conformance.suite import *

@pytest.fixture
async def harness():
    async with MyHarness() as harness:
        yield harness
"""

import pytest

from msgkit.testing.conformance import checks
from msgkit.testing.conformance.harness import Harness
from msgkit.testing.conformance.registry import CHECKS, Check, Skipped

__all__ = ["test_conformance"]

checks.load()


@pytest.mark.parametrize("check", [pytest.param(check, id=name) for name, check in CHECKS.items()])
async def test_conformance(check: Check, harness: Harness) -> None:
    try:
        await check.run(harness)
    except Skipped as why:
        pytest.skip(str(why))
