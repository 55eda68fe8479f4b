"""The samples do what their pages say, on the broker of MSGKIT_URL, or else on memory://."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from httpx import ASGITransport, AsyncClient, TransportError

from samples.web.app import api, packing

ROOT = Path(__file__).parent.parent
SAMPLES = ROOT / "samples"
ENVIRONMENT = {"MSGKIT_URL": "memory://", **os.environ}
TESTED = "memory" if ENVIRONMENT["MSGKIT_URL"].startswith("memory:") else ENVIRONMENT["MSGKIT_URL"]
PATIENCE = 20.0


@pytest.fixture(autouse=True)
def _some_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MSGKIT_URL", ENVIRONMENT["MSGKIT_URL"])


def run(sample: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"samples.{sample}"],
        cwd=ROOT,
        env=ENVIRONMENT,
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def promised(sample: str) -> str:
    """Return what a sample's page says that it prints."""
    page = (SAMPLES / sample / "README.md").read_text()
    return page.split("prints\n\n```\n")[1].split("```")[0]


@pytest.mark.parametrize("sample", ["quickstart", "dependency_injection", "shelf"])
def test_a_sample_prints_what_its_page_says_and_nothing_else(sample: str) -> None:
    ran = run(sample)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, promised(sample), "")


def test_the_story_of_the_shop_ends_well() -> None:
    ran = run("orders")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.endswith("every outcome above was checked, and nothing else happened.\n\n")
    assert ran.stdout.isascii()


def test_the_integration_tests_pass() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "samples/integration_tests", "--msgkit-brokers", TESTED],
        cwd=ROOT,
        env={name: value for name, value in ENVIRONMENT.items() if not name.startswith("PYTEST_")},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stdout
    # Nothing can be done to a broker that others run.
    assert "5 passed, 1 skipped" in ran.stdout


def test_every_sample_has_a_page_and_is_run_here() -> None:
    samples = {init.parent.name for init in SAMPLES.glob("*/__init__.py")}
    assert samples == {"quickstart", "orders", "dependency_injection", "integration_tests", "web", "shelf"}
    assert all((SAMPLES / sample / "README.md").is_file() for sample in samples)


# -- web


@pytest.fixture
async def client() -> AsyncIterator[AsyncClient]:
    transport = ASGITransport(api)
    async with (
        api.router.lifespan_context(api),
        AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        yield client


async def state_after(client: AsyncClient, id_: str, state: str) -> str:
    """Return the state of an order as soon as it is no longer this one."""
    async with asyncio.timeout(PATIENCE):
        while (now := (await client.get(f"/orders/{id_}")).json()["state"]) == state:  # noqa: ASYNC110 -- a client of the web can only ask again
            await asyncio.sleep(0)
    return str(now)


async def test_an_order_that_comes_by_the_web_is_packed(client: AsyncClient) -> None:
    placed = await client.post("/orders", json={"id": "1", "article": "lamp", "pieces": 2})
    assert (placed.status_code, placed.json()) == (202, {"id": "1", "state": "placed"})
    assert await state_after(client, "1", "placed") == "packed"


async def test_an_order_of_nothing_is_refused_by_its_listener(client: AsyncClient) -> None:
    await client.post("/orders", json={"id": "2", "article": "lamp", "pieces": 0})
    assert await state_after(client, "2", "placed") == "refused"


async def test_an_order_that_nobody_placed_is_not_found(client: AsyncClient) -> None:
    assert (await client.get("/orders/3")).status_code == 404


async def test_the_health_of_the_messaging_is_the_web_servers(client: AsyncClient) -> None:
    health = await client.get("/health")
    assert (health.status_code, health.json()["status"]) == (200, "up")
    assert packing.name in health.json()["queues"]


async def test_the_web_sample_serves_and_stops_when_it_is_told_to() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "samples.web",
        str(port),
        cwd=ROOT,
        env=ENVIRONMENT,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            assert await health_once_up(client) == 200
        server.send_signal(signal.SIGINT)
        async with asyncio.timeout(PATIENCE):
            _, log = await server.communicate()
        assert b"Application shutdown complete." in log
    finally:
        if server.returncode is None:
            server.kill()
            await server.wait()


async def health_once_up(client: AsyncClient) -> int:
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return (await client.get("/health")).status_code
            except TransportError:
                # Nobody listens yet, and a refused connection tells nothing of when.
                await asyncio.sleep(0.05)
