"""Kafka for msgkit: `MSGKIT_URL=kafka://host:9092`."""

from msgkit_kafka.binding import KafkaBinding
from msgkit_kafka.options import Kafka, KafkaQueue, KafkaTopic

__all__ = ["Kafka", "KafkaBinding", "KafkaQueue", "KafkaTopic"]
