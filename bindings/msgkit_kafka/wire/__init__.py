"""Kafka's protocol, as far as it is spoken here; it knows nothing of msgkit."""

__all__: list[str] = []
