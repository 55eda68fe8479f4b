"""RabbitMQ as a program uses it that has pika and nothing else."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from importlib import import_module
from time import monotonic
from types import MappingProxyType
from typing import Any, TypeVar, cast

__all__ = ["Plain", "PlainMessage"]

# It says little of its types.
_pika: Any = import_module("pika")

T = TypeVar("T")

_NOTHING: Mapping[str, Any] = MappingProxyType({})
_REPLIES = "amq.rabbitmq.reply-to"
#: Seconds for the next message.
_PATIENCE = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainMessage:
    """A message as pika reads it."""

    body: bytes
    #: Those that it has, by their names in AMQP; its headers apart.
    properties: Mapping[str, Any]
    headers: Mapping[str, Any]
    exchange: str
    routing_key: str


class Plain:
    """Each call has a connection of its own, which blocks a thread."""

    def __init__(self, url: str) -> None:
        self._parameters = _pika.URLParameters(f"{url}/%2F")

    async def declare_queue(self, name: str, arguments: Mapping[str, Any] = _NOTHING) -> None:
        await self._on_channel(lambda channel: channel.queue_declare(name, durable=True, arguments=dict(arguments)))

    async def publish(self, exchange: str, key: str, body: bytes, **properties: Any) -> None:
        """Return when the broker has confirmed the message, and a queue has it."""
        await self._on_channel(lambda channel: _publish(channel, exchange, key, body, properties))

    async def take(self, queue: str) -> PlainMessage:
        """Return the next message of a queue, and accept it.

        :raises TimeoutError: when none comes
        """
        return await self._on_channel(lambda channel: _take(channel, queue))

    async def ask(self, queue: str, body: bytes, **properties: Any) -> PlainMessage:
        """Return what is answered to a message to a queue.

        :raises TimeoutError: when nothing is
        """

        def ask(channel: Any) -> PlainMessage:
            answers = _consume(channel, _REPLIES, auto_ack=True)
            _publish(channel, "", queue, body, {"reply_to": _REPLIES, **properties})
            return _first(channel, answers)[1]

        return await self._on_channel(ask)

    @asynccontextmanager
    async def answering(
        self, queue: str, body: bytes, **properties: Any
    ) -> AsyncGenerator["asyncio.Task[PlainMessage]"]:
        """Answer the next message of a queue; the task returns that message."""

        def answer(channel: Any) -> PlainMessage:
            request = _take(channel, queue)
            said = request.properties
            answered = _pika.BasicProperties(correlation_id=said["correlation_id"], **properties)
            # RabbitMQ returns each mandatory answer of a direct reply, though it is delivered.
            channel.basic_publish("", said["reply_to"], body, answered)
            return request

        async with asyncio.TaskGroup() as group:
            yield group.create_task(self._on_channel(answer))

    async def _on_channel(self, do: Callable[[Any], T]) -> T:
        def run() -> T:
            with closing(_pika.BlockingConnection(self._parameters)) as connection:
                return do(connection.channel())

        return await asyncio.to_thread(run)


def _publish(channel: Any, exchange: str, key: str, body: bytes, properties: Mapping[str, Any]) -> None:
    channel.confirm_delivery()
    channel.basic_publish(exchange, key, body, _pika.BasicProperties(**properties), mandatory=True)


def _take(channel: Any, queue: str) -> PlainMessage:
    channel.basic_qos(prefetch_count=1)
    tag, message = _first(channel, _consume(channel, queue, auto_ack=False, tag="taker"))
    # Before the next one comes, which would have been delivered once then.
    channel.basic_cancel("taker")
    channel.basic_ack(tag)
    return message


def _consume(channel: Any, queue: str, *, auto_ack: bool, tag: str | None = None) -> list[tuple[int, PlainMessage]]:
    """Return the list that a queue's messages go to, with their delivery tags."""
    got: list[tuple[int, PlainMessage]] = []

    def on_message(_: object, method: Any, properties: Any, body: bytes) -> None:
        got.append((method.delivery_tag, _read(method, properties, body)))

    channel.basic_consume(queue, on_message, auto_ack=auto_ack, consumer_tag=tag)
    return got


def _first(channel: Any, got: list[tuple[int, PlainMessage]]) -> tuple[int, PlainMessage]:
    until = monotonic() + _PATIENCE
    while not got:
        if (left := until - monotonic()) <= 0:
            raise TimeoutError
        channel.connection.process_data_events(time_limit=left)
    return got[0]


def _read(method: Any, properties: Any, body: bytes) -> PlainMessage:
    given = {name: value for name, value in cast("dict[str, Any]", vars(properties)).items() if value is not None}
    headers: Mapping[str, Any] = given.pop("headers", {})
    return PlainMessage(
        body=body, properties=given, headers=headers, exchange=method.exchange, routing_key=method.routing_key
    )
