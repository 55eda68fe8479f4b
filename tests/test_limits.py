from collections.abc import Callable
from dataclasses import replace

import pytest

from msgkit.brokers import register_binding
from msgkit.errors import InvalidMessage
from msgkit.settings import Settings
from msgkit.spi import BindingOptions, Capabilities, Event
from msgkit.template import MessageTemplate
from msgkit.topology import Queue
from msgkit_memory import MemoryBinding

SMALL = Queue("small", bytes)


class SmallBinding(MemoryBinding):
    """Takes less than other brokers, and says so."""

    def __init__(self, options: BindingOptions) -> None:
        super().__init__(replace(options, url=options.url.replace("small:", "memory:", 1)))

    async def connect(self, on_event: Callable[[Event], None]) -> Capabilities:
        return replace(await super().connect(on_event), max_body=1000, max_headers=100)


@pytest.fixture
def template() -> MessageTemplate:
    register_binding("small", SmallBinding)
    return MessageTemplate(Settings(url="small://test-limits"))


async def test_a_body_is_refused_that_the_broker_at_hand_does_not_take(
    template: MessageTemplate,
) -> None:
    async with template:
        await template.declare(SMALL)
        await template.send(SMALL, b"x" * 1000)
        with pytest.raises(InvalidMessage, match="at most 1,000"):
            await template.send(SMALL, b"x" * 1001)


async def test_headers_are_refused_that_the_broker_at_hand_does_not_take(
    template: MessageTemplate,
) -> None:
    async with template:
        await template.declare(SMALL)
        await template.send(SMALL, b"x", headers={"h": "x" * 99})
        with pytest.raises(InvalidMessage, match="at most 100"):
            await template.send(SMALL, b"x", headers={"h": "x" * 100})
