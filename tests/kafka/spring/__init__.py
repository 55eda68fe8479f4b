"""A service on Spring for Apache Kafka, and members of Java's own client, driven from a test."""

from tests.kafka.spring.driving import JavaRecord, Spring

__all__ = ["JavaRecord", "Spring"]
