"""A program that starts a broker and then does nothing, for tests to kill: `owner.py rabbitmq process`."""

import asyncio
import sys

from msgkit.testing.brokers import Broker, Kafka, RabbitMQ, RocketMQ

__all__: list[str] = []

_KINDS: dict[str, type[Broker]] = {kind.name: kind for kind in (RabbitMQ, Kafka, RocketMQ)}


def _say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


async def _main(name: str, provider: str) -> None:
    broker = _KINDS[name](provider="container" if provider == "container" else "process")
    _say(broker.instance)
    async with broker:
        _say("started")
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
