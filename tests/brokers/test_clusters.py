"""Three nodes, of which one may go: what was confirmed is there, and sending goes on."""

import asyncio
from collections.abc import AsyncIterator

import aio_pika
import pytest
from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import DeliveryError

from msgkit.errors import ConfigurationError
from msgkit.testing.brokers import Broker, Kafka, RabbitMQ
from tests.brokers.plain import aiokafka, aiokafka_admin
from tests.brokers.running import started

pytestmark = [pytest.mark.broker, pytest.mark.xdist_group("clusters")]

SENT = [f"message {n}" for n in range(20)]


@pytest.fixture
async def rabbits() -> AsyncIterator[Broker]:
    async with started(RabbitMQ(nodes=3, proxied=True)) as broker:
        yield broker


@pytest.fixture
async def kafkas() -> AsyncIterator[Broker]:
    async with started(Kafka(nodes=3, proxied=True)) as broker:
        yield broker


async def test_a_rabbitmq_of_three_goes_on_without_one(rabbits: Broker) -> None:
    first, second, _ = rabbits.nodes
    async with await aio_pika.connect(f"amqp://guest:guest@{first.address}") as connection, connection.channel() as one:
        queue = await one.declare_queue("survives", durable=True, arguments={"x-queue-type": "quorum"})
        for body in SENT[:10]:
            await one.default_exchange.publish(aio_pika.Message(body.encode()), routing_key=queue.name)
        await first.kill()
    assert [await node.is_alive() for node in rabbits.nodes] == [False, True, True]
    async with await aio_pika.connect(f"amqp://guest:guest@{second.address}") as connection:
        for body in SENT[10:]:
            await confirmed(connection, body)
        async with connection.channel() as another:
            queue = await another.get_queue("survives")
            assert [(await queue.get(timeout=10)).body.decode() for _ in SENT] == SENT
    await first.start()


async def confirmed(connection: AbstractConnection, body: str) -> None:
    """Send until it is confirmed: it is refused while the followers choose a leader."""
    async with asyncio.timeout(30):
        while True:
            # A channel that began without a leader was seen not to find it later.
            async with connection.channel() as channel:
                try:
                    await channel.default_exchange.publish(aio_pika.Message(body.encode()), routing_key="survives")
                except DeliveryError:
                    await asyncio.sleep(0.1)
                else:
                    return


async def test_a_kafka_of_three_goes_on_without_one(kafkas: Broker) -> None:
    servers = [str(address) for address in kafkas.addresses]
    admin = aiokafka_admin.AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    await admin.create_topics([aiokafka_admin.NewTopic("survives", 1, 3)])
    await admin.close()
    async with aiokafka.AIOKafkaProducer(bootstrap_servers=servers, acks="all", enable_idempotence=True) as producer:
        sent = [await producer.send_and_wait("survives", body.encode()) for body in SENT[:10]]
        number: int = producer.client.cluster.leader_for_partition(aiokafka.TopicPartition("survives", 0))
        leader = kafkas.nodes[number - 1]
        await leader.kill()
        sent += [await producer.send_and_wait("survives", body.encode()) for body in SENT[10:]]
    assert [each.offset for each in sent] == list(range(20))
    async with (
        aiokafka.AIOKafkaConsumer("survives", bootstrap_servers=servers, auto_offset_reset="earliest") as consumer,
        asyncio.timeout(30),
    ):
        assert [(await consumer.getone()).value.decode() for _ in SENT] == SENT
    await leader.start()


async def test_each_node_of_a_cluster_has_a_proxy_of_its_own(kafkas: Broker) -> None:
    with pytest.raises(ConfigurationError, match=r"broker\.nodes\[0\]\.proxy"):
        _ = kafkas.proxy
    first, second, _ = kafkas.nodes
    await first.proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*first.address)
    _, writer = await asyncio.open_connection(*second.address)
    writer.close()
    await writer.wait_closed()
