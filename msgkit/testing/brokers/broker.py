"""A real broker for tests, wherever it comes from."""

import asyncio
import secrets
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, ClassVar, Self

from msgkit.errors import ConfigurationError
from msgkit.settings import redact
from msgkit.testing.brokers.nodes import Node, together
from msgkit.testing.brokers.programs import Host
from msgkit.testing.brokers.supply import (
    Provider,
    Supply,
    Unavailable,
    addresses_in,
    contained,
    external_url,
    providers,
    variable,
)
from msgkit.testing.proxy import Address, FaultProxy

__all__ = ["Broker", "Layout"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What a broker consists of, once it is known where it runs."""

    nodes: Sequence[Node]
    #: What runs beside the nodes, and is started before them.
    others: Sequence[Node] = ()
    #: What the nodes have to do together before they are of use; blocks.
    settle: Callable[[], None] = lambda: None
    url: str
    addresses: Sequence[Address]
    direct: Sequence[Address]


class Broker(ABC):
    """A broker of a test's own: `async with` starts it, and ends it with all that it holds.

    It comes from the first provider that can serve: an address given in the environment
    (`MSGKIT_TEST_RABBITMQ_URL`), a container, processes of this machine. `MSGKIT_TEST_PROVIDER`
    or `provider` names the only one. Its ports, its folders and its names are its own, so that
    several run at once. Nothing of it is left when this process is gone, however that ends.

    It belongs to no event loop: one that was started in one may be used in another.

    :param version: such as "4" or "3.10"; the one that is tested most, when none is given
    :param nodes: how many make up the broker: 1, or 3 for a cluster
    :param proxied: does a `FaultProxy` stand in front of it?
    :param config: lines of its configuration, which win over those it is given here
    :raises Unavailable: by `async with`, saying for each provider why it cannot serve, and how it could
    """

    #: "rabbitmq", "kafka", …
    name: ClassVar[str]
    #: How people write it.
    title: ClassVar[str]

    def __init__(
        self,
        version: str | None = None,
        *,
        provider: Provider | None = None,
        nodes: int = 1,
        proxied: bool = False,
        config: Mapping[str, object] | None = None,
    ) -> None:
        if nodes not in {1, 3}:
            msg = f"a broker has 1 node, or 3 as a cluster, not {nodes}"
            raise ConfigurationError(msg)
        #: What its folder, its containers (label `msgkit.instance`) and its keeper are called.
        self.instance = f"{self.name}-{secrets.token_hex(4)}"
        self._wanted = version
        self._provider: Provider | None = provider
        self._size = nodes
        self._proxied = proxied
        self._config = {name: str(value) for name, value in (config or {}).items()}
        self._proxies: list[FaultProxy] = []
        self._host: Host | None = None
        self._given_up = threading.Event()
        self._supply: Supply | None = None
        self._layout: Layout | None = None

    def __repr__(self) -> str:
        ended = "ended" if self._supply else "not started"
        state = redact(self._layout.url) if self._layout else ended
        return f"<{type(self).__name__} {state}>"

    # -- what it is

    @property
    def url(self) -> str:
        """What `MSGKIT_URL` is to be. Other clients may not know URLs of several hosts: give them `addresses`."""
        return self._open_layout.url

    @property
    def addresses(self) -> Sequence[Address]:
        """What clients of any kind connect to; through the proxy, if there is one."""
        return self._open_layout.addresses

    @property
    def direct(self) -> Sequence[Address]:
        """The same, past the proxy."""
        return self._open_layout.direct

    @property
    def provider(self) -> Provider:
        """Where it came from: "external", "container" or "process"."""
        return self._open_supply.provider

    @property
    def version(self) -> str:
        """What it is a version of, as exactly as is known; empty when it is not."""
        return self._open_supply.version

    @property
    def nodes(self) -> Sequence[Node]:
        """Its programs, each with faults of its own; none where it is external."""
        return self._open_layout.nodes

    @property
    def proxy(self) -> FaultProxy:
        """What stands in front of it. In a cluster each node has one of its own.

        :raises ConfigurationError: when nothing does, or the broker is a cluster
        """
        self._open_layout  # noqa: B018 -- what was not started has none
        if len(self._proxies) == 1:
            return self._proxies[0]
        if self._proxies:
            msg = f"each node of this {self.title} has a proxy of its own: use broker.nodes[0].proxy"
        else:
            msg = f"this {self.title} has no proxy in front of it: ask for one with {type(self).__name__}(proxied=True)"
        raise ConfigurationError(msg)

    # -- what can be done to it

    async def stop(self) -> None:
        """Stop it in its orderly way; returns when it has ended."""
        await self._each(lambda node: node.stop_now)

    async def start(self) -> None:
        """Start it again after `stop` or `kill`, on the same data; returns when it answers."""
        await self._each(lambda node: node.start_now)
        await asyncio.to_thread(self._open_layout.settle)

    async def kill(self) -> None:
        """End it by SIGKILL; returns when it is gone. `start` brings it back on the same data."""
        await self._each(lambda node: node.kill_now)

    async def pause(self) -> None:
        """Freeze it: connections stay open, new ones are taken, and nothing answers."""
        await self._each(lambda node: node.pause_now)

    async def resume(self) -> None:
        """Let it go on after `pause`."""
        await self._each(lambda node: node.resume_now)

    async def log(self) -> str:
        """Return what its programs have printed so far; empty where it is external."""
        layout = self._open_layout
        logs = [f"-- {node.name}\n{await node.log()}" for node in (*layout.others, *layout.nodes)]
        return "\n".join(logs)

    async def _each(self, fault: Callable[[Node], Callable[[], None]]) -> None:
        nodes = self._open_layout.nodes
        if not nodes:
            msg = f"this {self.title} is at {redact(self.url)}, given by {variable(self.name)}: it is not ours to hurt"
            raise ConfigurationError(msg)
        await together(*(fault(node) for node in nodes))

    # -- its life

    async def __aenter__(self) -> Self:
        if self._supply is not None:
            msg = f"{self!r} was started before; make another one"
            raise ConfigurationError(msg)
        self._supply = await asyncio.to_thread(self._find)
        try:
            await self._open()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._close()

    def _find(self) -> Supply:
        lacking: list[str] = []
        asked: Sequence[Provider] = providers(self._provider)
        if self._size > 1:
            if "process" not in asked:
                msg = f"a cluster of {self.title} is made of processes, and only {asked[0]!r} may be asked"
                raise Unavailable(msg)
            asked = ["process"]
        for provider in asked:
            try:
                return self._supplied(provider)
            except Unavailable as error:
                lacking.append(f"  {provider}: {error}")
        raise Unavailable("\n".join([f"no {self.title} can be had here", *lacking]))

    def _supplied(self, provider: Provider) -> Supply:
        match provider:
            case "external":
                external_url(self.name)
                return Supply(provider=provider)
            case "container":
                return contained(self.name, self._wanted, software=self._in_image)
            case "process":
                return self._installed()

    async def _open(self) -> None:
        supply = self._open_supply
        if supply.host is None:
            url = external_url(self.name)
            self._layout = await self._found_there(url, addresses_in(url, self._port))
            return
        opening = asyncio.ensure_future(asyncio.to_thread(self._open_at, supply.host))
        try:
            await asyncio.shield(opening)
        except asyncio.CancelledError:
            # What is being made has to be there before it can be taken away.
            self._given_up.set()
            if self._host is not None:
                self._host.give_up()
            await asyncio.wait([opening])
            # What it failed with then is no news.
            opening.exception()
            raise

    def _open_at(self, place: Callable[[str], Host]) -> None:
        """Start all of it, and return when it answers. Blocks."""
        self._host = host = place(self.instance)
        if self._given_up.is_set():
            return
        layout = self._lay_out(host, self._open_supply)
        for node in layout.others:
            node.start_now()
        self._layout = layout
        asyncio.run(self.start())
        self._supply = self._told(self._open_supply)

    async def _close(self) -> None:
        try:
            while self._proxies:
                await self._proxies.pop().close()
        finally:
            if self._host is not None:
                await _whole(self._host.close)
            self._layout = self._host = None

    # -- for the kinds of broker

    #: Where it listens, when a URL does not say.
    _port: ClassVar[int]
    #: Where its programs stand in an image.
    _in_image: ClassVar[str]

    @abstractmethod
    def _installed(self) -> Supply:
        """Return what processes of this machine can give.

        :raises Unavailable: saying what is missing, and how to get it
        """

    @abstractmethod
    def _lay_out(self, host: Host, supply: Supply) -> Layout:
        """Say what runs where."""

    async def _found_there(self, url: str, addresses: Sequence[Address]) -> Layout:
        """Say how to reach what the environment names."""
        if self._proxied:
            msg = f"a {self.title} of somebody else tells its clients its own address: no proxy can stand before it"
            raise ConfigurationError(msg)
        return Layout(nodes=(), url=url, addresses=addresses, direct=addresses)

    def _told(self, supply: Supply) -> Supply:
        """Return what is known of it now that it can be asked; blocks."""
        return supply

    def _in_front_of(self, direct: Address, host: Host) -> tuple[FaultProxy | None, Address]:
        """Return a proxy before an address, and where it is found; the address itself where none is wanted. Blocks."""
        if not self._proxied:
            return None, direct
        proxy = self._new_proxy()
        return proxy, self._door(proxy, direct, host.reserve())

    def _door(self, proxy: FaultProxy, direct: Address, port: int) -> Address:
        """Open a door of a proxy, before anything is behind it. Blocks."""
        return asyncio.run(proxy.open(direct, port))

    def _new_proxy(self) -> FaultProxy:
        proxy = FaultProxy()
        self._proxies.append(proxy)
        return proxy

    @property
    def _open_layout(self) -> Layout:
        if self._layout is None:
            msg = f"this {self.title} has not been started, or has ended: use it within `async with`"
            raise ConfigurationError(msg)
        return self._layout

    @property
    def _open_supply(self) -> Supply:
        if self._supply is None:
            msg = f"this {self.title} has not been started: use it within `async with`"
            raise ConfigurationError(msg)
        return self._supply


async def _whole(work: Callable[[], Any]) -> None:
    """Do what blocks in a thread; who is cancelled meanwhile still waits for its end."""
    doing = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        await asyncio.shield(doing)
    except asyncio.CancelledError:
        await asyncio.wait([doing])
        raise
