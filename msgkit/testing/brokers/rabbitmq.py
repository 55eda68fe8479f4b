"""RabbitMQ for tests."""

import os
import secrets
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

from msgkit.errors import ConfigurationError
from msgkit.testing.brokers.answering import amqp_answers, amqp_version, listens
from msgkit.testing.brokers.broker import Broker, Layout
from msgkit.testing.brokers.nodes import Node
from msgkit.testing.brokers.processes import ProcessHost
from msgkit.testing.brokers.programs import LOOPBACK, Host, Program
from msgkit.testing.brokers.supply import Provider, Supply, Unavailable, fits
from msgkit.testing.proxy import Address

__all__ = ["RabbitMQ"]

#: Debian's scripts in PATH change the user and the folder before they begin; these do not.
_DEBIAN = Path("/usr/lib/rabbitmq/bin")
_MANAGEMENT = "rabbitmq_management"
_ERLANG = "-kernel inet_dist_use_interface {127,0,0,1}"
#: What expires while its next queue has no leader is tried again when that is over, which is 3 minutes by default.
_SOONER = "-rabbit dead_letter_worker_publisher_confirm_timeout 2000"


class RabbitMQ(Broker):
    """RabbitMQ; as a cluster, for quorum queues that survive the loss of a node.

    :param management: is there a management page? It takes a second or two to start.
    """

    name: ClassVar[str] = "rabbitmq"
    title: ClassVar[str] = "RabbitMQ"
    _port = 5672
    _in_image = str(_DEBIAN)

    def __init__(
        self,
        version: str | None = None,
        *,
        provider: Provider | None = None,
        nodes: int = 1,
        proxied: bool = False,
        config: Mapping[str, object] | None = None,
        management: bool = False,
    ) -> None:
        super().__init__(version, provider=provider, nodes=nodes, proxied=proxied, config=config)
        self._plugins = [_MANAGEMENT] if management else []
        self._management: Address | None = None
        #: Who knows it may do all that the broker may.
        self._cookie = secrets.token_hex(16)

    @property
    def management_url(self) -> str:
        """Where the management page is; its user is `guest`, with the password `guest`.

        :raises ConfigurationError: when it was not asked for
        """
        if self._management is None:
            msg = "this RabbitMQ has no management page: ask for one with RabbitMQ(management=True)"
            raise ConfigurationError(msg)
        return f"http://{self._management}"

    async def ctl(self, *arguments: str) -> str:
        """Run `rabbitmqctl` for the first node, and return what it printed.

        :raises MessagingError: with what it printed, when it failed
        """
        return await self.nodes[0].execute("sh", "-c", _ctl(self._open_supply, *arguments))

    # -- where it comes from

    def _installed(self) -> Supply:
        found = shutil.which("rabbitmq-server", path=os.pathsep.join([str(_DEBIAN), os.environ.get("PATH", "")]))
        if found is None:
            msg = (
                "rabbitmq-server is not installed: run `python -m msgkit.testing.brokers install rabbitmq`, "
                "or `apt-get install rabbitmq-server`"
            )
            raise Unavailable(msg)
        # …/rabbitmq_server-3.10.8/sbin/rabbitmq-server
        version = Path(found).resolve().parent.parent.name.rpartition("-")[2]
        fits(self.title, self._wanted, [version])
        return Supply(provider="process", version=version, software=str(Path(found).parent), host=ProcessHost)

    async def _found_there(self, url: str, addresses: Sequence[Address]) -> Layout:
        if not self._proxied:
            return await super()._found_there(url, addresses)
        # It tells its clients nothing of where it is, so that they stay with the proxy.
        proxy = self._new_proxy()
        doors = [await proxy.open(address) for address in addresses]
        parts = urlsplit(url)
        user = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
        through = parts._replace(netloc=f"{user}{','.join(map(str, doors))}").geturl()
        return Layout(nodes=(), url=through, addresses=doors, direct=addresses)

    # -- what runs

    def _lay_out(self, host: Host, supply: Supply) -> Layout:
        epmd = host.reserve()
        if self._plugins:
            self._management = Address(host.address, host.reserve())
        nodes = [self._node(host, supply, epmd, number) for number in range(1, self._size + 1)]
        addresses = [node.address for node in nodes]
        return Layout(
            nodes=nodes,
            # A container has one of its own. Here it must not come and go with one of the nodes.
            others=[_epmd(host, epmd)] if supply.provider == "process" else (),
            settle=partial(self._join, supply),
            url=f"amqp://guest:guest@{','.join(map(str, addresses))}",
            addresses=addresses,
            direct=[node.direct for node in nodes],
        )

    def _node(self, host: Host, supply: Supply, epmd: int, number: int) -> Node:
        direct = Address(host.address, host.reserve())
        proxy, address = self._in_front_of(direct, host)
        ports = {direct.port: direct.port}
        if self._management is not None and number == 1:
            ports[self._management.port] = self._management.port
        folder = f"{host.home}/{number}"
        program = Program(
            name=f"{self.name}-{number}",
            script=f"PATH={shlex.quote(supply.software)}:$PATH\nexec rabbitmq-server",
            env={
                "ERL_EPMD_ADDRESS": LOOPBACK,
                "ERL_EPMD_PORT": str(epmd),
                "RABBITMQ_NODENAME": _nodename(number),
                "RABBITMQ_DIST_PORT": str(host.reserve()),
                "RABBITMQ_MNESIA_BASE": f"{folder}/data",
                "RABBITMQ_LOG_BASE": f"{folder}/log",
                "RABBITMQ_LOGS": "-",
                "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq.conf",
                # Neither what the machine says of its own RabbitMQ, nor what an image does.
                "RABBITMQ_CONF_ENV_FILE": f"{folder}/none",
                "RABBITMQ_CONFIG_FILES": f"{folder}/none",
                "RABBITMQ_ADVANCED_CONFIG_FILE": f"{folder}/none",
                "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/plugins",
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"{_ERLANG} {_SOONER}",
            },
            files={
                ".erlang.cookie": self._cookie,
                f"{number}/plugins": f"[{','.join(self._plugins)}].\n",
                f"{number}/rabbitmq.conf": self._configured(host, direct.port),
            },
            ports=ports,
        )
        return Node(
            program.name,
            host.add(program),
            address=address,
            direct=direct,
            proxy=proxy,
            answers=partial(amqp_answers, direct),
        )

    def _configured(self, host: Host, port: int) -> str:
        lines = {
            "listeners.tcp.1": f"{host.bind}:{port}",
            # Where it runs in a container, who comes from outside is no local user.
            "loopback_users": "none",
            "log.console": "true",
            "log.console.level": "info",
            "log.file": "false",
            # Written ahead in memory; its default of 512 MiB is for servers.
            "raft.wal_max_size_bytes": str(64 * 1024 * 1024),
        }
        if self._management is not None:
            lines |= {"management.tcp.ip": host.bind, "management.tcp.port": str(self._management.port)}
        if self._size > 1:
            lines["cluster_formation.peer_discovery_backend"] = "classic_config"
            for number in range(1, self._size + 1):
                lines[f"cluster_formation.classic_config.nodes.{number}"] = _nodename(number)
        return "".join(f"{name} = {value}\n" for name, value in {**lines, **self._config}.items())

    def _join(self, supply: Supply) -> None:
        """Return when the nodes of a cluster have found each other."""
        if self._size > 1:
            self.nodes[0].execute_now("sh", "-c", _ctl(supply, "await_online_nodes", str(self._size)))

    def _told(self, supply: Supply) -> Supply:
        return replace(supply, version=amqp_version(self.direct[0]))


def _nodename(number: int) -> str:
    # Their epmd is their own, so that others of that name are never met.
    return f"msgkit{number}@localhost"


def _ctl(supply: Supply, *arguments: str) -> str:
    return f"PATH={shlex.quote(supply.software)}:$PATH; exec {shlex.join(['rabbitmqctl', '--quiet', *arguments])}"


def _epmd(host: Host, port: int) -> Node:
    program = Program(name="epmd", script=f"exec epmd -address {LOOPBACK} -port {port}")
    address = Address(LOOPBACK, port)
    return Node(
        program.name,
        host.add(program),
        address=address,
        direct=address,
        proxy=None,
        answers=partial(listens, address),
    )
