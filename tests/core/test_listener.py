import functools
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from msgkit import Application, Backoff, Batch, Exchange, Listeners, Queue, checker, listener
from msgkit.errors import ConfigurationError, MessagingError
from msgkit.listener import collect
from msgkit.testing import probe
from tests.core import future_annotations
from tests.core.workshop import Order

orders = Exchange("orders", Order)
jobs = Queue("jobs", Order)
OPTIONS = "autostart, concurrency, interceptors, max_in_flight, on_lost, retry, timeout"


def untyped(make: Callable[..., object], *arguments: Any, **options: Any) -> Callable[[], object]:
    """Have something called as a caller without a type checker may call it."""
    return lambda: make(*arguments, **options)


def function(order: Order) -> None:
    """Listen to nothing."""


async def yielding(order: Order) -> AsyncIterator[Order]:
    yield order


def generator(order: Order) -> Iterator[Order]:
    yield order


REFUSED: dict[str, tuple[Callable[[], object], type[MessagingError], str]] = {
    "an exchange": (
        untyped(listener, orders),
        ConfigurationError,
        "@listener takes a Queue, not Exchange('orders'); an Exchange's messages are had by exchange.queue(name)",
    ),
    "a name": (
        untyped(listener, "jobs"),
        ConfigurationError,
        "@listener takes a Queue, not 'jobs'; an Exchange's messages are had by exchange.queue(name)",
    ),
    "no brackets": (
        untyped(listener, function),
        ConfigurationError,
        f"@listener takes a Queue, not {function!r}; an Exchange's messages are had by exchange.queue(name)",
    ),
    "a settlement that there is not": (
        untyped(listener, jobs, settle="wrong"),
        ConfigurationError,
        "@listener(Queue('jobs')): settle= must be 'on_return' or 'later', not 'wrong'",
    ),
    "a batch that answers": (
        untyped(listener, jobs, batch=Batch(5), send_to=jobs),
        ConfigurationError,
        "@listener(Queue('jobs')): a batch is settled on return and answers nobody; leave out send_to= and settle=",
    ),
    "a batch that is settled later": (
        untyped(listener, jobs, batch=Batch(5), settle="later"),
        ConfigurationError,
        "@listener(Queue('jobs')): a batch is settled on return and answers nobody; leave out send_to= and settle=",
    ),
    "a batch that is a number": (
        untyped(listener, jobs, batch=5),
        ConfigurationError,
        "@listener(Queue('jobs')): batch= takes a Batch(...), not 5",
    ),
    "a target by its name": (
        untyped(listener, jobs, send_to="done"),
        ConfigurationError,
        "@listener(Queue('jobs')): send_to= takes an Exchange or a Queue, not 'done'",
    ),
    "no concurrency": (
        untyped(listener, jobs, concurrency=0),
        ConfigurationError,
        "@listener(Queue('jobs')): concurrency= must be a whole number of at least 1, not 0",
    ),
    "half a handler": (
        untyped(listener, jobs, concurrency=0.5),
        ConfigurationError,
        "@listener(Queue('jobs')): concurrency= must be a whole number of at least 1, not 0.5",
    ),
    "nothing in flight": (
        untyped(listener, jobs, max_in_flight=0),
        ConfigurationError,
        "@listener(Queue('jobs')): max_in_flight= must be a whole number of at least 1, not 0",
    ),
    "a timeout of nothing": (
        untyped(listener, jobs, timeout=0),
        ConfigurationError,
        "@listener(Queue('jobs')): timeout= must be more than 0; leave it out for no limit",
    ),
    "a timeout before the beginning": (
        untyped(listener, jobs, timeout=-5),
        ConfigurationError,
        "@listener(Queue('jobs')): timeout= must not be negative, but is -5 s",
    ),
    "a loss that is handled otherwise": (
        untyped(listener, jobs, on_lost="ignore"),
        ConfigurationError,
        "@listener(Queue('jobs')): on_lost= must be 'cancel' or 'finish', not 'ignore'",
    ),
    "a number of retries": (
        untyped(listener, jobs, retry=3),
        ConfigurationError,
        "@listener(Queue('jobs')): retry= takes a Backoff(...), not 3",
    ),
    "an option that there is not": (
        untyped(listener, jobs, concurency=3),
        ConfigurationError,
        f"@listener(Queue('jobs')) has no option 'concurency'; there are {OPTIONS}",
    ),
    "a default that there is not": (
        untyped(Listeners, concurency=3),
        ConfigurationError,
        f"Listeners() has no option 'concurency'; there are {OPTIONS}",
    ),
    "a batch of nothing": (
        untyped(Batch, 0),
        ConfigurationError,
        "Batch(size) must be a whole number of at least 1, not 0",
    ),
    "a batch within less than nothing": (
        untyped(Batch, 5, within=-1),
        ConfigurationError,
        "Batch(within=) must not be negative, but is -1 s",
    ),
    "a checker without brackets": (
        untyped(checker, function),
        ConfigurationError,
        "the name of a @checker must be a str, not function",
    ),
    "a checker without a name": (untyped(checker, ""), ConfigurationError, "the name of a @checker is empty"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_no_listener_can_be_is_refused_where_it_is_written(what: str) -> None:
    make, kind, said = REFUSED[what]
    with pytest.raises(kind) as caught:
        make()
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("marked", "said"),
    [
        (Order, "@listener(Queue('jobs')) marks a function or method, not <class 'tests.core.workshop.Order'>"),
        ("bill", "@listener(Queue('jobs')) marks a function or method, not 'bill'"),
        (
            generator,
            f"@listener(Queue('jobs')): {__name__}.generator() yields; a listener returns, so it would never run",
        ),
        (
            yielding,
            f"@listener(Queue('jobs')): {__name__}.yielding() yields; a listener returns, so it would never run",
        ),
    ],
)
def test_what_cannot_be_called_as_a_listener_is_not_marked(marked: Any, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        listener(jobs)(marked)
    assert str(caught.value) == said


# -- the list


class Silent:
    """A service in which nothing listens."""


class Billing:
    """A service with every kind of method."""

    def __init__(self) -> None:
        self.billed: list[str] = []

    @property
    def costly(self) -> int:
        raise AssertionError("a property is not run to see whether it listens")

    @listener(orders.queue("one"))
    async def one(self, order: Order) -> None:
        self.billed.append(f"one {order.id}")

    @listener(orders.queue("two"))
    @staticmethod
    async def two(order: Order) -> None:
        taken.append(f"two {order.id}")

    @staticmethod
    @listener(orders.queue("three"))
    def three(order: Order) -> None:
        taken.append(f"three {order.id}")

    @classmethod
    @listener(orders.queue("four"))
    async def four(cls, order: Order) -> None:
        taken.append(f"four {order.id} {cls.__name__}")


class Dunning(Billing):
    """A service that listens otherwise, and to less."""

    @listener(orders.queue("one"))
    async def one(self, order: Order) -> None:
        self.billed.append(f"dunned {order.id}")

    async def two(self, order: Order) -> None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride] -- a method that listens no more
        raise AssertionError(order)


taken: list[str] = []


@pytest.fixture(autouse=True)
def _nothing_taken() -> None:
    taken.clear()


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (function, "nothing listens in tests.core.test_listener.function; mark a function or method of it with"),
        (Silent(), "nothing listens in tests.core.test_listener.Silent object; mark a function or method of it with"),
        (sys, "nothing listens in module sys; mark a function or method of it with"),
        (functools.partial(function), "nothing listens in "),
        ([function], "nothing listens in builtins.list object; mark a function or method of it with"),
        (jobs, "nothing listens in msgkit.topology.routing.Queue object; mark a function or method of it with"),
        (Listeners(Silent()), "nothing listens in tests.core.test_listener.Silent object; mark a function"),
        (Billing, "tests.core.test_listener.Billing is a class; list an instance of it, Billing(...)"),
        (Silent, "tests.core.test_listener.Silent is a class; list an instance of it, Silent(...)"),
    ],
    ids=["function", "object", "module", "partial", "list", "queue", "group", "class", "silent class"],
)
def test_an_item_in_which_nothing_listens_is_refused_where_it_is_listed(item: object, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Application([item])
    assert str(caught.value).startswith(said)


def test_a_function_instead_of_a_list_of_them_is_refused() -> None:
    @listener(jobs)
    def bill(order: Order) -> None:
        """Bill nobody."""

    with pytest.raises(ConfigurationError) as caught:
        Application(bill)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] -- what is tried is wrong
    assert str(caught.value).startswith("listeners are given as a list, not as tests.core.test_listener.")
    assert str(caught.value).endswith(".bill alone; put it into brackets")


def test_an_empty_group_is_no_mistake() -> None:
    assert collect([Listeners()]) == ([], [])


async def test_an_object_listens_by_all_of_its_methods_that_are_marked() -> None:
    billing = Billing()
    async with probe(Application([billing])) as probed:
        await probed.template.send(orders, Order(1))
        await probed.idle()
    assert sorted(billing.billed + taken) == ["four 1 Billing", "one 1", "three 1", "two 1"]


async def test_a_subclass_listens_by_what_it_overrides_and_not_by_what_it_unmarks() -> None:
    dunning = Dunning()
    async with probe(Application([dunning])) as probed:
        await probed.template.send(orders, Order(1))
        await probed.idle()
    assert sorted(dunning.billed + taken) == ["dunned 1", "four 1 Dunning", "three 1"]


async def test_two_objects_of_one_class_listen_each_for_itself() -> None:
    with pytest.raises(MessagingError) as caught:
        async with probe(Application([Billing(), Billing()])):
            pass
    assert "both listen to 'one'" in str(caught.value)


async def test_one_method_alone_can_be_listed() -> None:
    billing = Billing()
    async with probe(Application([billing.one])) as probed:
        await probed.template.send(orders, Order(1))
        await probed.idle()
    assert billing.billed + taken == ["one 1"]


async def test_a_module_listens_by_what_it_defines_and_not_by_what_it_imports() -> None:
    app = Application([future_annotations])
    assert sorted(queue.name for queue in app.queues) == ["later-async", "later-sync"]


def test_what_another_module_defines_is_not_found_in_this_one() -> None:
    module = ModuleType("elsewhere")
    module.__dict__["bill"] = future_annotations.take
    with pytest.raises(ConfigurationError, match="nothing listens in module elsewhere"):
        Application([module])


async def test_a_function_may_listen_to_several_queues() -> None:
    @listener(orders.queue("a"))
    @listener(jobs)
    async def take(order: Order) -> None:
        taken.append(str(order.id))

    async with probe(Application([take])) as probed:
        await probed.template.send(orders, Order(1))
        await probed.template.send(jobs, Order(2))
        await probed.idle()
    assert sorted(taken) == ["1", "2"]


def test_the_function_stays_the_one_that_it_was() -> None:
    def bill(order: Order) -> None:
        """Bill nobody."""

    assert listener(jobs)(bill) is bill


def test_defaults_of_inner_groups_go_before_those_of_outer_ones() -> None:
    def take(order: Order) -> None:
        """Listen by one's defaults alone."""

    group = Listeners(Listeners(listener(jobs)(take), concurrency=2), concurrency=8, retry=Backoff(attempts=2))
    (bound,), _ = collect([group])
    assert dict(bound.defaults) == {"concurrency": 2, "retry": Backoff(attempts=2)}
