"""aiokafka, for what msgkit does not offer: clients of its own, lent for a block."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any, TypeVar, cast

from msgkit.errors import BrokerUnavailable, UnsupportedCapability
from msgkit_kafka.address import KafkaSettings

__all__ = ["lend"]

T = TypeVar("T")

_MECHANISMS = {
    "plain": "PLAIN",
    "scram-sha-256": "SCRAM-SHA-256",
    "scram-sha-512": "SCRAM-SHA-512",
    "oauthbearer": "OAUTHBEARER",
}


@asynccontextmanager
async def lend(kind: type[T], settings: KafkaSettings, client: str) -> AsyncGenerator[T]:
    """Start a producer, a consumer or an admin client of aiokafka's; a consumer subscribes to nothing yet.

    :raises UnsupportedCapability: when it is something else that is asked for, or aiokafka is not installed
    :raises BrokerUnavailable: when no broker answers
    """
    try:
        # It has no types, and only who asks for it needs it.
        aiokafka, admin = import_module("aiokafka"), import_module("aiokafka.admin")
    except ImportError as error:
        msg = "what Kafka lends is aiokafka's: pip install 'msgkit-messaging[kafka]'"
        raise UnsupportedCapability(msg) from error
    is_admin = issubclass(kind, admin.AIOKafkaAdminClient)
    if not is_admin and not issubclass(kind, (aiokafka.AIOKafkaProducer, aiokafka.AIOKafkaConsumer)):
        there = "aiokafka.AIOKafkaProducer, aiokafka.AIOKafkaConsumer and aiokafka.admin.AIOKafkaAdminClient"
        raise UnsupportedCapability(f"Kafka has no {kind.__qualname__} to lend; there are {there}")
    lent = cast("Any", kind)(
        bootstrap_servers=[str(server) for server in settings.servers], client_id=f"{client}-lent", **_login(settings)
    )
    try:
        await lent.start()
        # One that is stopped before its tasks have begun cancels whoever stops it.
        await asyncio.sleep(0)
    except aiokafka.errors.KafkaError as error:
        await (lent.close() if is_admin else lent.stop())
        raise BrokerUnavailable(f"Kafka has nothing to lend: {error}") from error
    try:
        yield cast("T", lent)
    finally:
        await (lent.close() if is_admin else lent.stop())


def _login(settings: KafkaSettings) -> dict[str, object]:
    if settings.auth == "oauthbearer":
        msg = "a client of aiokafka's wants its own provider of tokens: make it yourself"
        raise UnsupportedCapability(msg)
    secure = "SSL" if settings.secure else "PLAINTEXT"
    if settings.auth is None:
        return {"security_protocol": secure, "ssl_context": settings.tls}
    return {
        "security_protocol": f"SASL_{secure}",
        "ssl_context": settings.tls,
        "sasl_mechanism": _MECHANISMS[settings.auth],
        "sasl_plain_username": settings.user,
        "sasl_plain_password": settings.password,
    }
