"""RocketMQ for tests: a name server, and one broker."""

import shlex
from collections.abc import Mapping
from typing import ClassVar

from msgkit.errors import ConfigurationError
from msgkit.testing.brokers.answering import rocketmq_brokers, rocketmq_runs
from msgkit.testing.brokers.broker import Broker, Layout
from msgkit.testing.brokers.nodes import Node
from msgkit.testing.brokers.programs import Host, Program
from msgkit.testing.brokers.supply import Provider, Supply, from_jars, java_in
from msgkit.testing.proxy import Address, FaultProxy

__all__ = ["RocketMQ"]

_NAMES = "names"
#: It looks at every interface of the machine, and ends when one vanishes just then, as those of containers do.
_PASSING = "getFlags() failed"
_ADMIN = "org.apache.rocketmq.tools.command.MQAdminStartup"
#: Within the official image, and the one that is built here.
_IN_IMAGE = "$ROCKETMQ_HOME/lib"
#: The loopback of a proxied broker: it tells its clients its port, but not where it listens itself.
_BEHIND = "127.0.0.2"
#: What the broker opens beside its own port: one for the impatient, and one for replicas.
_FAST, _REPLICAS = -2, 1
_OPENED = (
    "--add-opens=java.base/java.nio=ALL-UNNAMED",
    "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
    "--add-opens=java.base/java.lang=ALL-UNNAMED",
    "--add-opens=java.base/java.util=ALL-UNNAMED",
    "--add-opens=java.base/jdk.internal.misc=ALL-UNNAMED",
    "--add-exports=java.base/jdk.internal.ref=ALL-UNNAMED",
)
_LOGGING = """\
<configuration>
  <appender name="console" class="org.apache.rocketmq.logging.ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%date %-5level %logger{0}: %message%n</pattern></encoder>
  </appender>
  <logger name="RocketmqCommon" level="warn"/>
  <logger name="RocketmqRemoting" level="warn"/>
  <logger name="RocketmqStats" level="off"/>
  <logger name="RocketmqTraffic" level="off"/>
  <logger name="RocketmqWaterMark" level="off"/>
  <logger name="RocketmqNamesrvWaterMark" level="off"/>
  <root level="info"><appender-ref ref="console"/></root>
</configuration>
"""


class RocketMQ(Broker):
    """RocketMQ. Its node is the broker; the name server has a life of its own.

    As a process it opens one port on all interfaces, of which its settings know nothing but the
    number: that for replicas. A container shows it to nobody.

    :param tls: does it speak TLS as well, with a certificate of its own making? That takes a second or two to make.
    """

    name: ClassVar[str] = "rocketmq"
    title: ClassVar[str] = "RocketMQ"
    _port = 9876
    _in_image = _IN_IMAGE

    def __init__(
        self,
        version: str | None = None,
        *,
        provider: Provider | None = None,
        proxied: bool = False,
        config: Mapping[str, object] | None = None,
        tls: bool = False,
    ) -> None:
        super().__init__(version, provider=provider, proxied=proxied, config=config)
        self._tls = "permissive" if tls else "disabled"
        #: The name server, as the broker sees it.
        self._names_at = ""

    @property
    def name_server(self) -> Node:
        """What clients ask where the broker is.

        :raises ConfigurationError: when somebody else runs it
        """
        others = self._open_layout.others
        if not others:
            msg = "this RocketMQ is somebody else's: its name server is not ours to hurt"
            raise ConfigurationError(msg)
        return others[0]

    async def admin(self, *arguments: str) -> str:
        """Run `mqadmin`, which is of RocketMQ's own Java client, and return what it printed.

        :raises MessagingError: with what it printed, when it failed
        """
        tool = (
            f'exec {java_in(self._open_supply)} -cp "$libraries" {_ADMIN} {shlex.join(arguments)} -n {self._names_at}'
        )
        return await self.nodes[0].execute("sh", "-c", f"{_libraries(self._open_supply)}\n{tool}")

    # -- where it comes from

    def _installed(self) -> Supply:
        return from_jars(self.name, self._wanted)

    # -- what runs

    def _lay_out(self, host: Host, supply: Supply) -> Layout:
        proxy = self._new_proxy() if self._proxied else None
        names = self._names(host, supply, proxy)
        broker = self._broker(host, supply, proxy, names)
        self._names_at = f"{host.name_of(_NAMES)}:{names.direct.port}"
        return Layout(
            nodes=[broker],
            others=[names],
            url=f"rocketmq://{names.address}",
            addresses=[names.address],
            direct=[names.direct],
        )

    def _names(self, host: Host, supply: Supply, proxy: FaultProxy | None) -> Node:
        direct = Address(host.address, host.reserve())
        lines = {"listenPort": str(direct.port), "bindAddress": host.bind}
        program = Program(
            name=_NAMES,
            script=self._script(host, supply, "-Xmx256m", "org.apache.rocketmq.namesrv.NamesrvStartup -c names.conf"),
            files={"logging.xml": _LOGGING, "names.conf": _properties(lines)},
            ports={direct.port: direct.port},
        )
        # Before any that depends on it: it has to be there to be found by its name.
        host.name_of(_NAMES)
        return Node(
            program.name,
            host.add(program),
            address=self._door(proxy, direct, host.reserve()) if proxy else direct,
            direct=direct,
            proxy=proxy,
            answers=lambda: bool(rocketmq_brokers(direct)),
            passing=_PASSING,
        )

    def _broker(self, host: Host, supply: Supply, proxy: FaultProxy | None, names: Node) -> Node:
        # The names tell clients the port that it listens on, so that the proxy has to have the same.
        address = Address(host.address, host.reserve(_FAST, _REPLICAS))
        bind, direct = host.bind, address
        if proxy is not None and supply.provider == "process":
            bind, direct = _BEHIND, Address(_BEHIND, address.port)
        elif proxy is not None:
            direct = Address(host.address, host.reserve())
        lines = {
            "brokerClusterName": "DefaultCluster",
            "brokerName": "broker-a",
            "brokerId": "0",
            "namesrvAddr": f"{host.name_of(_NAMES)}:{names.direct.port}",
            "brokerIP1": address.host,
            "listenPort": str(address.port),
            "bindAddress": bind,
            "haListenPort": str(address.port + _REPLICAS),
            "storePathRootDir": f"{host.home}/store",
            "enablePropertyFilter": "true",
            # A topic that nobody declared is a mistake.
            "autoCreateTopicEnable": "false",
            # What it has confirmed is to be there after it was killed.
            "flushDiskType": "SYNC_FLUSH",
            "mappedFileSizeCommitLog": str(64 * 1024 * 1024),
            # Writing down where each delayed message stands takes a fifth of a second, and 39 MB. What was not written
            # down is read again from the log.
            "timerFlushIntervalMs": "5000",
            **self._config,
        }
        program = Program(
            name=f"{self.name}-1",
            script=self._script(
                host,
                supply,
                "-Xmx1g -XX:MaxDirectMemorySize=512m",
                # A disk that is nearly full, as those of developers are, is none of a test's business.
                "-Drocketmq.broker.diskSpaceWarningLevelRatio=0.99",
                "org.apache.rocketmq.broker.BrokerStartup -c broker.conf",
            ),
            files={"logging.xml": _LOGGING, "broker.conf": _properties(lines)},
            ports={address.port: direct.port},
        )
        if proxy is not None:
            self._door(proxy, direct, address.port)
        return Node(
            program.name,
            host.add(program),
            address=address,
            direct=direct,
            proxy=proxy,
            answers=lambda: str(address) in rocketmq_brokers(names.direct) and rocketmq_runs(direct),
            passing=_PASSING,
        )

    def _script(self, host: Host, supply: Supply, *arguments: str) -> str:
        # The home of the image is told apart from that of the program, where its store and its logs go.
        options = (
            f"-Duser.home={shlex.quote(host.home)}",
            f"-Drmq.logback.configurationFile={shlex.quote(host.home)}/logging.xml",
            f"-Dtls.server.mode={self._tls}",
        )
        return "\n".join(
            [
                _libraries(supply),
                f"export ROCKETMQ_HOME={shlex.quote(host.home)} JDK_JAVA_OPTIONS={shlex.quote(' '.join(_OPENED))}",
                f'exec {java_in(supply)} {" ".join(options)} -cp "$libraries" {" ".join(arguments)}',
            ]
        )


def _libraries(supply: Supply) -> str:
    return f'libraries="{supply.software}/*"'


def _properties(lines: Mapping[str, str]) -> str:
    return "".join(f"{name}={value}\n" for name, value in lines.items())
