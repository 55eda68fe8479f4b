"""Kafka for tests."""

import shlex
import time
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from functools import partial
from secrets import token_bytes
from typing import ClassVar

from msgkit.errors import MessagingError
from msgkit.testing.brokers.answering import kafka_brokers
from msgkit.testing.brokers.broker import Broker, Layout
from msgkit.testing.brokers.nodes import Node
from msgkit.testing.brokers.programs import LOOPBACK, Host, Program
from msgkit.testing.brokers.supply import Supply, from_jars, java_in
from msgkit.testing.proxy import Address

__all__ = ["Kafka"]

_PATIENCE = 60.0
_LOOK = 0.05
#: Within the official image, and the one that is built here.
_IN_IMAGE = "/opt/kafka/libs"
_LOGGING = " ".join(
    f"-Dorg.slf4j.simpleLogger.{name}"
    for name in (
        "showDateTime=true",
        "dateTimeFormat=HH:mm:ss.SSS",
        "showShortLogName=true",
        "showThreadName=false",
        "log.org.apache.kafka.common=warn",
    )
)


class Kafka(Broker):
    """Kafka, by KRaft: no ZooKeeper. As a cluster each topic has three replicas, of which two must be in step.

    A topic that nobody created is an error, unless `config` says `auto.create.topics.enable`.
    """

    name: ClassVar[str] = "kafka"
    title: ClassVar[str] = "Kafka"
    _port = 9092
    _in_image = _IN_IMAGE

    def _installed(self) -> Supply:
        return from_jars(self.name, self._wanted)

    # -- what runs

    def _lay_out(self, host: Host, supply: Supply) -> Layout:
        # The first byte is fixed: an id that begins with a dash would be taken for an option.
        cluster = urlsafe_b64encode(b"m" + token_bytes(15)).rstrip(b"=").decode()
        controllers = {number: host.reserve() for number in range(1, self._size + 1)}
        nodes = [self._node(host, supply, cluster, number, controllers) for number in controllers]
        addresses = [node.address for node in nodes]
        return Layout(
            nodes=nodes,
            settle=partial(self._join, nodes),
            url=f"kafka://{','.join(map(str, addresses))}",
            addresses=addresses,
            direct=[node.direct for node in nodes],
        )

    def _node(self, host: Host, supply: Supply, cluster: str, number: int, controllers: Mapping[int, int]) -> Node:
        clients, own = Address(host.address, host.reserve()), Address(LOOPBACK, host.reserve())
        proxy, address = self._in_front_of(clients, host)
        # By listener: the port, and where those who come there are told to go on.
        listeners = {"CLIENTS": (host.bind, clients.port, address), "BROKERS": (LOOPBACK, own.port, own)}
        direct = clients
        if proxy is not None:
            direct = Address(host.address, host.reserve())
            listeners["DIRECT"] = (host.bind, direct.port, direct)
        folder = f"{host.home}/{number}"
        lines = {
            **self._configured(controllers),
            "node.id": str(number),
            "log.dirs": f"{folder}/data",
            "listeners": ",".join(
                [
                    *(f"{name}://{bind}:{port}" for name, (bind, port, _) in listeners.items()),
                    f"CONTROLLER://{LOOPBACK}:{controllers[number]}",
                ]
            ),
            "advertised.listeners": ",".join(f"{name}://{told}" for name, (_, _, told) in listeners.items()),
            "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in [*listeners, "CONTROLLER"]),
            **self._config,
        }
        jvm = f"{java_in(supply)} -Xmx512m -cp {shlex.quote(supply.software)}/'*'"
        program = Program(
            name=f"{self.name}-{number}",
            script=(
                f"[ -e {number}/data/meta.properties ] ||"
                f" {jvm} kafka.tools.StorageTool format --ignore-formatted -t {cluster} -c {number}/server.properties\n"
                f"exec {jvm} {_LOGGING} kafka.Kafka {number}/server.properties"
            ),
            files={
                f"{number}/server.properties": "".join(f"{name}={value}\n" for name, value in lines.items()),
            },
            ports={port: port for name, (_, port, _) in listeners.items() if name != "BROKERS"},
        )
        return Node(
            program.name,
            host.add(program),
            address=address,
            direct=direct,
            proxy=proxy,
            answers=lambda: number in kafka_brokers(direct),
        )

    def _configured(self, controllers: Mapping[int, int]) -> Mapping[str, str]:
        voters = ",".join(f"{number}@{LOOPBACK}:{port}" for number, port in controllers.items())
        replicas, in_step = str(self._size), str(max(1, self._size - 1))
        return {
            "process.roles": "broker,controller",
            "controller.quorum.voters": voters,
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "BROKERS",
            "default.replication.factor": replicas,
            "min.insync.replicas": in_step,
            "offsets.topic.replication.factor": replicas,
            "offsets.topic.num.partitions": "5",
            "transaction.state.log.replication.factor": replicas,
            "transaction.state.log.min.isr": in_step,
            "transaction.state.log.num.partitions": "5",
            "share.coordinator.state.topic.replication.factor": replicas,
            "share.coordinator.state.topic.min.isr": in_step,
            "share.coordinator.state.topic.num.partitions": "5",
            # A broker that was killed comes back only when its session has ended.
            "broker.session.timeout.ms": "3000",
            "broker.heartbeat.interval.ms": "500",
            # A group of one or two consumers is not to wait for others that never come.
            "group.initial.rebalance.delay.ms": "0",
            # A topic that nobody declared is a mistake.
            "auto.create.topics.enable": "false",
        }

    def _join(self, nodes: Sequence[Node]) -> None:
        """Return when each node of a cluster tells its clients of all."""
        until = time.monotonic() + _PATIENCE
        waiting = list(nodes)
        while waiting and time.monotonic() < until:
            waiting = [node for node in waiting if _known_to(node) < len(nodes)]
            time.sleep(_LOOK if waiting else 0)
        if waiting:
            msg = f"{', '.join(node.name for node in waiting)} did not find the others within {_PATIENCE:g} s"
            raise MessagingError(msg)


def _known_to(node: Node) -> int:
    """Return how many brokers a node tells of; none while it does not answer."""
    try:
        return len(kafka_brokers(node.direct))
    except OSError:
        return 0
