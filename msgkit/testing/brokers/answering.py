"""Does a broker answer yet? Asked on the wire, in the few bytes that it takes, with no client library."""

import json
import socket
import struct
from collections.abc import Generator
from contextlib import contextmanager

from msgkit.testing.proxy import Address

__all__ = ["amqp_answers", "amqp_version", "kafka_brokers", "listens", "rocketmq_brokers", "rocketmq_runs"]

_TIMEOUT = 2.0
_CONNECTION_START = struct.pack(">HH", 10, 10)
_KAFKA_METADATA = 3
_ROCKETMQ_CLUSTER = 106
_ROCKETMQ_CONFIG = 26


def listens(address: Address) -> bool:
    """Tell whether anybody takes connections there."""
    with _connected(address):
        return True


def amqp_answers(address: Address) -> bool:
    """Tell whether a RabbitMQ begins to talk: it opens its doors when all else is up."""
    return _amqp_start(address).startswith(_CONNECTION_START)


def amqp_version(address: Address) -> str:
    """Return the version that a RabbitMQ says it has; empty when it says none."""
    _, key, rest = _amqp_start(address).partition(b"\x07versionS")
    if not key:
        return ""
    (length,) = struct.unpack_from(">I", rest)
    return rest[4 : 4 + length].decode()


def _amqp_start(address: Address) -> bytes:
    """Return the first method that a RabbitMQ sends: its kind, and what it says of itself."""
    with _connected(address) as connection:
        connection.sendall(b"AMQP\x00\x00\x09\x01")
        _, _, length = struct.unpack(">BHI", _read(connection, 7))
        return _read(connection, length)


def kafka_brokers(address: Address) -> set[int]:
    """Return the ids of the brokers that a Kafka tells its clients of: those in service."""
    header = struct.pack(">hhih", _KAFKA_METADATA, 1, 0, -1)
    request = header + struct.pack(">i", 0)  # of no topic
    with _connected(address) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        (length,) = struct.unpack(">i", _read(connection, 4))
        answer = _read(connection, length)
    _, brokers = struct.unpack_from(">ii", answer)
    ids: set[int] = set()
    at = 8
    for _ in range(brokers):
        broker, host = struct.unpack_from(">ih", answer, at)
        ids.add(broker)
        # Its host, its port, and its rack, which may be null.
        at += 6 + host + 4
        (rack,) = struct.unpack_from(">h", answer, at)
        at += 2 + max(rack, 0)
    return ids


def rocketmq_brokers(name_server: Address) -> str:
    """Return what a name server knows of brokers, as it says it."""
    return _rocketmq(name_server, _ROCKETMQ_CLUSTER)


def rocketmq_runs(broker: Address) -> bool:
    """Tell whether a RocketMQ broker answers for itself."""
    return "brokerName" in _rocketmq(broker, _ROCKETMQ_CONFIG)


def _rocketmq(address: Address, code: int) -> str:
    header = json.dumps({"code": code, "language": "PYTHON", "version": 0, "opaque": 1, "flag": 0}).encode()
    with _connected(address) as connection:
        connection.sendall(struct.pack(">ii", 4 + len(header), len(header)) + header)
        length, head = struct.unpack(">ii", _read(connection, 8))
        # The upper byte of the header's length tells how the header is written.
        return _read(connection, length - 4)[head & 0xFFFFFF :].decode(errors="replace")


@contextmanager
def _connected(address: Address) -> Generator[socket.socket]:
    with socket.create_connection(address, _TIMEOUT) as connection:
        yield connection


def _read(connection: socket.socket, n: int) -> bytes:
    """Return so many bytes.

    :raises ConnectionError: when the connection ends before
    """
    got = b""
    while len(got) < n:
        more = connection.recv(n - len(got))
        if not more:
            msg = f"the connection ended after {len(got)} of {n} bytes"
            raise ConnectionError(msg)
        got += more
    return got
