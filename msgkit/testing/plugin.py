"""The pytest plugin: brokers as fixtures, and services that are run against each of them by one option."""

import os
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, AsyncExitStack
from typing import TYPE_CHECKING  # noqa: TID251 -- see below; no cycle hides here

import pytest

from msgkit.errors import ConfigurationError
from msgkit.testing.session_brokers import SessionBrokers
from msgkit.testing.wanted import MEMORY_URL, REQUIRE, Given, begins, named, required, shown

# Every project's pytest loads this where msgkit is installed; what a test needs is loaded when it asks.
if TYPE_CHECKING:
    from msgkit.application import Application
    from msgkit.settings import Settings, SettingsValues
    from msgkit.testing.brokers import Broker
    from msgkit.testing.probe import Probe

__all__ = [
    "ProbeApp",
    "RunBroker",
    "broker",
    "kafka",
    "messaging_settings",
    "messaging_values",
    "msgkit_app",
    "msgkit_running",
    "pytest_addoption",
    "pytest_configure",
    "pytest_generate_tests",
    "pytest_report_header",
    "rabbitmq",
    "rocketmq",
]

#: What `msgkit_app` is.
ProbeApp = Callable[["Application"], Awaitable["Probe"]]
#: What `msgkit_running` is.
RunBroker = Callable[["Broker"], AbstractContextManager["Broker"]]

_WANTED = pytest.StashKey[Sequence[str]]()
_BROKERS = pytest.StashKey[SessionBrokers]()
_NO_ASYNCIO = (
    "msgkit_app is for async tests that pytest-asyncio runs; anywhere else use: "
    "async with probe(app, messaging_settings) as probed"
)


# -- hooks


def pytest_addoption(parser: pytest.Parser) -> None:
    what = "brokers that tests are run on: memory, rabbitmq, kafka, rocketmq, or any URL; separated by commas"
    parser.getgroup("msgkit").addoption("--msgkit-brokers", metavar="LIST", help=what)
    parser.addini("msgkit_brokers", what, default="memory")


def pytest_configure(config: pytest.Config) -> None:
    given = config.getoption("--msgkit-brokers")
    try:
        config.stash[_WANTED] = named(config.getini("msgkit_brokers") if given is None else given)
        config.stash[_BROKERS] = SessionBrokers(required(os.environ.get(REQUIRE, "")))
    except ConfigurationError as error:
        raise pytest.UsageError(str(error)) from None
    config.pluginmanager.register(config.stash[_BROKERS], "msgkit-brokers")
    if _has_asyncio(config):
        from msgkit.testing import asyncio_stacks  # noqa: PLC0415 -- not everybody has pytest-asyncio

        config.pluginmanager.register(asyncio_stacks, "msgkit-asyncio")


def pytest_report_header(config: pytest.Config) -> str | None:
    wanted = config.stash[_WANTED]
    return None if list(wanted) == ["memory"] else f"msgkit brokers: {', '.join(map(shown, wanted))}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Repeat for each broker what uses one."""
    if "_msgkit_broker" in metafunc.fixturenames:
        wanted = metafunc.config.stash[_WANTED]
        ids = [shown(each) for each in wanted]
        metafunc.parametrize("_msgkit_broker", wanted, ids=ids, indirect=True)


# -- brokers


@pytest.fixture(scope="session")
def msgkit_running(pytestconfig: pytest.Config) -> RunBroker:
    """Run a broker of your own making for a `with` block; where it cannot be had, the test is skipped, or fails."""
    return pytestconfig.stash[_BROKERS].running


@pytest.fixture(scope="session")
def rabbitmq(msgkit_running: RunBroker) -> "Iterator[Broker]":
    """A RabbitMQ for the whole run: `msgkit.testing.brokers.RabbitMQ()`, started."""
    from msgkit.testing.brokers import RabbitMQ  # noqa: PLC0415 -- only a run that wants one pays for it

    with msgkit_running(RabbitMQ()) as broker:
        yield broker


@pytest.fixture(scope="session")
def kafka(msgkit_running: RunBroker) -> "Iterator[Broker]":
    """A Kafka for the whole run: `msgkit.testing.brokers.Kafka()`, started."""
    from msgkit.testing.brokers import Kafka  # noqa: PLC0415 -- only a run that wants one pays for it

    with msgkit_running(Kafka()) as broker:
        yield broker


@pytest.fixture(scope="session")
def rocketmq(msgkit_running: RunBroker) -> "Iterator[Broker]":
    """A RocketMQ for the whole run: `msgkit.testing.brokers.RocketMQ()`, started."""
    from msgkit.testing.brokers import RocketMQ  # noqa: PLC0415 -- only a run that wants one pays for it

    with msgkit_running(RocketMQ()) as broker:
        yield broker


@pytest.fixture(scope="session")
def _msgkit_broker(request: pytest.FixtureRequest) -> str:
    """Which broker the test is run for; the first, where the test could not be repeated."""
    return getattr(request, "param", request.config.stash[_WANTED][0])


@pytest.fixture(scope="session")
def _msgkit_binding(_msgkit_broker: str) -> None:
    """See that something here can talk to the broker, before one is started for applications."""
    _require_binding(begins(_msgkit_broker))


@pytest.fixture(scope="session")
def broker(request: pytest.FixtureRequest, _msgkit_broker: str) -> "Broker | Given":
    """The broker that the test is run for: one after the other of `--msgkit-brokers`."""
    if _msgkit_broker == "memory" or "://" in _msgkit_broker:
        return Given(MEMORY_URL if _msgkit_broker == "memory" else _msgkit_broker)
    found: Broker = request.getfixturevalue(_msgkit_broker)
    if not isinstance(getattr(found, "url", None), str):
        pytest.fail(
            f"the fixture {_msgkit_broker!r} is {found!r}, and no broker: is it another plugin's?", pytrace=False
        )
    return found


# -- services


@pytest.fixture
def messaging_values() -> "SettingsValues":
    """What the tests' settings say besides where the broker is; to be overridden."""
    return {}


@pytest.fixture
def messaging_settings(
    _msgkit_binding: None, broker: "Broker | Given", messaging_values: "SettingsValues"
) -> "Settings":
    """Settings of the test alone: the URL of its broker, and a prefix that no other test has."""
    from msgkit.testing.stage import on_broker, on_memory  # noqa: PLC0415 -- see above

    if broker.url == MEMORY_URL:
        return on_memory(messaging_values)
    # A fixture in place of ours may give another kind of broker.
    _require_binding(broker.url)
    return on_broker(broker.url, messaging_values)


@pytest.fixture
def msgkit_app(request: pytest.FixtureRequest, messaging_settings: "Settings") -> ProbeApp:
    """Run applications on the test's broker until the test ends: awaited with one, it gives the probe."""
    from msgkit.testing.probe import probe  # noqa: PLC0415 -- see above

    marker = request.node.get_closest_marker("asyncio")
    if marker is None or not _has_asyncio(request.config):
        pytest.fail(_NO_ASYNCIO, pytrace=False)
    scope = marker.kwargs.get("loop_scope") or request.config.getini("asyncio_default_test_loop_scope")
    stack: AsyncExitStack = request.getfixturevalue(f"_msgkit_stack_on_{scope}")

    async def run(app: "Application") -> "Probe":
        return await stack.enter_async_context(probe(app, messaging_settings))

    return run


def _require_binding(url: str) -> None:
    """Fail the test where nothing can talk to a broker: else whatever connects first would say it, deep down."""
    from msgkit.testing.stage import without_binding  # noqa: PLC0415 -- see above

    if why := without_binding(url):
        pytest.fail(why, pytrace=False)


def _has_asyncio(config: pytest.Config) -> bool:
    plugin = sys.modules.get("pytest_asyncio.plugin")
    return plugin is not None and config.pluginmanager.is_registered(plugin)
