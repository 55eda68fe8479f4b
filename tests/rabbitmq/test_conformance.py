"""The conformance suite on RabbitMQ: on the oldest version that is supported, and on the newest."""

import pytest

from msgkit.testing.conformance.suite import *  # noqa: F403 -- all that a binding's tests need

pytestmark = pytest.mark.broker
