"""Getting what real brokers need: packages, jars, a container engine, images."""

__all__: list[str] = []
