"""What callers meet at the face: clocks, names, declarations, groups, the command, and refusals in words."""

import time
from itertools import pairwise
from typing import Any

import pytest

from msgkit import Exchange, Json, Queue, Route, Settings
from msgkit.clock import SystemClock
from msgkit.errors import ConfigurationError
from msgkit.naming import Naming
from msgkit.spi import BindingOptions


class Machine:
    """The two clocks of a machine, which stand until they are turned."""

    def __init__(self) -> None:
        self.steady = 100.0
        self.wall = 1_700_000_000.0

    def pass_by(self, seconds: float) -> None:
        self.steady += seconds
        self.wall += seconds


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    monkeypatch.setattr(time, "monotonic", lambda: machine.steady)
    monkeypatch.setattr(time, "time", lambda: machine.wall)
    return machine


def test_a_moment_follows_the_wall_within_a_second_of_a_suspend(machine: Machine) -> None:
    clock = SystemClock()
    machine.wall += 3600
    machine.pass_by(1)
    assert clock.now() == machine.wall


def test_a_moment_does_not_follow_what_differs_by_less_than_a_second(machine: Machine) -> None:
    clock = SystemClock()
    machine.wall += 0.5
    machine.pass_by(10)
    assert clock.now() == machine.wall - 0.5


def test_a_wall_that_is_set_back_is_let_catch_up_without_time_going_back(machine: Machine) -> None:
    clock = SystemClock()
    machine.pass_by(10)
    before = clock.now()
    machine.wall -= 60
    machine.pass_by(1)
    moments = [before, clock.now()]
    for _ in range(200):
        machine.pass_by(0.7)
        moments.append(clock.now())
    steps = [later - earlier for earlier, later in pairwise(moments)]
    assert min(steps) >= 0.7 / 2 - 1e-3
    assert max(steps) <= 1 + 1e-3
    assert abs(moments[-1] - machine.wall) <= 1


def test_the_options_of_a_binding_are_not_in_its_repr() -> None:
    options = BindingOptions(url="memory://", options={"sasl_password": "s3cret"})
    assert "s3cret" not in repr(options)


# -- names


@pytest.mark.parametrize("kind", [Queue, Exchange])
def test_two_destinations_under_one_name_on_a_broker_are_refused(kind: type[Queue[Any]] | type[Exchange[Any]]) -> None:
    settings = Settings(
        queues={"a": {"name": "x"}, "b": {"name": "x"}}, exchanges={"a": {"name": "x"}, "b": {"name": "x"}}
    )
    said = rf"{kind.__name__}\('a'\) and {kind.__name__}\('b'\) would both be called 'x' on broker 'default'"
    with pytest.raises(ConfigurationError, match=said):
        Naming(settings).topologies([kind("a"), kind("b")])


def test_a_queue_and_an_exchange_may_have_one_name_and_queues_may_share_their_dead_letters() -> None:
    naming = Naming(Settings(queues={"a": {"name": "x"}}))
    queues = [Queue("a", dead_letters="graves"), Queue("b", dead_letters="graves"), Queue("graves", bytes)]
    (topology,) = naming.topologies([*queues, Exchange("x")]).values()
    assert set(topology.queues) == {"x", "b", "graves", "graves.dlq"}


# -- converters


class Swapped:
    """Writes lower case as upper case."""

    content_types = ("text/x-swapped",)

    def encodes(self, kind: object, /) -> bool:
        return kind is Swapped

    def encode(self, payload: Any, /) -> bytes:
        return str(payload).swapcase().encode()

    def decode(self, body: bytes, into: Any, /) -> Any:
        return into(body.decode().swapcase())


swapped = Swapped()
cased = Exchange("cased", str, converter=swapped)
plain = Exchange("plain", str)


@pytest.mark.parametrize(
    "queue",
    [cased.queue("a"), Queue("b", cased.where()), Queue("c", cased.where("x"), cased.where("y")), cased.where()],
    ids=str,
)
def test_a_queue_has_the_converter_of_the_exchange_that_it_takes_from(queue: Queue[str] | Route[str]) -> None:
    found = queue if isinstance(queue, Queue) else Queue.anonymous(queue)
    assert found.converter is swapped


def test_a_queue_of_exchanges_with_two_converters_must_say_which() -> None:
    with pytest.raises(ConfigurationError, match=r"takes from Exchange\('cased'\).*and from Exchange\('plain'\)"):
        Queue("both", cased.where(), plain.where())
    assert Queue("both", cased.where(), plain.where(), converter=swapped).converter is swapped


@pytest.mark.parametrize("make", [Queue, Exchange])
def test_what_is_no_converter_is_refused_in_words(make: Any) -> None:
    class OnlyTwo:
        encode = decode = Swapped.encode

    with pytest.raises(ConfigurationError, match=r"not its class; write converter=Json\(\)"):
        make("q", str, converter=Json)
    with pytest.raises(ConfigurationError, match=r"\('q'\): converter=.*OnlyTwo lacks content_types, encodes"):
        make("q", str, converter=OnlyTwo())


def test_what_is_no_route_makes_no_anonymous_queue() -> None:
    anonymous: Any = Queue.anonymous
    with pytest.raises(ConfigurationError, match=r"takes a route, such as exchange.where\(\), not 'x'"):
        anonymous("x")
