"""What else is typed: senders, pipelines, three payload types, browsing. A marked line is an error."""

from dataclasses import dataclass
from typing import assert_type

from msgkit import Exchange, MessageTemplate, Queue, Receipt, Sender, SyncTemplate


@dataclass
class One:
    id: str


@dataclass
class Two:
    id: str


@dataclass
class Three:
    id: str


three = Exchange("three", One, Two, Three)


async def send(template: MessageTemplate, sender: Sender) -> None:
    await template.send(three, Three("x"))
    await template.send(three, 3)  # type: ignore[misc]
    await sender.send(Exchange("one", One), Two("x"))  # type: ignore[misc]
    async with template.pipeline() as pipeline:
        confirmation = await pipeline.send(Exchange("one", One), One("1"))
        _ = await pipeline.send(Exchange("one", One), Two("1"))  # type: ignore[misc]
        assert_type(await confirmation, Receipt)
    async for message in template.browse(Queue("q", One).dead_letters):
        assert_type(message.payload, bytes)


def block(template: SyncTemplate) -> None:
    template.send(three, Two("x"))
    template.send(Exchange("one", One), Two("x"))  # type: ignore[misc]
    assert_type(template.request(three, One("1"), Two), Two)
    with template.receive(Queue("q", One)) as deliveries:
        assert_type(deliveries[0].payload, One)
