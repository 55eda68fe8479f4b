"""A service on Spring AMQP, driven from a test."""

from tests.rabbitmq.spring.driving import Spring, SpringFailed, SpringMessage

__all__ = ["Spring", "SpringFailed", "SpringMessage"]
