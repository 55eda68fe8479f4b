"""Orders come on one broker and go on as tasks on another; settings say where both are."""

from dataclasses import dataclass

from msgkit import Application, Exchange, MessageTemplate, Option, listener
from tests.scenarios.shop import OrderPlaced


@dataclass(frozen=True)
class KafkaTopicOptions(Option):
    partitions: int


@dataclass(frozen=True)
class RabbitQueueOptions(Option):
    kind: str


orders = Exchange("orders", OrderPlaced, broker="stream", options=[KafkaTopicOptions(partitions=12)])
tasks = Exchange("tasks", OrderPlaced)
# Ignored unless on RabbitMQ; shown in the plan.
billing = orders.queue("billing", options=[RabbitQueueOptions(kind="classic")])


@listener(billing, concurrency=8)
async def relay(order: OrderPlaced, template: MessageTemplate) -> None:
    # One template; the destination knows its broker.
    await template.send(tasks, order)


app = Application([relay], topology=[tasks])

ENV = {
    "MSGKIT_URL": "memory://two-env",
    "MSGKIT_BROKERS__STREAM__URL": "memory://two-env-stream",
    "MSGKIT_QUEUES__BILLING__CONCURRENCY": "16",
}
TOML = """
# msgkit.toml ([tool.msgkit] in pyproject.toml)
url = "memory://two-toml"

[brokers.stream]
url = "memory://two-toml-stream"
topology = "verify"

[queues.billing]
concurrency = 2

[exchanges.orders]
name = "shop.orders.v1"
"""
