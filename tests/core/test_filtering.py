"""What a queue takes of a topic."""

import pytest

from msgkit.envelope import Envelope, Kind
from msgkit.spi import QueueSpec, RouteSpec
from msgkit.spi.filtering import Filter, filters_of


def sent(subject: str | None = None, **headers: str | int) -> Envelope:
    return Envelope(b"", "orders", Kind.EXCHANGE, "1", headers, subject=subject)


@pytest.mark.parametrize(
    ("route", "taken", "left"),
    [
        (RouteSpec(exchange="orders", subject="placed.*"), sent("placed.eu"), sent("placed.eu.north")),
        (RouteSpec(exchange="orders", subject="placed.#"), sent("placed.eu.north"), sent("billed.eu")),
        (RouteSpec(exchange="orders", kind="direct", subject="a.*"), sent("a.*"), sent("a.b")),
        (RouteSpec(exchange="orders", kind="direct", subject=""), sent(""), sent(None)),
        (RouteSpec(exchange="orders", kind="headers", headers={"n": 1}), sent(n=1, m=2), sent(n=True)),
    ],
)
def test_a_filter_takes_what_its_route_says(route: RouteSpec, taken: Envelope, left: Envelope) -> None:
    found = Filter([route])

    assert found.takes(taken)
    assert not found.takes(left)


@pytest.mark.parametrize(
    "route", [RouteSpec(exchange="orders"), RouteSpec(exchange="orders", kind="fanout", subject="ignored")]
)
def test_a_filter_for_all_takes_all_beside_any_other(route: RouteSpec) -> None:
    found = Filter([RouteSpec(exchange="orders", subject="placed.*"), route])

    assert found.takes(sent("anything"))


def test_several_routes_from_one_exchange_are_one_filter() -> None:
    queue = QueueSpec(
        name="q",
        routes=(
            RouteSpec(exchange="a", subject="x"),
            RouteSpec(exchange="b", subject="y"),
            RouteSpec(exchange="a", subject="z"),
        ),
    )

    found = filters_of(queue)

    assert list(found) == ["a", "b"]
    assert [subject for subject in "xyz" if found["a"].takes(sent(subject))] == ["x", "z"]


def test_a_fingerprint_is_the_same_for_the_same_filter_in_any_order_and_for_no_other() -> None:
    one, other = RouteSpec(exchange="a", subject="x"), RouteSpec(exchange="a", subject="y")

    assert Filter([one, other]).fingerprint == Filter([other, one]).fingerprint
    assert Filter([one]).fingerprint != Filter([other]).fingerprint
    assert len(Filter([one]).fingerprint) == 12


def test_all_that_take_all_have_one_fingerprint() -> None:
    every = RouteSpec(exchange="a")
    others = (RouteSpec(exchange="a", kind="fanout"), RouteSpec(exchange="a", kind="headers"))

    assert {Filter([every, RouteSpec(exchange="a", subject="x")]).fingerprint} == {
        Filter([each]).fingerprint for each in (every, *others)
    }
