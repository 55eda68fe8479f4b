"""What becomes of a topology on Kafka."""

import pytest

from msgkit.errors import TopologyMismatch
from msgkit.spi import ExchangeSpec, QueueSpec, RouteSpec, Topology
from msgkit.values import Option
from msgkit_kafka.layout import topic_forms, topics_of
from msgkit_kafka.options import KafkaQueue, KafkaTopic

ROUTE = (RouteSpec(exchange="orders"),)


def shop(*options: Option, name: str = "orders") -> Topology:
    """Return an exchange, and a queue that takes all of it."""
    queue = QueueSpec(name=name, routes=ROUTE, options=options)
    return Topology({"orders": ExchangeSpec(name="orders")}, {name: queue})


def test_an_exchange_and_a_queue_of_one_name_are_refused_with_what_to_do() -> None:
    with pytest.raises(
        TopologyMismatch, match=r"exchange 'orders' and queue 'orders' would both be topic 'orders'.*direct=False"
    ):
        topic_forms(shop())


@pytest.mark.parametrize(
    ("topology", "topics"),
    [
        (shop(name="billing"), ["orders", "billing"]),
        (shop(KafkaQueue(direct=False)), ["orders"]),
        (shop(KafkaQueue(topic="orders.direct")), ["orders", "orders.direct"]),
    ],
    ids=["names", "no topic", "a topic of another name"],
)
def test_a_queue_reads_what_its_routes_bring_and_what_is_sent_to_itself(topology: Topology, topics: list[str]) -> None:
    assert list(topic_forms(topology)) == topics
    assert [topics_of(queue) for queue in topology.queues.values()] == [topics]


def test_two_that_say_different_things_of_one_topic_are_refused() -> None:
    topology = Topology(
        {},
        {
            name: QueueSpec(name=name, options=(KafkaQueue(topic="t"), KafkaTopic(partitions=number)))
            for name, number in (("a", 1), ("b", 2))
        },
    )
    with pytest.raises(TopologyMismatch, match="queue 'a' and queue 'b' would both be topic 't', and differ"):
        topic_forms(topology)
