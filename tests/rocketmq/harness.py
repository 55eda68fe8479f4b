"""The harness of RocketMQ: what only this broker can be made to do is added to what any can."""

from msgkit.testing.conformance.real import BrokerHarness

__all__ = ["RocketHarness"]

#: Seconds after which what a killed process had in hand is handed out again.
_LEASE = 5


class RocketHarness(BrokerHarness):
    """A RocketMQ of one broker."""

    @property
    def url(self) -> str:
        return f"{self.broker.url}?lease={_LEASE}"
