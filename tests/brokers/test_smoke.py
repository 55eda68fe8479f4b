"""Each kind of broker from each provider, as a program uses it that has never heard of this library."""

import asyncio

import aio_pika
import pytest

from msgkit.testing.brokers import Broker, RocketMQ
from tests.brokers.plain import aiokafka, aiokafka_admin

pytestmark = pytest.mark.broker


async def test_a_plain_client_gets_what_it_sent(hurt: Broker) -> None:
    got = {"rabbitmq": by_aio_pika, "kafka": by_aiokafka, "rocketmq": by_mqadmin}[hurt.name]
    assert "hello" in await got(hurt, "hello")


async def by_aio_pika(broker: Broker, body: str) -> str:
    async with await aio_pika.connect(broker.url) as connection, connection.channel() as channel:
        queue = await channel.declare_queue("smoke", durable=True, arguments={"x-queue-type": "quorum"})
        await channel.default_exchange.publish(aio_pika.Message(body.encode()), routing_key="smoke")
        message = await queue.get(timeout=10)
        assert message is not None
        await message.ack()
        return message.body.decode()


async def by_aiokafka(broker: Broker, body: str) -> str:
    servers = [str(address) for address in broker.addresses]
    admin = aiokafka_admin.AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    await admin.create_topics([aiokafka_admin.NewTopic("smoke", 1, 1)])
    await admin.close()
    async with (
        aiokafka.AIOKafkaProducer(bootstrap_servers=servers, enable_idempotence=True) as producer,
        aiokafka.AIOKafkaConsumer(
            "smoke", bootstrap_servers=servers, group_id="smoke", auto_offset_reset="earliest"
        ) as consumer,
    ):
        await producer.send_and_wait("smoke", body.encode())
        record = await consumer.getone()
        return bytes(record.value).decode()


async def by_mqadmin(broker: Broker, body: str) -> str:
    assert isinstance(broker, RocketMQ)
    await broker.admin("updateTopic", "-t", "smoke", "-c", "DefaultCluster", "-r", "1", "-w", "1")
    async with asyncio.timeout(60):
        # The name server hears of a topic some time after the broker.
        while "SEND_OK" not in await broker.admin("sendMessage", "-t", "smoke", "-p", body):
            pass
    return (await broker.admin("consumeMessage", "-t", "smoke", "-c", "1")).rpartition("BODY:")[2]


async def test_a_broker_tells_its_version_and_where_it_came_from(hurt: Broker) -> None:
    assert hurt.version.split(".")[0].isdecimal()
    assert hurt.provider in {"container", "process"}
    assert hurt.url.startswith({"rabbitmq": "amqp", "kafka": "kafka", "rocketmq": "rocketmq"}[hurt.name])
    assert await hurt.log()
