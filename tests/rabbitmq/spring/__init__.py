"""A service on Spring AMQP, driven from a test."""

from tests.rabbitmq.spring.driving import Spring, SpringMessage

__all__ = ["Spring", "SpringMessage"]
