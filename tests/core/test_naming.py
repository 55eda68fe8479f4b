from typing import Any

import pytest

from msgkit import Exchange, MessageTemplate, Option, Queue, Settings
from msgkit.errors import ConfigurationError, UnsupportedCapability
from msgkit.naming import Naming, require_topology
from msgkit.spi import (
    NATIVE,
    Capabilities,
    ExchangeSpec,
    Order,
    Power,
    QueueSpec,
    Refused,
    RouteSpec,
    Shared,
    Support,
    Topology,
)
from tests.core.workshop import Place

orders = Exchange("orders", int)
billing = orders.queue("billing", "placed.*")


class Classic(Option):
    schemes = ("amqp",)


def naming(**said: Any) -> Naming:
    return Naming(Settings(**said))


# -- names


@pytest.mark.parametrize(
    ("said", "names"),
    [
        ({}, ("orders", "billing", "billing.dlq")),
        ({"prefix": "test."}, ("test.orders", "test.billing", "test.billing.dlq")),
        ({"queues": {"billing": {"name": "b"}}}, ("orders", "b", "b.dlq")),
        # A name in the settings is the whole name: it may be one that somebody else gave.
        ({"prefix": "test.", "queues": {"billing": {"name": "b"}}}, ("test.orders", "b", "b.dlq")),
        ({"prefix": "test.", "exchanges": {"orders": {"name": "o"}}}, ("o", "test.billing", "test.billing.dlq")),
        (
            {"queues": {"billing": {"name": "b"}, "billing.dlq": {"name": "graves"}}},
            ("orders", "b", "graves"),
        ),
        ({"queues": {"billing.dlq": {"name": "graves"}}}, ("orders", "billing", "graves")),
    ],
)
def test_names_come_from_the_settings_where_they_give_one_and_dead_letters_follow_their_queue(
    said: dict[str, Any], names: tuple[str, str, str]
) -> None:
    names_of = naming(**said)
    assert (names_of.name(orders), names_of.name(billing), names_of.name(billing.dead_letters)) == names
    spec = names_of.queue_spec(billing)
    assert (spec.name, spec.dead_letters) == names[1:]
    assert spec.routes == (RouteSpec(exchange=names[0], subject="placed.*"),)


def test_dead_letters_with_a_name_of_their_own_keep_it() -> None:
    queue = Queue("jobs", dead_letters="graves")
    names_of = naming(prefix="test.", queues={"jobs": {"name": "j"}})
    assert names_of.name(queue.dead_letters) == "test.graves"
    assert names_of.queue_spec(queue.dead_letters).dead_letters_of == "j"


def test_dead_letters_are_where_their_queue_is() -> None:
    brokers: dict[str, Any] = {"audit": {"url": "memory://audit", "prefix": "a."}}
    names_of = naming(brokers=brokers, queues={"jobs": {"broker": "audit"}}, prefix="test.")
    queue = Queue("jobs")
    assert (names_of.broker(queue), names_of.broker(queue.dead_letters)) == ("audit", "audit")
    assert (names_of.name(queue), names_of.name(queue.dead_letters)) == ("a.jobs", "a.jobs.dlq")


def test_a_queue_that_only_looks_like_dead_letters_has_its_own_name() -> None:
    names_of = naming(queues={"billing": {"name": "b"}})
    assert names_of.name(Queue("billing.dlq")) == "billing.dlq"


def test_settings_that_put_a_queue_and_its_exchange_apart_are_refused() -> None:
    brokers: dict[str, Any] = {"audit": {"url": "memory://audit"}}
    with pytest.raises(ConfigurationError) as caught:
        naming(brokers=brokers, queues={"billing": {"broker": "audit"}}).queue_spec(billing)
    assert str(caught.value) == (
        "Queue('billing') is on broker 'audit', but Exchange('orders') is on 'default'; "
        "a route cannot cross brokers: send on from a listener"
    )


async def test_what_has_another_name_is_found_under_it(place: Place) -> None:
    settings = place.settings(prefix="test.", queues={"billing": {"name": "b"}})
    async with MessageTemplate(settings) as template:
        await template.declare(billing)
        receipt = await template.send(orders, 1, subject="placed.eu")
        assert receipt.destination == "test.orders"
        assert set(place.broker.depths()) == {"b", "b.dlq"}
        async with template.receive(billing) as (taken,):
            assert taken.payload == 1


# -- what is declared


def test_what_is_declared_comes_with_all_that_it_needs() -> None:
    (topology,) = naming().topologies([billing]).values()
    assert set(topology.exchanges) == {"orders"}
    assert set(topology.queues) == {"billing", "billing.dlq"}
    assert topology.queues["billing.dlq"] == QueueSpec(name="billing.dlq", dead_letters_of="billing")


def test_what_is_declared_twice_is_declared_once() -> None:
    (topology,) = naming().topologies([billing, orders, orders.queue("billing", "placed.*"), orders]).values()
    assert set(topology.queues) == {"billing", "billing.dlq"}


@pytest.mark.parametrize(
    "other",
    [
        orders.queue("billing", "cancelled.*"),
        orders.queue("billing", "placed.*", ordered=True),
        orders.queue("billing", "placed.*", dead_letters=False),
        orders.queue("billing", "placed.*", options=[Classic()]),
        Queue("billing"),
        Exchange("orders", int, kind="direct"),
    ],
)
def test_what_is_declared_twice_and_differently_is_refused(other: Queue[Any] | Exchange[Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        naming().topologies([billing, other])
    assert str(caught.value).startswith(f"{other} is declared twice, and differently: once ")


def test_a_queue_may_be_the_dead_letters_of_several_and_be_listened_to_as_well() -> None:
    graves = Queue("graves", bytes)
    one, other = Queue("one", dead_letters="graves"), Queue("other", dead_letters="graves")
    (topology,) = naming().topologies([one, other, graves]).values()
    assert {one_queue.dead_letters for one_queue in topology.queues.values()} >= {"graves"}


def test_each_broker_has_its_own() -> None:
    brokers: dict[str, Any] = {"audit": {"url": "memory://audit"}}
    topologies = naming(brokers=brokers).topologies([Queue("q"), Queue("q", broker="audit", ordered=True)])
    assert {name: topology.queues["q"].ordered for name, topology in topologies.items()} == {
        "default": False,
        "audit": True,
    }


# -- what the broker must be able to do


@pytest.mark.parametrize(
    ("power", "spec", "who"),
    [
        (Power.ORDERED, QueueSpec(name="q", ordered=True), "Queue('q') with ordered=True"),
        (Power.STRICT, QueueSpec(name="q", ordered="strict"), "Queue('q') with ordered='strict'"),
        (Power.PRIORITY, QueueSpec(name="q", priorities=5), "Queue('q') with priorities=5"),
        (Power.ANONYMOUS, QueueSpec(name="q", anonymous=True), "Queue('q'), anonymous,"),
        (Power.START, QueueSpec(name="q", start="earliest"), "Queue('q') with start='earliest'"),
        (Power.HEADERS_EXCHANGE, ExchangeSpec(name="e", kind="headers"), "Exchange('e', kind='headers')"),
    ],
)
def test_what_a_broker_cannot_keep_is_refused_with_who_asks_for_it(
    power: Power, spec: QueueSpec | ExchangeSpec, who: str
) -> None:
    topology = Topology(
        {spec.name: spec} if isinstance(spec, ExchangeSpec) else {},
        {spec.name: spec} if isinstance(spec, QueueSpec) else {},
    )
    powers: dict[Power, Support] = {**dict.fromkeys(Power, NATIVE), power: Refused("it has none", "do without")}
    able = Capabilities(broker="elsewhere", durable=True, shared=Shared.NETWORK, order=Order.KEY, powers=powers)
    with pytest.raises(UnsupportedCapability) as caught:
        require_topology(able, topology)
    said = f"{who} asks for {power.value}, which elsewhere cannot do: it has none; do without"
    assert str(caught.value) == said
