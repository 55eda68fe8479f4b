"""The newer versions, where they are installed (`python -m msgkit.testing.brokers install --newer`)."""

import pytest

from msgkit.testing.brokers import Broker, Kafka, Provider, RabbitMQ, RocketMQ, Unavailable
from msgkit.testing.brokers.install.recipes import NEWER
from tests.brokers.plain import CLIENTS

pytestmark = [pytest.mark.broker, pytest.mark.xdist_group("newer")]


@pytest.mark.parametrize(
    ("kind", "provider"),
    [
        (RabbitMQ, "container"),
        (Kafka, "container"),
        (Kafka, "process"),
        (RocketMQ, "container"),
        (RocketMQ, "process"),
    ],
)
async def test_a_newer_version_keeps_what_it_confirmed_as_well(kind: type[Broker], provider: Provider) -> None:
    broker = kind(NEWER[kind.name], provider=provider)
    try:
        await broker.__aenter__()
    except Unavailable as error:
        # Beside the usual version, which is required, it is a luxury.
        pytest.skip(str(error))
    try:
        assert f"{broker.version}.".startswith(NEWER[kind.name].rpartition(".")[0])
        async with CLIENTS[kind](broker) as client:
            await client.store(b"kept")
        await broker.kill()
        await broker.start()
        async with CLIENTS[kind](broker) as client:
            assert await client.stored() == 1
    finally:
        await broker.__aexit__(None, None, None)
