"""RocketMQ for msgkit."""

__all__: list[str] = []
