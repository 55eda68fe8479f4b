"""What becomes of a topology on RocketMQ."""

import pytest

from msgkit.errors import ConfigurationError, TopologyMismatch
from msgkit.spi import ExchangeSpec, QueueSpec, RouteSpec, Topology
from msgkit.values import Option
from msgkit_rocketmq.client.handles import retry_topic
from msgkit_rocketmq.layout import Layout, foreign
from msgkit_rocketmq.options import RocketQueue, RocketTopic

LAYOUT = Layout()


def shop(*options: Option, queue: str = "billing", exchange: str = "orders") -> Topology:
    """Return an exchange, and a queue that takes all of it."""
    spec = QueueSpec(name=queue, routes=(RouteSpec(exchange=exchange),), options=options)
    return Topology({exchange: ExchangeSpec(name=exchange)}, {queue: spec})


@pytest.mark.parametrize(
    ("topology", "topics", "groups"),
    [
        (shop(), ["orders", "billing"], {"billing": ["orders", "billing"]}),
        (shop(RocketQueue(direct=False)), ["orders"], {"billing": ["orders"]}),
        (shop(RocketQueue(group="GID_b")), ["orders", "billing"], {"GID_b": ["orders", "billing"]}),
        (shop(RocketQueue(topic="Billing_Own")), ["orders", "Billing_Own"], {"billing": ["orders", "Billing_Own"]}),
        (
            shop(exchange="shop.order_placed", queue="tax.by_year"),
            ["shop-order_placed", "tax-by_year"],
            {"tax-by-year": ["shop-order_placed", "tax-by_year"]},
        ),
    ],
    ids=["names", "no topic", "a group of another name", "a topic of another name", "dots and underscores"],
)
def test_an_exchange_is_a_topic_and_a_queue_a_group_with_a_topic_of_its_own(
    topology: Topology, topics: list[str], groups: dict[str, list[str]]
) -> None:
    assert list(LAYOUT.topic_forms(topology)) == topics
    assert {name: list(form.topics) for name, form in LAYOUT.group_forms(topology).items()} == groups


def test_a_topic_is_made_as_its_option_says() -> None:
    orders, billing = LAYOUT.topic_forms(shop(RocketTopic(queues=32, message_type="fifo"))).values()
    assert (orders.queues, orders.message_type, orders.owned, str(orders)) == (None, None, True, "")
    assert (billing.queues, billing.message_type, billing.what) == (32, "fifo", "queue 'billing'")
    assert str(billing) == "queues=32, message_type=fifo"
    (_, theirs) = LAYOUT.topic_forms(shop(RocketTopic(declare=False))).values()
    assert not theirs.owned


def test_a_namespace_stands_before_every_name() -> None:
    layout = Layout("prod")
    topology = shop(RocketQueue(group="GID_b"))
    assert list(layout.topic_forms(topology)) == ["prod%orders", "prod%billing"]
    assert list(layout.group_forms(topology)) == ["prod%GID_b"]


def test_the_group_of_an_anonymous_queue_is_told_from_others_and_has_no_topic_of_its_own() -> None:
    queue = QueueSpec(name="orders.0a1b", routes=(RouteSpec(exchange="orders"),), anonymous=True)
    assert LAYOUT.group_of(queue) == "msgkit-anon-orders-0a1b"
    assert LAYOUT.topics_of(queue) == ["orders"]


def test_two_names_that_become_one_are_refused_with_what_to_do() -> None:
    with pytest.raises(TopologyMismatch, match=r"exchange 'orders' and queue 'orders' would both .*direct=False"):
        LAYOUT.topic_forms(shop(queue="orders"))
    exchanges = {name: ExchangeSpec(name=name) for name in ("a.b", "a-b")}
    with pytest.raises(TopologyMismatch, match=r"exchange 'a\.b' and exchange 'a-b' would both be topic 'a-b'"):
        LAYOUT.topic_forms(Topology(exchanges, {}))
    queues = {name: QueueSpec(name=name) for name in ("a_b", "a-b")}
    with pytest.raises(TopologyMismatch, match=r"queue 'a_b' and queue 'a-b' would both be group 'a-b'"):
        LAYOUT.group_forms(Topology({}, queues))


def test_two_queues_may_share_a_topic_if_they_say_the_same_of_it() -> None:
    shared = RocketQueue(topic="t")
    alike = {name: QueueSpec(name=name, options=(shared,)) for name in ("a", "b")}
    assert list(LAYOUT.topic_forms(Topology({}, alike))) == ["t"]
    differing = {
        name: QueueSpec(name=name, options=(shared, RocketTopic(queues=number)))
        for name, number in (("a", 1), ("b", 2))
    }
    with pytest.raises(TopologyMismatch, match="queue 'a' and queue 'b' would both be topic 't', and differ"):
        LAYOUT.topic_forms(Topology({}, differing))


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("größe", "the topic of queue 'größe' is 'größe': RocketMQ takes letters .* not 'ö'"),
        ("a b", "not ' '"),
        ("%RETRY%x", "not '%'"),
        ("q" * 128, "has 128 characters, and at most 127 fit"),
        ("TBW102", "in which RocketMQ keeps its own books"),
        ("rmq_sys_x", "in which RocketMQ keeps its own books"),
    ],
)
def test_a_name_that_rocketmq_has_no_room_for_is_refused(name: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        LAYOUT.queue_topic(name)


def test_a_group_leaves_room_for_the_topic_of_what_it_tries_again() -> None:
    longest = LAYOUT.group_of(QueueSpec(name="g" * 120))
    assert len(retry_topic(LAYOUT.exchange_topic("t" * 127), longest)) == 255
    with pytest.raises(ConfigurationError, match=r"the group of queue .* has 121 characters, and at most 120 fit"):
        LAYOUT.group_of(QueueSpec(name="g" * 121))


def test_an_option_is_said_once_and_those_of_others_are_told() -> None:
    class Theirs(Option):
        pass

    theirs = Theirs()
    assert list(foreign([RocketTopic(), theirs, RocketQueue()])) == [theirs]
    with pytest.raises(TopologyMismatch, match="RocketQueue is said twice"):
        LAYOUT.group_of(QueueSpec(name="q", options=(RocketQueue(), RocketQueue())))


def test_who_is_asked_about_half_messages_is_in_a_group_of_the_checks_name() -> None:
    assert LAYOUT.checkers("paid") == "msgkit-check-paid"
    odd = LAYOUT.checkers("bezahlt? ü")
    assert odd.isascii()
    assert odd != LAYOUT.checkers("bezahlt? u")
    assert Layout("shop").checkers("paid") == "shop%msgkit-check-paid"
