"""The conformance suite on RocketMQ."""

import pytest

from msgkit.testing.conformance.suite import *  # noqa: F403 -- all that a binding's tests need

pytestmark = pytest.mark.broker
