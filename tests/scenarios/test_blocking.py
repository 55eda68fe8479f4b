import asyncio
from collections.abc import Iterator

import pytest

from msgkit import Settings
from tests.scenarios.blocking import app, checkout, receipts, template
from tests.scenarios.shop import OrderPlaced

URL = "memory://scenario-blocking"


@pytest.fixture(autouse=True)
def _the_views_broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("MSGKIT_URL", URL)
    yield
    template.close()


async def test_a_view_sends_and_a_blocking_handler_sends_on() -> None:
    archive = receipts.queue("archive")
    async with app.running(Settings(url=URL)):
        await app.template.declare(archive)
        await asyncio.to_thread(checkout, OrderPlaced("1", "17", "eu", 30))
        async with app.template.receive(archive, timeout=5) as (receipt,):
            assert receipt.payload == "receipt of 1"
