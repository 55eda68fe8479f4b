"""The brokers of one program: found by URL, connected once, known by the names of the settings."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from urllib.parse import urlsplit

from msgkit.clock import Clock
from msgkit.errors import Closed, ConfigurationError, MessagingError
from msgkit.settings import Broker, Settings, redact
from msgkit.spi import (
    Binding,
    BindingOptions,
    Capabilities,
    Down,
    Event,
    Fatal,
    Gap,
    Plan,
    Power,
    ProvisionMode,
    Topology,
    Up,
)

__all__ = ["BindingFactory", "Link", "Links", "binding_for", "register_binding"]

logger = logging.getLogger("msgkit")

#: Seconds that letting go may take when whoever asked for it waits no longer.
_HURRIED = 2.0

BindingFactory = Callable[[BindingOptions], Binding]
_factories: dict[str, BindingFactory] = {}


def register_binding(scheme: str, factory: BindingFactory) -> None:
    """Have URLs of a scheme served by a factory: for bindings that no installed package offers."""
    _factories[scheme] = factory


def binding_for(url: str) -> BindingFactory:
    """Return what makes the binding for a URL.

    :raises ConfigurationError: when it is no URL, no binding serves its scheme, or the client library is missing
    """
    scheme = _scheme(url)
    if scheme not in _factories:
        _factories[scheme] = _load(scheme, url)
    return _factories[scheme]


def _scheme(url: str) -> str:
    try:
        return urlsplit(url).scheme
    except ValueError:
        # What it says may quote the password.
        msg = f"{redact(url)!r} is no URL"
        raise ConfigurationError(msg) from None


def _load(scheme: str, url: str) -> BindingFactory:
    # Reading what is installed takes longer than all other imports of this package.
    from importlib.metadata import entry_points  # noqa: PLC0415 -- see above

    found = {entry.name: entry for entry in entry_points(group="msgkit.bindings")}
    if scheme not in found:
        known = ", ".join(f"{name}://" for name in sorted({*found, *_factories}))
        msg = f"no binding serves {redact(url)!r}; the known ones are {known}"
        raise ConfigurationError(msg)
    entry = found[scheme]
    try:
        factory: BindingFactory = entry.load()
    except ModuleNotFoundError as error:
        extra = entry.extras[0] if entry.extras else scheme
        package = entry.dist.name if entry.dist else "msgkit-messaging"
        msg = f"{scheme}:// needs the package {error.name!r}; run: pip install '{package}[{extra}]'"
        raise ConfigurationError(msg) from error
    return factory


class Link:
    """One broker, connected: its binding, what it keeps, and how it fares."""

    def __init__(self, broker: Broker, *, clock: Clock, wait: float) -> None:
        self.broker = broker
        self.binding = binding_for(broker.url)(
            BindingOptions(url=broker.url, name=broker.name, options=broker.options, clock=clock, wait=wait)
        )
        self.trouble: str | None = "not connected yet"
        self.connected = False
        self._watchers: list[Callable[[Event], None]] = []
        self._capabilities: Capabilities | None = None

    async def open(self) -> None:
        self._capabilities = await self.binding.connect(self._on_event)
        self.trouble = None
        self.connected = True

    @property
    def capabilities(self) -> Capabilities:
        if self._capabilities is None:
            msg = f"broker {self.broker.name!r} is not connected"
            raise Closed(msg)
        return self._capabilities

    def watch(self, watcher: Callable[[Event], None]) -> Callable[[], None]:
        """Tell `watcher` what happens to the connection; the result takes that back."""
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    async def declare(self, topology: Topology, mode: ProvisionMode | None = None) -> Plan:
        """Bring about a topology, in the mode of the settings unless another is given."""
        if mode is ProvisionMode.PRUNE:
            self.capabilities.require(Power.PRUNE, f"pruning broker {self.broker.name!r}")
        return await self.binding.provision(topology, mode or ProvisionMode(self.broker.topology))

    async def close(self, deadline: float) -> None:
        self.connected = False
        self.trouble = "closed"
        await self.binding.close(deadline)

    def _on_event(self, event: Event) -> None:
        match event:
            case Up():
                if self.trouble is not None:
                    logger.info("broker %r is back", self.broker.name)
                self.connected, self.trouble = True, None
            case Down(reason):
                logger.warning("broker %r is lost (%s); connecting again", self.broker.name, reason)
                self.connected, self.trouble = False, reason
            case Gap(queue, reason):
                logger.error("messages passed by the anonymous queue %r: %s", queue, reason)
            case Fatal(reason):
                logger.critical("broker %r: %s", self.broker.name, reason)
                self.trouble = reason
        for watcher in tuple(self._watchers):
            watcher(event)


class Links:
    """All brokers of one program; each is connected when it is first asked for."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self._open: dict[str, Link] = {}
        # Each has its own turn: one that cannot be reached keeps nobody from the others.
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._closed = False

    def __iter__(self) -> Iterator[Link]:
        return iter(tuple(self._open.values()))

    async def get(self, name: str) -> Link:
        """Return the link to a broker, connected.

        :raises ConfigurationError: when the settings name no such broker
        :raises BrokerUnavailable: when it cannot be reached in time
        """
        link = self._open.get(name)
        if link is None:
            async with self._turns[name]:
                link = self._open.get(name) or await self._connect(name)
        return link

    async def _connect(self, name: str) -> Link:
        self._refuse_when_closed(name)
        broker = self.settings.broker(name)
        if name == "default" and broker.url.startswith("memory:") and not self.settings.chosen("url"):
            logger.warning(
                "no broker was chosen, so messages are kept in this process only and end with it; "
                "set MSGKIT_URL (memory:// says that this is meant)"
            )
        link = Link(broker, clock=self.clock, wait=self.settings.wait_for_broker)
        try:
            await link.open()
            self._refuse_when_closed(name)
        except BaseException:
            # Whoever gave up waiting leaves no connection behind that comes about later.
            with suppress(MessagingError):
                await link.close(0.0)
            raise
        self._open[name] = link
        return link

    def _refuse_when_closed(self, name: str) -> None:
        if self._closed:
            msg = f"the connection to broker {name!r} is closed"
            raise Closed(msg)

    async def close(self, deadline: float) -> None:
        self._closed = True
        links, self._open = tuple(self._open.values()), {}
        closing = [asyncio.create_task(link.close(deadline)) for link in links]
        if not closing:
            return
        try:
            await asyncio.wait(closing)
        except asyncio.CancelledError:
            # Whoever insists need not wait for long; but no connection may be left behind.
            done, _ = await asyncio.wait(closing, timeout=_HURRIED)
            for task in done:
                # Looked at, since it will not be told any more.
                task.exception()
            raise
        for link, task in zip(links, closing, strict=True):
            error = task.exception()
            if isinstance(error, MessagingError):
                logger.warning("broker %r was not left in order: %s", link.broker.name, error)
            elif error is not None:
                raise error
