from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from msgkit.envelope import Envelope, Kind
from msgkit.errors import ConfigurationError, UnsupportedCapability
from msgkit.spi import ExchangeSpec, QueueSpec, RouteSpec, Topology
from msgkit.topology import ExchangeKind
from msgkit.values import Headers, Option
from msgkit_rabbitmq.capabilities import Version
from msgkit_rabbitmq.layout import (
    ExchangeForm,
    QueueForm,
    RouteForm,
    check_histories,
    exchange_forms,
    foreign,
    queue_form,
    queue_forms,
    route_forms,
)
from msgkit_rabbitmq.mapping import encoded
from msgkit_rabbitmq.options import RabbitExchange, RabbitQueue
from msgkit_rabbitmq.wire import Table, decode_properties

OLD, UNLIMITED, NEW = (3, 10), (4, 0), (4, 3)
QUORUM, CLASSIC = RabbitQueue(kind="quorum"), RabbitQueue(kind="classic")
WEEK = RabbitQueue(history=timedelta(days=7))
ENDLESS = {"x-delivery-limit": -1}


class Elsewhere(Option):
    """What only another broker understands."""

    schemes = ("kafka",)


def queue(
    *options: Option,
    version: Version = NEW,
    name: str = "jobs",
    priorities: int | None = None,
    ordered: bool = False,
    anonymous: bool = False,
) -> QueueForm:
    spec = QueueSpec(name=name, priorities=priorities, ordered=ordered, anonymous=anonymous, options=options)
    return queue_form(spec, version)


def exchange(*options: Option, name: str = "orders", kind: ExchangeKind = "topic") -> ExchangeForm:
    return exchange_forms(Topology({name: ExchangeSpec(name=name, kind=kind, options=options)}, {}))[name]


def route(kind: ExchangeKind = "topic", subject: str = "#", headers: Headers | None = None) -> RouteForm:
    spec = RouteSpec(exchange="orders", kind=kind, subject=subject, headers=headers or {})
    (form,) = route_forms(QueueSpec(name="jobs", routes=(spec,)))
    return form


# -- queues


@pytest.mark.parametrize(("version", "limit"), [(OLD, {}), ((3, 13), {}), (UNLIMITED, ENDLESS), (NEW, ENDLESS)])
def test_a_queue_is_a_quorum_queue_that_no_broker_takes_messages_away_from(
    version: Version, limit: Mapping[str, object]
) -> None:
    assert queue(version=version) == QueueForm("jobs", {"x-queue-type": "quorum", **limit})


@pytest.mark.parametrize("version", [OLD, UNLIMITED, NEW])
def test_a_classic_queue_is_one_on_every_version(version: Version) -> None:
    assert queue(CLASSIC, version=version).arguments == {"x-queue-type": "classic"}


@pytest.mark.parametrize("version", [OLD, UNLIMITED, NEW])
def test_priorities_make_a_queue_classic(version: Version) -> None:
    wanted = {"x-queue-type": "classic", "x-max-priority": 9}
    assert queue(priorities=9, version=version).arguments == wanted
    assert queue(CLASSIC, priorities=9, version=version).arguments == wanted


def test_a_quorum_queue_keeps_priorities_by_itself_since_it_can() -> None:
    wanted = {"x-queue-type": "quorum", **ENDLESS}
    assert queue(QUORUM, priorities=31, version=NEW).arguments == wanted
    assert queue(QUORUM, priorities=1, version=(5, 0)).arguments == wanted


@pytest.mark.parametrize("version", [OLD, (3, 13), UNLIMITED, (4, 2)])
def test_a_quorum_queue_of_an_older_broker_refuses_priorities(version: Version) -> None:
    text = f"'jobs': quorum queues of RabbitMQ {version[0]}.{version[1]} keep no priorities; leave RabbitQueue.kind="
    with pytest.raises(UnsupportedCapability, match=text):
        queue(QUORUM, priorities=2, version=version)


def test_a_quorum_queue_refuses_more_priorities_than_it_tells_apart() -> None:
    with pytest.raises(UnsupportedCapability, match="'jobs': quorum queues keep priorities up to 31"):
        queue(QUORUM, priorities=32)


@pytest.mark.parametrize("options", [(), (CLASSIC,), (QUORUM,)])
def test_an_ordered_queue_has_one_consumer_at_a_time(options: tuple[Option, ...]) -> None:
    plain, ordered = queue(*options).arguments, queue(*options, ordered=True).arguments
    assert ordered == {**plain, "x-single-active-consumer": True}


def test_an_anonymous_queue_goes_a_minute_after_its_consumer() -> None:
    assert queue(anonymous=True).arguments == {"x-queue-type": "classic", "x-expires": 60_000}
    assert queue(QUORUM, anonymous=True).arguments == {"x-queue-type": "quorum", "x-expires": 60_000, **ENDLESS}


def test_options_of_a_queue_are_arguments_beside_ours() -> None:
    option = RabbitQueue(max_length=5, arguments={"x-quorum-initial-group-size": 3})
    assert queue(option, Elsewhere()).arguments == {
        "x-queue-type": "quorum",
        **ENDLESS,
        "x-max-length": 5,
        "x-overflow": "reject-publish",
        "x-quorum-initial-group-size": 3,
    }


def test_a_queue_of_somebody_else_is_not_ours_to_declare_and_may_have_any_name() -> None:
    assert queue().owned
    assert not queue(RabbitQueue(declare=False), name="amq.theirs").owned
    with pytest.raises(ConfigurationError, match=r"queue 'amq.mine' is 'amq.mine', and names .* RabbitMQ's own"):
        queue(name="amq.mine")


def test_a_history_is_a_stream_that_the_same_routes_fill() -> None:
    routes = (RouteSpec(exchange="orders", subject="a.*"), RouteSpec(exchange="others", kind="fanout"))
    option = RabbitQueue(history=timedelta(seconds=90.5))
    itself, history = queue_forms(QueueSpec(name="jobs", routes=routes, options=(option,)), OLD)
    assert itself[0] == QueueForm("jobs", {"x-queue-type": "quorum"})
    assert history[0] == QueueForm("jobs.history", {"x-queue-type": "stream", "x-max-age": "91s"})
    assert history[1] == tuple(route._replace(queue="jobs.history") for route in itself[1])
    assert len(itself[1]) == len(routes)
    assert (itself[0].is_history, history[0].is_history) == (False, True)


@pytest.mark.parametrize(("option", "together"), [(QUORUM, True), (WEEK, True), (CLASSIC, False)])
def test_quorum_queues_and_streams_are_kept_by_nodes_together(option: RabbitQueue, *, together: bool) -> None:
    *_, (form, _) = queue_forms(QueueSpec(name="jobs", routes=(RouteSpec(exchange="x"),), options=(option,)), NEW)
    assert form.is_replicated is together


def test_a_queue_that_is_called_as_the_history_of_another_is_refused() -> None:
    jobs = QueueSpec(name="jobs", routes=(RouteSpec(exchange="x"),), options=(WEEK,))
    check_histories(Topology({}, {"jobs": jobs, "jobs.dlq": QueueSpec(name="jobs.dlq")}))
    with pytest.raises(ConfigurationError, match=r"queue 'jobs': .* a stream 'jobs.history', and there is a queue of"):
        check_histories(Topology({}, {"jobs.history": QueueSpec(name="jobs.history"), "jobs": jobs}))


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        (QueueSpec(name="jobs"), "keeps what routes bring, and it has none"),
        (QueueSpec(name="jobs", anonymous=True), "outlives a queue that is anonymous"),
        (QueueSpec(name="j" * 250, routes=(RouteSpec(exchange="x"),)), "the history of queue 'j+' has 258 bytes"),
    ],
    ids=["no routes", "anonymous", "name"],
)
def test_a_history_that_would_be_none_is_refused(spec: QueueSpec, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        list(queue_forms(replace(spec, options=(RabbitQueue(history=timedelta(1)),)), OLD))


@pytest.mark.parametrize("name", ["x" * 256, "ü" * 128, "a\nb"])
def test_names_that_rabbitmq_does_not_take_are_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="queue '"):
        queue(name=name)
    with pytest.raises(ConfigurationError, match="exchange '"):
        exchange(name=name)


# -- exchanges


@pytest.mark.parametrize("kind", ["topic", "direct", "fanout", "headers"])
def test_an_exchange_is_of_the_kind_that_is_declared(kind: ExchangeKind) -> None:
    assert exchange(kind=kind) == ExchangeForm("orders", kind, {})


def test_options_of_an_exchange_go_before_its_kind() -> None:
    option = RabbitExchange(
        kind="x-consistent-hash", alternate_exchange="lost", internal=True, auto_delete=True, arguments={"x": 1}
    )
    wanted = {"alternate-exchange": "lost", "x": 1}
    assert exchange(Elsewhere(), option) == ExchangeForm(
        "orders", "x-consistent-hash", wanted, internal=True, auto_delete=True
    )


@pytest.mark.parametrize(("name", "options"), [("amq.topic", ()), ("orders", (RabbitExchange(declare=False),))])
def test_an_exchange_of_the_broker_or_of_somebody_else_is_only_used(name: str, options: tuple[Option, ...]) -> None:
    assert exchange(*options, name=name) == ExchangeForm(name, "topic", {}, owned=False)


def test_exchanges_that_are_only_routed_from_are_there_too_and_are_declared_once() -> None:
    jobs = QueueSpec(name="jobs", routes=(RouteSpec(exchange="a", kind="fanout"), RouteSpec(exchange="b")))
    mail = QueueSpec(name="mail", routes=(RouteSpec(exchange="a", kind="fanout"),))
    declared = ExchangeSpec(name="b", options=(RabbitExchange(alternate_exchange="lost"),))
    forms = exchange_forms(Topology({"b": declared, "c": ExchangeSpec(name="c")}, {"jobs": jobs, "mail": mail}))
    assert forms == {
        "a": ExchangeForm("a", "fanout", {}),
        "b": ExchangeForm("b", "topic", {"alternate-exchange": "lost"}),
        "c": ExchangeForm("c", "topic", {}),
    }


# -- options


def test_an_option_stands_where_it_belongs_and_once() -> None:
    with pytest.raises(ConfigurationError, match="queue 'jobs' takes no RabbitExchange; RabbitQueue is for that"):
        queue(RabbitExchange())
    with pytest.raises(ConfigurationError, match="exchange 'orders' takes no RabbitQueue; RabbitExchange is for that"):
        exchange(RabbitExchange(), RabbitQueue())
    with pytest.raises(ConfigurationError, match="queue 'jobs' has 2 options of the type RabbitQueue, and takes one"):
        queue(RabbitQueue(), RabbitQueue(max_length=1))


def test_options_for_other_brokers_are_told_apart() -> None:
    other = Elsewhere()
    assert list(foreign([RabbitQueue(), other, RabbitExchange()])) == [other]


# -- routes


@pytest.mark.parametrize("kind", ["topic", "direct"])
def test_a_pattern_is_the_key_of_a_binding(kind: ExchangeKind) -> None:
    assert route(kind, "placed.*") == RouteForm("orders", "jobs", "placed.*", {})


def test_a_queue_has_a_binding_for_each_of_its_routes() -> None:
    specs = tuple(RouteSpec(exchange=name, subject=name * 2) for name in "ab")
    assert list(route_forms(QueueSpec(name="jobs", routes=specs))) == [
        RouteForm("a", "jobs", "aa", {}),
        RouteForm("b", "jobs", "bb", {}),
    ]


def test_the_key_of_a_fanout_says_nothing() -> None:
    assert route("fanout", "x" * 1000) == RouteForm("orders", "jobs", "", {})


@pytest.mark.parametrize("subject", ["x" * 256, "ü" * 128])
def test_a_pattern_that_is_too_long_is_refused(subject: str) -> None:
    assert route(subject=subject[:-1]).key == subject[:-1]
    with pytest.raises(ConfigurationError, match=r"the pattern '(x+|ü+)'… has more than 255 bytes"):
        route(subject=subject)


def test_headers_are_asked_for_all_together() -> None:
    wanted: Headers = {"region": "eu", "big": True, "level": 3}
    assert route("headers", headers=wanted) == RouteForm("orders", "jobs", "", {"x-match": "all", **wanted})
    assert route("headers").arguments == {"x-match": "all"}


def test_headers_whose_name_begins_with_x_are_asked_for_too() -> None:
    wanted: Headers = {"x-region": "eu", "big": True}
    assert route("headers", headers=wanted).arguments == {"x-match": "all-with-x", **wanted}


@pytest.mark.parametrize(
    "wanted",
    [
        {"region": "eu", "level": 3, "share": 0.5, "bytes": b"\xff"},
        {"at": datetime(2024, 5, 17, tzinfo=UTC)},
        {"x-region": "eu"},
        {"CC": "eu", "big": True},
        {"x-match": "any"},
        {"x-death": "eu"},
        {"msgkit-key": "k", "msgkit-user-a": "b"},
    ],
)
def test_what_a_route_asks_for_is_what_the_sender_writes(wanted: Headers) -> None:
    asked = route("headers", headers=wanted).arguments
    sent = headers_on_the_way({**wanted, "more": 1})
    assert _matches(asked, sent)
    for name in wanted:
        less = {header: value for header, value in wanted.items() if header != name}
        assert not _matches(asked, headers_on_the_way(less))
        assert not _matches(asked, headers_on_the_way({**wanted, name: "else"}))


def headers_on_the_way(headers: Headers) -> Table:
    return decode_properties(encoded(Envelope(b"", "orders", Kind.EXCHANGE, "m", headers=headers))).headers or {}


def _matches(arguments: Table, headers: Table) -> bool:
    """Tell what RabbitMQ would do."""
    with_x = {"all": False, "all-with-x": True}[str(arguments["x-match"])]
    asked = {
        name: value for name, value in arguments.items() if name != "x-match" and (with_x or not name.startswith("x-"))
    }
    return all(name in headers and headers[name] == value for name, value in asked.items())


# -- as a plan shows them


def test_forms_say_in_a_plan_what_they_are() -> None:
    assert str(queue(priorities=3)) == "x-queue-type='classic', x-max-priority=3"
    assert str(exchange(RabbitExchange(alternate_exchange="lost"))) == "kind='topic', alternate-exchange='lost'"
    assert str(route(subject="placed.*")) == "orders [placed.*] -> jobs"
    assert str(route("headers", headers={"big": True})) == "orders [big=True] -> jobs"
