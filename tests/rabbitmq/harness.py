"""The harness of RabbitMQ: what only this broker can be made to do is added to what any can."""

from msgkit.testing.brokers import RabbitMQ
from msgkit.testing.conformance.real import BrokerHarness

__all__ = ["RabbitHarness"]


class RabbitHarness(BrokerHarness):
    """A RabbitMQ with its management page, where routes can be seen."""

    def __init__(self, broker: RabbitMQ, *, management: bool) -> None:
        super().__init__(broker)
        self._page = broker.management_url if management else None

    @property
    def url(self) -> str:
        return self.broker.url if self._page is None else f"{self.broker.url}?management={self._page}"
