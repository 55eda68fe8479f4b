"""aio-pika, for what msgkit does not offer: connections and channels of its own, lent for a block."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar, cast
from urllib.parse import quote, urlencode

from msgkit.errors import BrokerUnavailable, UnsupportedCapability
from msgkit.reaching import Address
from msgkit_rabbitmq.address import RabbitSettings

__all__ = ["lend"]

T = TypeVar("T")


@asynccontextmanager
async def lend(kind: type[T], settings: RabbitSettings, client: str) -> AsyncGenerator[T]:
    """Open a connection of aio-pika's, or a channel on one, to the first of the hosts that answers.

    :raises UnsupportedCapability: when it is something else that is asked for, or aio-pika is not installed
    :raises BrokerUnavailable: when no host answers, with what the last one said
    """
    try:
        import aio_pika  # noqa: PLC0415 -- only who asks for it needs it
        from aio_pika.abc import AbstractChannel, AbstractConnection  # noqa: PLC0415 -- as above
    except ImportError as error:
        msg = "what RabbitMQ lends is aio-pika's: pip install 'msgkit-messaging[rabbitmq]'"
        raise UnsupportedCapability(msg) from error
    if not issubclass(kind, (AbstractChannel, AbstractConnection)):
        there = "aio_pika.Connection and aio_pika.Channel"
        msg = f"RabbitMQ has no {kind.__qualname__} to lend; there are {there}"
        raise UnsupportedCapability(msg)
    async with await _connected(aio_pika.connect, settings, f"{client} (lent)") as connection:
        if issubclass(kind, AbstractConnection):
            yield cast("T", connection)
        else:
            async with connection.channel() as channel:
                yield cast("T", channel)


async def _connected(connect: Callable[..., Awaitable[T]], settings: RabbitSettings, name: str) -> T:
    failure: Exception | None = None
    for address in settings.addresses:
        try:
            return await connect(
                _url(settings, address),
                timeout=settings.connect_timeout,
                ssl_context=settings.tls,
                client_properties={"connection_name": name},
            )
        except (OSError, TimeoutError) as error:
            failure = error
    raise BrokerUnavailable(f"RabbitMQ has nothing to lend: {failure}") from failure


def _url(settings: RabbitSettings, address: Address) -> str:
    user, password = quote(settings.user, safe=""), quote(settings.password, safe="")
    scheme = "amqps" if settings.secure else "amqp"
    vhost = quote(settings.vhost, safe="")
    asked = {"heartbeat": settings.heartbeat, "auth": settings.auth.upper()}
    return f"{scheme}://{user}:{password}@{address}/{vhost}?{urlencode(asked)}"
