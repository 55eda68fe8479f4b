"""What a queue takes from: its topics, what their messages are addressed to, and what of them it takes."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from msgkit.envelope import Envelope, Kind
from msgkit.spi import QueueSpec, filtering
from msgkit_rocketmq.client.places import Broker
from msgkit_rocketmq.client.popping import EVERYTHING, Filter, Source
from msgkit_rocketmq.expressions import expression_of
from msgkit_rocketmq.layout import Layout
from msgkit_rocketmq.mapping import Addressee

__all__ = ["Feed", "feeds_of", "sources_at"]


class Feed(NamedTuple):
    """One topic of a queue."""

    topic: str
    addressee: Addressee
    #: What brokers are asked to leave out, and what is left out here. None: nothing is.
    expression: Filter
    filter: filtering.Filter | None

    def takes(self, envelope: Envelope) -> bool:
        return self.filter is None or self.filter.takes(envelope)


def feeds_of(queue: QueueSpec, layout: Layout) -> Mapping[str, Feed]:
    """Return what a queue takes from, by topic."""
    return {feed.topic: feed for feed in _feeds(queue, layout)}


def _feeds(queue: QueueSpec, layout: Layout) -> Iterator[Feed]:
    for exchange, found in filtering.filters_of(queue).items():
        expression = expression_of([route for route in queue.routes if route.exchange == exchange])
        yield Feed(layout.exchange_topic(exchange), Addressee(Kind.EXCHANGE, exchange), expression, found)
    if (own := layout.own_topic(queue)) is not None:
        yield Feed(own, Addressee(Kind.QUEUE, queue.name), EVERYTHING, None)


def sources_at(feed: Feed, broker: Broker, group: str, *, in_order: bool, returns: bool) -> Iterator[Source]:
    """Return what is to be asked of a broker for a feed.

    :param returns: whether to ask for what comes back on its own
    """
    source = Source(broker, feed.topic, group, filter=feed.expression, in_order=in_order)
    yield source
    if returns and not in_order:
        yield source._replace(filter=EVERYTHING, came_back=True)
