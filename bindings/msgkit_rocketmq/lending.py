"""The client beneath, for what msgkit does not offer: one of its own, lent for a block."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from secrets import token_hex
from typing import TypeVar, cast

from msgkit.errors import BrokerUnavailable, UnsupportedCapability
from msgkit_rocketmq.address import RocketSettings
from msgkit_rocketmq.client.cluster import Cluster
from msgkit_rocketmq.client.connection import Door
from msgkit_rocketmq.client.errors import ClientError
from msgkit_rocketmq.client.signing import Credentials

__all__ = ["door_of", "lend"]

T = TypeVar("T")


@asynccontextmanager
async def lend(kind: type[T], settings: RocketSettings, client: str) -> AsyncGenerator[T]:
    """Make a `msgkit_rocketmq.client.cluster.Cluster` that has found its brokers.

    :raises UnsupportedCapability: when it is something else that is asked for
    :raises BrokerUnavailable: when no name server answers
    """
    if not issubclass(kind, Cluster):
        there = f"{Cluster.__module__}.{Cluster.__qualname__}"
        raise UnsupportedCapability(f"RocketMQ has no {kind.__qualname__} to lend; there is {there}")
    cluster = Cluster(door_of(settings), settings.servers, client=f"{client}-lent@{token_hex(8)}")
    try:
        try:
            await cluster.masters()
        except ClientError as error:
            raise BrokerUnavailable(f"RocketMQ has nothing to lend: {error}") from error
        yield cast("T", cluster)
    finally:
        await cluster.close()


def door_of(settings: RocketSettings) -> Door:
    """Return how brokers are entered."""
    credentials = (
        Credentials(access_key=settings.user, secret=settings.password, token=settings.token) if settings.user else None
    )
    return Door(
        tls=settings.tls,
        server_hostname=settings.server_hostname,
        credentials=credentials,
        timeout=settings.request_timeout,
    )
