"""RocketMQ's own client for Java, driven from a test."""

from tests.rocketmq.java.driving import Java, JavaMessage

__all__ = ["Java", "JavaMessage"]
