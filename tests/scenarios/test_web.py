from collections.abc import AsyncIterator

import pytest
from httpx import ASGITransport, AsyncClient

from msgkit import Settings
from msgkit.testing import probe
from tests.scenarios.web import api, bill, billed, messaging


@pytest.fixture
async def client() -> AsyncIterator[AsyncClient]:
    async with AsyncClient(transport=ASGITransport(api), base_url="http://test") as client:
        yield client


async def test_an_order_that_comes_by_the_web_is_billed(client: AsyncClient) -> None:
    async with probe(messaging) as probed:
        answer = await client.post("/orders/1")
        assert (answer.status_code, answer.json()) == (202, "1")
        await probed.idle()
        assert [message.id for message in probed.handled(bill)] == ["1"]
    assert billed == ["1"]


async def test_the_messaging_starts_and_stops_with_its_host(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MSGKIT_URL", "memory://scenario-web")
    async with api.router.lifespan_context(api):
        assert (await messaging.health())["status"] == "up"
    assert (await messaging.health())["status"] == "stopped"


async def test_an_order_that_no_broker_takes_is_not_accepted(client: AsyncClient) -> None:
    await messaging.template.connect(Settings(url="memory://scenario-web-without-exchanges"))
    try:
        assert (await client.post("/orders/2")).status_code == 503
    finally:
        await messaging.template.close()
