"""What a queue reads: its topics, what their records are addressed to, and which of them are for it."""

from collections.abc import Mapping

from msgkit.envelope import Kind
from msgkit.spi import QueueSpec
from msgkit.spi.filtering import Filter, filters_of
from msgkit_kafka.layout import own_topic
from msgkit_kafka.mapping import Source

__all__ = ["sources_of"]


def sources_of(queue: QueueSpec) -> Mapping[str, tuple[Source, Filter | None]]:
    """Return them by topic; without a filter where it is the queue's own."""
    found: dict[str, tuple[Source, Filter | None]] = {
        topic: (Source(Kind.EXCHANGE, topic, topic, -1), each) for topic, each in filters_of(queue).items()
    }
    if (own := own_topic(queue)) is not None:
        found[own] = Source(Kind.QUEUE, queue.name, own, -1), None
    return found
