"""The brokers of one pytest run: started once, mended after a test that failed, and told of in its reports."""

import re
from collections.abc import Collection, Coroutine, Generator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar  # noqa: TID251 -- a broker is loaded when it is wanted; no cycle hides here

import pytest

from msgkit.errors import ConfigurationError
from msgkit.testing.wanted import REAL, REQUIRE

if TYPE_CHECKING:
    from msgkit.testing.brokers import Broker

__all__ = ["SessionBrokers"]

T = TypeVar("T")

#: Begins the title of what a report carries of a broker that cannot be had, from wherever the test ran.
_MISSING = "msgkit: cannot be had: "
_LOG_LINES = 40
#: Seconds that a broker may take to show its log.
_SHOWING = 10.0


class SessionBrokers:
    """Starts brokers, and hears how tests fare that use them: it is a plugin itself."""

    def __init__(self, required: Collection[str]) -> None:
        self._required = required
        #: Why some cannot be had, until a report has carried it.
        self._unsaid: dict[str, str] = {}
        #: The same, as reports from everywhere said it.
        self._missing: dict[str, str] = {}
        self._suspects: list[Broker] = []

    @contextmanager
    def running(self, broker: "Broker") -> "Generator[Broker]":
        """Run a broker; skip the test that wants it where there is none, or fail it where it is required."""
        from msgkit.testing.brokers import Unavailable  # noqa: PLC0415 -- only a run that wants one pays for it

        why = ""
        try:
            _complete(broker.__aenter__())
        except Unavailable as error:
            why = str(error)
        # Out of the `except`: its error would be shown as well.
        if why and broker.name in self._required:
            pytest.fail(f"{why}\nand {REQUIRE} requires it", pytrace=False)
        if why:
            self._unsaid[broker.name] = why
            pytest.skip(why.partition("\n")[0])
        try:
            yield broker
        finally:
            _complete(broker.__aexit__(None, None, None))

    # -- hooks

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        """Have those run that a test may have left frozen, dead or cut off, because it failed."""
        while self._suspects:
            suspect = self._suspects.pop()
            # One that was there for a module may have ended with it.
            with suppress(ConfigurationError):
                _complete(_mend(suspect))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Add what a broker printed to the report of a test that failed with it."""
        report = yield
        while self._unsaid:
            name, why = self._unsaid.popitem()
            report.sections.append((_MISSING + name, why))
        if report.failed:
            for broker in _used_by(item):
                report.sections.append((f"msgkit: {broker.name} log", _tails(broker)))
                self._suspects.append(broker)
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # Tests may have run in other processes, and their reports alone come here.
        found = {title: why for title, why in report.sections if title.startswith(_MISSING)}
        self._missing.update({title.removeprefix(_MISSING): why for title, why in found.items()})

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for name, why in sorted(self._missing.items()):
            terminalreporter.section(f"tests were skipped for want of {name}")
            terminalreporter.line(why)


async def _mend(broker: "Broker") -> None:
    for node in broker.nodes:
        # Without a proxy there is nothing to heal.
        with suppress(ConfigurationError):
            await node.proxy.heal()
    await broker.resume()
    await broker.start()


def _used_by(item: pytest.Item) -> "list[Broker]":
    """Return the brokers of a test that the run has started."""
    values: dict[str, Broker] = getattr(item, "funcargs", {})
    used = {id(values[name]): values[name] for name in ("broker", *REAL) if name in values}
    return [broker for broker in used.values() if getattr(broker, "nodes", ())]


def _tails(broker: "Broker") -> str:
    """Return the end of what each program of a broker has printed."""
    try:
        log = _complete(broker.log(), within=_SHOWING)
    except Exception as error:  # noqa: BLE001 -- a report of one failure is no place for another
        return f"it cannot be shown: {error!r}"
    programs = re.split(r"^(?=-- )", log, flags=re.MULTILINE)
    return "\n".join(_tail(lines) for program in programs if (lines := program.splitlines()))


def _tail(lines: Sequence[str]) -> str:
    if len(lines) <= _LOG_LINES:
        return "\n".join(lines)
    return "\n".join([lines[0], f"… {len(lines) - _LOG_LINES} lines …", *lines[1 - _LOG_LINES :]])


def _complete(work: Coroutine[Any, Any, T], *, within: float | None = None) -> T:
    """Run something to its end on a loop of its own, of which the test's knows nothing."""
    import asyncio  # noqa: PLC0415 -- every project's pytest loads this, and not every one uses asyncio
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 -- as above

    def run() -> T:
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            return runner.run(timed())

    async def timed() -> T:
        async with asyncio.timeout(within):
            return await work

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return run()
    with ThreadPoolExecutor(1) as elsewhere:
        return elsewhere.submit(run).result()
