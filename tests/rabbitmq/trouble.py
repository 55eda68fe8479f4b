"""A RabbitMQ in trouble: ways to bring it there, and to look at it from the outside."""

import json
import socket
import traceback
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast

import aio_pika
from aio_pika.abc import AbstractChannel

from msgkit import Settings
from msgkit.testing.brokers import RabbitMQ
from msgkit.testing.proxy import Address

__all__ = [
    "MOST_BYTES",
    "alarm",
    "at",
    "bindings",
    "free_port",
    "plain",
    "queues",
    "said",
    "settings",
]

#: The largest message that the broker of these tests takes.
MOST_BYTES = 262_144


def settings(broker: RabbitMQ, **said: Any) -> Settings:
    return Settings(url=broker.url, **said)


def at(broker: RabbitMQ, *, user: str = "guest:guest", address: Address | None = None, rest: str = "") -> str:
    """Return a URL of a broker in which something is otherwise."""
    return f"amqp://{user}@{address or broker.addresses[0]}{rest}"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def said(error: BaseException, log: str) -> str:
    """Return all that anybody is told of an error."""
    return "\n".join([*traceback.format_exception(error), repr(error), log])


@asynccontextmanager
async def plain(broker: RabbitMQ) -> AsyncGenerator[AbstractChannel]:
    """Open a channel of another client's, past the proxy."""
    async with await aio_pika.connect(f"amqp://guest:guest@{broker.direct[0]}/") as connection:
        yield await connection.channel()


@asynccontextmanager
async def alarm(broker: RabbitMQ) -> AsyncGenerator[None]:
    """Have the broker take no messages, for the length of a block."""
    await broker.ctl("set_vm_memory_high_watermark", "0")
    try:
        yield
    finally:
        await broker.ctl("set_vm_memory_high_watermark", "0.6")


async def queues(broker: RabbitMQ, *columns: str, vhost: str = "/") -> list[dict[str, Any]]:
    return await _listed(broker, "list_queues", "-p", vhost, "name", *columns)


async def bindings(broker: RabbitMQ) -> list[dict[str, Any]]:
    return await _listed(broker, "list_bindings")


async def _listed(broker: RabbitMQ, *arguments: str) -> list[dict[str, Any]]:
    return cast("list[dict[str, Any]]", json.loads(await broker.ctl("--formatter", "json", *arguments)))
