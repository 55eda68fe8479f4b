"""The samples do what their pages say: on the broker of MSGKIT_URL, or else on memory://, and on each real one."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from httpx import ASGITransport, AsyncClient, TransportError

from msgkit.envelope import new_id
from samples.web.app import api, packing

ROOT = Path(__file__).parent.parent
SAMPLES = ROOT / "samples"
GIVEN = os.environ.get("MSGKIT_URL", "memory://")
PATIENCE = 30.0
#: What a sample is told of where it runs.
Environment = Mapping[str, str]


# One worker has them all of a broker, and starts it once.
ON_RABBITMQ = [pytest.mark.broker, pytest.mark.xdist_group("rabbitmq-samples")]
ON_KAFKA = [pytest.mark.broker, pytest.mark.xdist_group("kafka-samples")]


@pytest.fixture(params=["memory", pytest.param("rabbitmq", marks=ON_RABBITMQ), pytest.param("kafka", marks=ON_KAFKA)])
def url(request: pytest.FixtureRequest) -> str:
    """Where the samples run, which is all that they are told."""
    return GIVEN if request.param == "memory" else str(request.getfixturevalue(request.param).url)


@pytest.fixture
def environment(url: str, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """The broker, and names there that no other test has: of this process, and of those that it starts."""
    monkeypatch.setenv("MSGKIT_URL", url)
    monkeypatch.setenv("MSGKIT_PREFIX", f"{new_id()}.")
    return dict(os.environ)


def run(sample: str, environment: Environment) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"samples.{sample}"],
        cwd=ROOT,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def promised(sample: str) -> str:
    """Return what a sample's page says that it prints."""
    page = (SAMPLES / sample / "README.md").read_text()
    return page.split("prints\n\n```\n")[1].split("```")[0]


@pytest.mark.parametrize("sample", ["quickstart", "dependency_injection"])
def test_a_sample_prints_what_its_page_says_and_nothing_else(sample: str, environment: Environment) -> None:
    ran = run(sample, environment)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, promised(sample), "")


def test_orders_are_packed_when_they_are_in_the_database(environment: Environment) -> None:
    ran = run("half_message", environment)
    if environment["MSGKIT_URL"].startswith("memory:"):
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, promised("half_message"), "")
    else:
        assert (ran.returncode, ran.stdout) == (1, "")
        assert ran.stderr == "@checker('placed') answers for half messages, which no broker of this application has\n"


def test_the_sample_that_is_a_broker_itself_prints_what_its_page_says_and_nothing_else() -> None:
    ran = run("shelf", os.environ)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, promised("shelf"), "")


def test_the_story_of_the_shop_ends_well(environment: Environment) -> None:
    ran = run("orders", environment)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert f"The broker is {environment['MSGKIT_URL'].partition(':')[0]}://." in " ".join(ran.stdout.split())
    assert ran.stdout.endswith("every outcome above was checked, and nothing else happened.\n\n")
    assert ran.stdout.isascii()


@pytest.mark.parametrize(
    ("wanted", "outcome"),
    [
        # Nothing can be done to a broker that others run.
        ("memory" if GIVEN.startswith("memory:") else GIVEN, "5 passed, 1 skipped"),
        pytest.param("rabbitmq", "6 passed", marks=ON_RABBITMQ),
        pytest.param("kafka", "6 passed", marks=ON_KAFKA),
    ],
    ids=["memory", "rabbitmq", "kafka"],
)
def test_the_integration_tests_pass(wanted: str, outcome: str, request: pytest.FixtureRequest) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    if wanted in ("rabbitmq", "kafka"):
        # They start one of their own. Without any, they would be skipped, and so is this.
        request.getfixturevalue(wanted)
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "samples/integration_tests", "--msgkit-brokers", wanted],
        cwd=ROOT,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=4 * PATIENCE,
    )
    assert ran.returncode == 0, ran.stdout
    assert outcome in ran.stdout


def test_every_sample_has_a_page_and_is_run_here() -> None:
    samples = {init.parent.name for init in SAMPLES.glob("*/__init__.py")}
    assert samples == {
        "quickstart",
        "orders",
        "dependency_injection",
        "integration_tests",
        "web",
        "shelf",
        "half_message",
    }
    assert all((SAMPLES / sample / "README.md").is_file() for sample in samples)


# -- web


@pytest.fixture
async def client(environment: Environment) -> AsyncIterator[AsyncClient]:  # noqa: ARG001 -- it is read at the start
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


async def test_the_web_sample_serves_and_stops_when_it_is_told_to(environment: Environment) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "samples.web",
        str(port),
        cwd=ROOT,
        env=environment,
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
