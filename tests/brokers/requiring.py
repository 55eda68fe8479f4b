"""What to do where a broker cannot be had: skip it aloud, unless it is required."""

import os
from typing import NoReturn

import pytest

from msgkit.testing.brokers import Unavailable
from msgkit.testing.wanted import REQUIRE, required

__all__ = ["unavailable"]


def unavailable(name: str, error: Unavailable) -> NoReturn:
    """Skip a test for want of a broker; fail it where MSGKIT_TEST_REQUIRE names that one."""
    if name in required(os.environ.get(REQUIRE, "")):
        pytest.fail(f"{name} is required: {error}", pytrace=False)
    pytest.skip(str(error))
