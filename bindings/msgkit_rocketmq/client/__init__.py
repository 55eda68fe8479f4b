"""RocketMQ's remoting protocol, as far as it is spoken here; it knows nothing of msgkit's messages."""

__all__: list[str] = []
