"""`amqp://`: RabbitMQ, 3.10 and later."""

from msgkit_rabbitmq.address import Rabbit
from msgkit_rabbitmq.binding import RabbitMQBinding
from msgkit_rabbitmq.options import RabbitExchange, RabbitQueue

__all__ = ["Rabbit", "RabbitExchange", "RabbitMQBinding", "RabbitQueue"]
