import pytest
from aio_pika import Channel, Connection

from msgkit import MessageTemplate, Settings
from msgkit.envelope import new_id
from msgkit.errors import BrokerUnavailable, UnsupportedCapability
from msgkit.testing.brokers import RabbitMQ
from msgkit_rabbitmq.address import RabbitSettings
from msgkit_rabbitmq.lending import lend
from tests.rabbitmq.trouble import free_port

pytestmark = pytest.mark.broker


async def test_what_msgkit_does_not_offer_is_done_over_a_channel_that_is_lent(broker: RabbitMQ) -> None:
    name = new_id()
    async with MessageTemplate(Settings(url=broker.url)) as template:
        async with template.native(Channel) as channel:
            queue = await channel.declare_queue(name, exclusive=True)
            assert queue.name == name
        assert channel.is_closed
        async with template.native(Connection) as connection:
            assert not connection.is_closed
        assert connection.is_closed


async def test_a_host_that_does_not_answer_lends_nothing_and_the_next_one_does(broker: RabbitMQ) -> None:
    hosts = f"127.0.0.1:{free_port()},{broker.addresses[0]}"
    async with lend(Connection, RabbitSettings.parse(f"amqp://guest:guest@{hosts}"), "borrower") as connection:
        assert not connection.is_closed


async def test_when_no_host_answers_it_is_said_that_nothing_can_be_lent() -> None:
    settings = RabbitSettings.parse(f"amqp://guest:mistaken@127.0.0.1:{free_port()}")
    with pytest.raises(BrokerUnavailable, match="RabbitMQ has nothing to lend") as refused:
        async with lend(Connection, settings, "borrower"):
            pass
    assert "mistaken" not in str(refused.value)


async def test_what_aio_pika_does_not_have_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedCapability, match="no int to lend"):
        async with lend(int, RabbitSettings.parse("amqp://host"), "borrower"):
            pass
