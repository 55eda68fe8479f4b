"""aio-pika, for what msgkit does not offer: connections and channels of its own, lent for a block."""

import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TypeVar, cast
from urllib.parse import quote

from msgkit.errors import UnsupportedCapability
from msgkit_rabbitmq.address import RabbitSettings

__all__ = ["lend"]

T = TypeVar("T")


@asynccontextmanager
async def lend(kind: type[T], settings: RabbitSettings, client: str) -> AsyncGenerator[T]:
    """Open a connection of aio-pika's, or a channel on one, to the first of the hosts, by user and password."""
    try:
        import aio_pika  # noqa: PLC0415 -- only who asks for it needs it
        from aio_pika.abc import AbstractChannel, AbstractConnection  # noqa: PLC0415 -- as above
    except ImportError as error:
        msg = "what RabbitMQ lends is aio-pika's: pip install 'msgkit-messaging[rabbitmq]'"
        raise UnsupportedCapability(msg) from error
    if not issubclass(kind, (AbstractChannel, AbstractConnection)):
        there = "aio_pika.abc.AbstractConnection and AbstractChannel"
        msg = f"RabbitMQ has no {kind.__qualname__} to lend; there are {there}"
        raise UnsupportedCapability(msg)
    context: ssl.SSLContext | None = settings.tls
    connection = await aio_pika.connect(
        _url(settings), ssl_context=context, client_properties={"connection_name": f"{client} (lent)"}
    )
    async with connection:
        if issubclass(kind, AbstractConnection):
            yield cast("T", connection)
        else:
            async with connection.channel() as channel:
                yield cast("T", channel)


def _url(settings: RabbitSettings) -> str:
    user, password = quote(settings.user, safe=""), quote(settings.password, safe="")
    scheme = "amqps" if settings.secure else "amqp"
    vhost = quote(settings.vhost, safe="")
    return f"{scheme}://{user}:{password}@{settings.addresses[0]}/{vhost}?heartbeat={settings.heartbeat}"
