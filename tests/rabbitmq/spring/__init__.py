"""A service on Spring AMQP, driven from a test."""

from tests.rabbitmq.spring.driving import Inbox, Spring, SpringFailed, SpringMessage

__all__ = ["Inbox", "Spring", "SpringFailed", "SpringMessage"]
