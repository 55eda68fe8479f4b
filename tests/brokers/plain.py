"""Brokers as other programs use them: a store that confirms, and a look at what it holds."""

import asyncio
import json
import struct
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from typing import Any, ClassVar, Self

import aio_pika
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import AMQPError

from msgkit.testing.brokers import Broker, Kafka, RabbitMQ, RocketMQ
from msgkit.testing.proxy import Address

__all__ = ["CLIENTS", "Client", "aiokafka", "aiokafka_admin", "frame"]

# It says little of its types, and some of that is wrong.
aiokafka: Any = import_module("aiokafka")
aiokafka_admin: Any = import_module("aiokafka.admin")

_NAME = "plain"
_SOON = 5
_MUCH = 4_000
_ALIKE = 4
_GLANCE = 0.2
_QUORUM: dict[str, Any] = {"x-queue-type": "quorum"}


def frame(code: int, fields: Mapping[str, object], body: bytes = b"") -> bytes:
    """Return a request to a RocketMQ."""
    head = {"code": code, "language": "PYTHON", "version": 479, "opaque": 1, "flag": 0, "extFields": dict(fields)}
    header = json.dumps(head).encode()
    return struct.pack(">ii", 4 + len(header) + len(body), len(header)) + header + body


class Client(ABC):
    """One connection that stores messages, through the proxy if there is one."""

    #: What a broker says first, or is asked first, on a fresh connection.
    greeting: ClassVar[bytes]

    def __init__(self, broker: Broker) -> None:
        self.broker = broker

    async def __aenter__(self) -> Self:
        try:
            await self.connect()
        except Exception as error:
            error.add_note(f"what the broker says:\n{(await self.broker.log())[-_MUCH:]}")
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    @abstractmethod
    async def connect(self) -> None: ...

    @abstractmethod
    async def store(self, body: bytes) -> None:
        """Return when the broker has confirmed it."""

    @abstractmethod
    async def stored(self) -> int:
        """Tell how many there are, asked past the proxy."""

    @abstractmethod
    async def close(self) -> None: ...


class _RabbitMQ(Client):
    greeting = b"AMQP\x00\x00\x09\x01"
    _channel: AbstractChannel

    async def connect(self) -> None:
        self._connection = await aio_pika.connect(self.broker.url, timeout=_SOON)
        self._channel = await self._connection.channel()
        await self._channel.declare_queue(_NAME, durable=True, arguments=_QUORUM)
        # A node that is killed keeps a quorum queue for sure only when it has made another one after it.
        await self._channel.declare_queue(f"{_NAME}.next", durable=True, arguments=_QUORUM)
        await self._channel.queue_delete(f"{_NAME}.next")

    async def store(self, body: bytes) -> None:
        message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await self._channel.default_exchange.publish(message, routing_key=_NAME)

    async def stored(self) -> int:
        url = f"amqp://guest:guest@{self.broker.direct[0]}"
        async with await aio_pika.connect(url, timeout=_SOON) as connection, connection.channel() as channel:
            counts: list[int | None] = []
            # It says too little for half a second when it has just begun.
            while len(counts) < _ALIKE or len(set(counts[-_ALIKE:])) > 1:
                queue = await channel.declare_queue(_NAME, durable=True, passive=True)
                counts.append(queue.declaration_result.message_count)
                await asyncio.sleep(_GLANCE)
            return counts[-1] or 0

    async def close(self) -> None:
        with suppress(AMQPError):
            await self._connection.close()


class _Kafka(Client):
    # ApiVersions, version 0, of the client "plain".
    greeting = struct.pack(">ihhih", 15, 18, 0, 1, 5) + b"plain"

    async def connect(self) -> None:
        servers = [str(address) for address in self.broker.addresses]
        admin = aiokafka_admin.AIOKafkaAdminClient(bootstrap_servers=[str(address) for address in self.broker.direct])
        await admin.start()
        try:
            await admin.create_topics([aiokafka_admin.NewTopic(_NAME, 1, 1)])
        except aiokafka.errors.TopicAlreadyExistsError:
            pass
        finally:
            await admin.close()
        self._producer = aiokafka.AIOKafkaProducer(bootstrap_servers=servers, acks="all", request_timeout_ms=40_000)
        await self._producer.start()

    async def store(self, body: bytes) -> None:
        await self._producer.send_and_wait(_NAME, body)

    async def stored(self) -> int:
        consumer = aiokafka.AIOKafkaConsumer(bootstrap_servers=[str(address) for address in self.broker.direct])
        await consumer.start()
        try:
            partition = aiokafka.TopicPartition(_NAME, 0)
            return int((await consumer.end_offsets([partition]))[partition])
        finally:
            await consumer.stop()

    async def close(self) -> None:
        await self._producer.stop()


class _RocketMQ(Client):
    """By hand: there is no client library of it for Python that can be imported, and few bytes will do."""

    _GET_CONFIG, _SEND, _CREATE_TOPIC, _MAX_OFFSET = 26, 310, 17, 30
    greeting = frame(_GET_CONFIG, {})

    async def connect(self) -> None:
        (node,) = self.broker.nodes
        topic = {
            "topic": _NAME,
            "defaultTopic": "TBW102",
            "topicFilterType": "SINGLE_TAG",
            "topicSysFlag": 0,
            "readQueueNums": 1,
            "writeQueueNums": 1,
            "perm": 6,
            "order": "false",
        }
        await self._ask(node.direct, self._CREATE_TOPIC, topic)
        self._reader, self._writer = await asyncio.open_connection(*node.address)

    async def store(self, body: bytes) -> None:
        fields = {"a": "plain", "b": _NAME, "c": "TBW102", "d": 1, "e": 0, "f": 0, "g": 0, "h": 0, "j": 0, "k": "false"}
        self._writer.write(frame(self._SEND, fields, body))
        await _answered(self._reader)

    async def stored(self) -> int:
        (node,) = self.broker.nodes
        # A message is counted some time after it was confirmed: look until nothing changes.
        counts: list[int] = []
        while len(counts) < _ALIKE or len(set(counts[-_ALIKE:])) > 1:
            answer = await self._ask(node.direct, self._MAX_OFFSET, {"topic": _NAME, "queueId": 0})
            counts.append(int(answer["offset"]))
            await asyncio.sleep(0.1)
        return counts[-1]

    async def close(self) -> None:
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()

    async def _ask(self, address: Address, code: int, fields: Mapping[str, object]) -> dict[str, str]:
        reader, writer = await asyncio.open_connection(*address)
        try:
            writer.write(frame(code, fields))
            return await asyncio.wait_for(_answered(reader), _SOON)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


async def _answered(reader: asyncio.StreamReader) -> dict[str, str]:
    """Return the fields of an answer.

    :raises ConnectionError: when the broker did not do what was asked
    """
    length, header = struct.unpack(">ii", await reader.readexactly(8))
    answer = json.loads((await reader.readexactly(length - 4))[: header & 0xFFFFFF])
    if answer["code"] != 0:
        msg = f"{answer['code']}: {answer.get('remark')}"
        raise ConnectionError(msg)
    fields: dict[str, str] = answer.get("extFields", {})
    return fields


CLIENTS: dict[type[Broker], type[Client]] = {RabbitMQ: _RabbitMQ, Kafka: _Kafka, RocketMQ: _RocketMQ}
