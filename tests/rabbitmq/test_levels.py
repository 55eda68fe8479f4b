"""Delays, without a broker: the declared exchanges and queues are followed as a broker follows them."""

from collections.abc import Iterator, Mapping
from random import Random
from typing import NamedTuple

import pytest

from msgkit_rabbitmq.delays import DUE_EXCHANGE, LONGEST, READY, SINK, Bound, Made, due_binding, infrastructure, way
from msgkit_rabbitmq.mapping import DUE, LEVEL
from msgkit_rabbitmq.wire import Table

UNDELIVERABLE = "msgkit.undeliverable"
#: What is less than this is lost in the digits of a float.
HAIR = 1e-6


class Walk(NamedTuple):
    """Where a message came out, and how long it waited in which queues."""

    queues: tuple[str, ...]
    milliseconds: int
    levels: tuple[str, ...]


class Broker:
    """RabbitMQ's headers and fanout exchanges, alternate exchanges, and dead letters of expired messages."""

    def __init__(self) -> None:
        self.exchanges: dict[str, Made] = {}
        self.queues: dict[str, Made] = {}
        self.bindings: list[Bound] = []
        for part in infrastructure():
            match part:
                case Made("exchange", name):
                    assert name not in self.exchanges
                    self.exchanges[name] = part
                case Made("queue", name):
                    assert name not in self.queues
                    self.queues[name] = part
                case Bound():
                    self.bind(part)
                case Made():
                    raise AssertionError(part)

    def bind(self, bound: Bound) -> None:
        assert bound.source in self.exchanges
        assert bound.name in (self.queues if bound.what == "queue" else self.exchanges)
        self.bindings.append(bound)

    def add(self, queue: str, due: str) -> None:
        """Have a queue of somebody's, which is bound where messages come due."""
        self.queues[queue] = Made("queue", queue, "", {})
        self.bind(Bound("queue", queue, DUE_EXCHANGE, due_binding(due)))

    def routed(self, exchange: str, headers: Table) -> set[str]:
        """Return the queues that a message goes to."""
        made = self.exchanges[exchange]
        taken = [
            bound
            for bound in self.bindings
            if bound.source == exchange and (made.kind == "fanout" or _matches(bound.arguments, headers))
        ]
        alternate = made.arguments.get("alternate-exchange")
        if not taken and isinstance(alternate, str):
            return self.routed(alternate, headers)
        queues = {bound.name for bound in taken if bound.what == "queue"}
        return queues.union(*(self.routed(bound.name, headers) for bound in taken if bound.what == "exchange"))

    def walk(self, exchange: str, headers: Table) -> Walk:
        """Follow a message until it is where nothing expires."""
        levels: list[str] = []
        waited = 0
        while True:
            queues = self.routed(exchange, headers)
            waiting = [name for name in queues if "x-dead-letter-exchange" in self.queues[name].arguments]
            if not waiting:
                return Walk(tuple(sorted(queues)), waited, tuple(levels))
            # Never in two at once, nor beside its end.
            (name,) = queues
            arguments = self.queues[name].arguments
            levels.append(name)
            waited += _whole(arguments["x-message-ttl"])
            exchange = str(arguments["x-dead-letter-exchange"])


def _matches(arguments: Table, headers: Table) -> bool:
    assert arguments["x-match"] == "all"
    # Names that begin with x- are left out.
    asked = {name: value for name, value in arguments.items() if not name.startswith("x-")}
    return all(headers.get(name) == value for name, value in asked.items())


def _whole(value: object) -> int:
    assert isinstance(value, int)
    return value


def delays() -> Iterator[float]:
    """Return thousands, of all lengths."""
    random = Random(11)  # noqa: S311 -- no secret
    for _ in range(3000):
        yield 10 ** random.uniform(-4, 7.4)
    for _ in range(1000):
        # At the edges, where rounding goes wrong.
        yield random.randrange(1, 1 << 28) / 10
    for level in range(28):
        yield from ((1 << level) / 10, ((1 << level) + 1) / 10, ((1 << level) - 0.5) / 10)


def seconds(headers: Mapping[str, object]) -> float:
    """Return what bits say."""
    return sum(0.1 * (1 << int(name.removeprefix(LEVEL))) for name, value in headers.items() if value)


@pytest.fixture(scope="module")
def broker() -> Broker:
    broker = Broker()
    broker.add("jobs", "queue:jobs")
    broker.add("others", "queue:others")
    # As an exchange is bound: what nobody there takes goes somewhere, too.
    broker.exchanges["orders"] = Made("exchange", "orders", "fanout", {})
    broker.bind(Bound("exchange", "orders", DUE_EXCHANGE, due_binding("exchange:orders")))
    broker.bind(Bound("queue", SINK, DUE_EXCHANGE, due_binding("exchange:orders")))
    return broker


# -- the way


def test_no_way_is_shorter_than_asked_for_nor_longer_by_more_than_100_ms() -> None:
    for delay in delays():
        late = seconds(way(delay).headers) - delay
        assert -HAIR <= late <= 0.1 + HAIR, delay


def test_a_way_begins_at_its_highest_bit_and_says_each_bit_below() -> None:
    assert way(0.3) == ("msgkit.delay.1", {f"{LEVEL}0": True, f"{LEVEL}1": True})
    assert way(0.8) == (
        "msgkit.delay.3",
        {f"{LEVEL}0": False, f"{LEVEL}1": False, f"{LEVEL}2": False, f"{LEVEL}3": True},
    )
    for delay in delays():
        exchange, headers = way(delay)
        top = int(exchange.removeprefix("msgkit.delay."))
        assert [*headers] == [f"{LEVEL}{level}" for level in range(top + 1)]
        assert all(type(value) is bool for value in headers.values())
        assert headers[f"{LEVEL}{top}"]


@pytest.mark.parametrize("delay", [1e-12, 0.001, 0.05, 0.1])
def test_the_shortest_way_is_one_level(delay: float) -> None:
    assert way(delay) == ("msgkit.delay.0", {f"{LEVEL}0": True})


def test_a_tenth_of_a_second_is_no_longer_for_being_written_in_binary() -> None:
    for steps in range(1, 5000):
        assert round(seconds(way(steps * 0.1).headers) * 10) == steps


def test_the_longest_way_takes_all_levels() -> None:
    exchange, headers = way(LONGEST)
    assert exchange == "msgkit.delay.27"
    assert all(headers.values())
    assert len(headers) == 28
    assert LONGEST > 310 * 24 * 3600


# -- what is declared


def test_each_level_waits_twice_as_long_as_the_one_below_and_falls_into_it(broker: Broker) -> None:
    for level in range(28):
        arguments = broker.queues[f"msgkit.delay.{level}"].arguments
        below = f"msgkit.delay.{level - 1}" if level else DUE_EXCHANGE
        assert arguments["x-message-ttl"] == 100 * 2**level
        assert arguments["x-dead-letter-exchange"] == below
        # A message keeps the routing key that it was sent with.
        assert "x-dead-letter-routing-key" not in arguments


def test_nothing_is_lost_between_two_levels(broker: Broker) -> None:
    for level in range(28):
        arguments = broker.queues[f"msgkit.delay.{level}"].arguments
        # Without the others, RabbitMQ takes this for at most once.
        assert arguments["x-dead-letter-strategy"] == "at-least-once"
        assert (arguments["x-queue-type"], arguments["x-overflow"]) == ("quorum", "reject-publish")


def test_names_are_ours_and_each_is_there_once(broker: Broker) -> None:
    made = [(part.what, part.name) for part in infrastructure() if isinstance(part, Made)]
    assert len(set(made)) == len(made) == 2 * 28 + 5
    assert all(name.startswith("msgkit.") for _, name in made)
    assert len({str(bound) for bound in broker.bindings}) == len(broker.bindings)


def test_a_part_is_made_after_all_that_it_leads_to_and_the_last_says_that_all_are_there() -> None:
    there = set[tuple[str, str]]()
    parts = list(infrastructure())
    for part in parts:
        match part:
            case Made(what, name, _, arguments):
                for argument in ("x-dead-letter-exchange", "alternate-exchange"):
                    assert argument not in arguments or ("exchange", arguments[argument]) in there
                there.add((what, name))
            case Bound(what, name, source):
                assert {(what, name), ("exchange", source)} <= there
    last = parts[-1]
    assert isinstance(last, Made)
    assert (last.what, last.name) == ("exchange", READY)


# -- the fall


def test_a_message_waits_in_each_level_whose_bit_is_set_and_in_no_other(broker: Broker) -> None:
    headers = {DUE: "queue:jobs", **way(1.3).headers}
    found = broker.walk(way(1.3).exchange, headers)
    assert found == Walk(("jobs",), 1300, ("msgkit.delay.3", "msgkit.delay.2", "msgkit.delay.0"))


def test_a_message_waits_as_long_as_its_way_is_and_comes_out_where_it_is_due(broker: Broker) -> None:
    for at, delay in enumerate(delays()):
        if at % 8 == 0:
            exchange, bits = way(delay)
            found = broker.walk(exchange, {DUE: "queue:jobs", **bits})
            assert found.milliseconds == round(seconds(bits) * 1000)
            assert found.queues == ("jobs",)
            assert len(found.levels) == sum(map(bool, bits.values()))


def test_the_longest_delay_falls_through_all_levels(broker: Broker) -> None:
    exchange, bits = way(LONGEST)
    found = broker.walk(exchange, {DUE: "queue:others", **bits})
    assert found.levels == tuple(f"msgkit.delay.{level}" for level in reversed(range(28)))
    assert found.milliseconds == round(LONGEST * 1000)
    assert found.queues == ("others",)


def test_what_is_due_for_an_exchange_that_nobody_listens_to_is_not_kept(broker: Broker) -> None:
    exchange, bits = way(0.1)
    assert broker.walk(exchange, {DUE: "exchange:orders", **bits}).queues == (SINK,)
    assert broker.queues[SINK].arguments["x-message-ttl"] == 0


@pytest.mark.parametrize("due", ["queue:gone", "queue:job", "exchange:jobs", ""])
def test_what_is_due_for_what_is_gone_is_kept(broker: Broker, due: str) -> None:
    exchange, bits = way(0.1)
    assert broker.walk(exchange, {DUE: due, **bits}).queues == (UNDELIVERABLE,)
    assert broker.queues[UNDELIVERABLE].arguments == {"x-queue-type": "quorum"}
