"""Real brokers for tests: in containers, as processes, or somewhere else; with faults on demand."""

from msgkit.testing.brokers.broker import Broker
from msgkit.testing.brokers.kafka import Kafka
from msgkit.testing.brokers.nodes import Node
from msgkit.testing.brokers.rabbitmq import RabbitMQ
from msgkit.testing.brokers.rocketmq import RocketMQ
from msgkit.testing.brokers.supply import Provider, Unavailable
from msgkit.testing.proxy import Address

__all__ = ["Address", "Broker", "Kafka", "Node", "Provider", "RabbitMQ", "RocketMQ", "Unavailable"]
