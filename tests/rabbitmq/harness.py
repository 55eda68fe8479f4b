"""The harness of RabbitMQ: what only this broker can be made to do is added to what any can."""

from datetime import timedelta
from types import TracebackType

from msgkit.testing.brokers import RabbitMQ
from msgkit.testing.conformance.real import BrokerHarness
from msgkit.testing.proxy import Direction
from msgkit_rabbitmq import RabbitQueue
from tests.rabbitmq.clearing import clear

__all__ = ["RabbitHarness"]


class RabbitHarness(BrokerHarness):
    """A RabbitMQ with its management page, where routes can be seen."""

    # A quorum queue that was down looks every five seconds for what has expired in the meantime.
    afterwards = 6.0
    rereadable = (RabbitQueue(history=timedelta(hours=1)),)

    def __init__(
        self, broker: RabbitMQ, *, management: bool = False, clears: bool = True, one_by_one: bool = False
    ) -> None:
        super().__init__(broker, one_by_one=one_by_one)
        self._page = broker.management_url if management else None
        self._clears = broker.management_url if clears else None

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await super().__aexit__(kind, error, trace)
        if self._clears is not None:
            await clear(self._clears)

    @property
    def url(self) -> str:
        return self.broker.url if self._page is None else f"{self.broker.url}?management={self._page}"

    async def lose_confirm(self, *, stored: bool) -> None:
        # Signs of life have 8 bytes, a confirm has 21, and the smallest message more than 64.
        for proxy in self.proxies:
            await proxy.cut_after(20 if stored else 64, Direction.DOWN if stored else Direction.UP)
