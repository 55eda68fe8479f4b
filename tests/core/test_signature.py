import functools
import re
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar, cast

import pytest
from dependency_injector import containers, providers
from dependency_injector.wiring import Provide, inject

from msgkit import (
    Application,
    Batch,
    Delivery,
    Header,
    Headers,
    Message,
    MessageTemplate,
    Queue,
    Sender,
    SyncTemplate,
    listener,
)
from msgkit.errors import ConfigurationError
from msgkit.message import SendOptions
from msgkit.testing import probe
from tests.core import future_annotations
from tests.core.workshop import Order, Place, refusal_at_start

T = TypeVar("T")
jobs = Queue("jobs", Order)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Ledger:
    """A service that somebody injects."""

    def __init__(self, name: str = "a ledger") -> None:
        self.name = name


class Box(Generic[T]):
    """What nothing can be read as."""


seen: list[object] = []


@pytest.fixture(autouse=True)
def _nothing_seen() -> None:
    seen.clear()
    future_annotations.seen.clear()


async def send_to(
    handler: Callable[..., object], queue: Queue[Any] = jobs, payload: object = None, **options: Any
) -> list[str]:
    """Have a handler get one message, and return why it went to the dead letters, if it did."""
    said: SendOptions = {"headers": {"x-trace": "t"}, **options}  # type: ignore[typeddict-item]  # pyright: ignore[reportAssignmentType] -- checked where it is sent
    async with probe(Application([handler])) as probed:
        await probed.template.send(queue, Order(7) if payload is None else payload, **said)
        await probed.idle()
        return [str(letter.headers.get("msgkit-dead-text")) for letter in probed.dead(queue)]


# -- what a parameter may be


async def plain(order: Order) -> None:
    seen.append(order)


async def by_position_only(order: Order, /) -> None:
    seen.append(order)


async def by_name_only(*, order: Order) -> None:
    seen.append(order)


async def nothing() -> None:
    seen.append(Order(7))


async def with_a_default(order: Order, ledger: str = "mine") -> None:
    seen.extend([order] if ledger == "mine" else [])


async def with_the_rest(order: Order, *rest: object, **more: object) -> None:
    seen.extend([order] if (rest, more) == ((), {}) else [])


async def with_the_rest_between(*rest: object, order: Order) -> None:
    seen.extend([order] if rest == () else [])


async def a_message(message: Message[Order]) -> None:
    seen.append(message.payload)


async def a_bare_message(message: Message) -> None:  # type: ignore[type-arg]  # pyright: ignore[reportMissingTypeArgument, reportUnknownParameterType] -- a user's
    seen.append(cast("Any", message).payload)


async def a_delivery(delivery: Delivery[Order]) -> None:
    seen.append(delivery.payload)


async def a_bare_delivery(delivery: Delivery) -> None:  # type: ignore[type-arg]  # pyright: ignore[reportMissingTypeArgument, reportUnknownParameterType] -- a user's
    seen.append(cast("Any", delivery).payload)


async def annotated(order: Annotated[Order, "as the shop knows it"]) -> None:
    seen.append(order)


async def an_annotated_message(message: Annotated[Message[Order], "as the shop knows it"]) -> None:
    seen.append(message.payload)


async def as_text(order: "Order") -> None:
    seen.append(order)


async def optional(order: Order | None) -> None:
    seen.append(order)


async def anything(order: Any) -> None:
    seen.append(Order(**order))


async def bytes_as_they_are(order: bytes) -> None:
    seen.append(Order(7) if order == b'{"id":7}' else order)


async def headers_first(headers: Headers, order: Order) -> None:
    seen.extend([order] if headers == {"x-trace": "t"} else [])


async def a_header_first(trace: Annotated[str, Header("x-trace")], order: Order) -> None:
    seen.extend([order] if trace == "t" else [])


async def a_header_by_its_parameter(order: Order, x_trace: Annotated[str, Header()]) -> None:
    seen.extend([order] if x_trace == "t" else [])


async def a_header_without_brackets(order: Order, x_trace: Annotated[str, Header]) -> None:
    seen.extend([order] if x_trace == "t" else [])


async def a_header_by_name_only(order: Order, *, trace: Annotated[str, Header("x-trace")]) -> None:
    seen.extend([order] if trace == "t" else [])


async def a_default_for_a_header(order: Order, other: Annotated[str, Header("x-other")] = "-") -> None:
    seen.extend([order] if other == "-" else [])


async def a_header_that_may_be_missing(order: Order, other: Annotated[str | None, Header()] = None) -> None:
    seen.extend([order] if other is None else [])


async def senders(
    sender: Sender, template: MessageTemplate, blocking: SyncTemplate, order: Order, /, *, again: Sender
) -> None:
    is_one = sender is template is again
    seen.extend([order] if is_one and type(blocking) is SyncTemplate else [])


async def returning_what_is_not_there(order: Order) -> "Order":
    seen.append(order)
    return order


def in_a_thread(order: Order, trace: Annotated[str, Header("x-trace")], *, sync: SyncTemplate) -> None:
    seen.extend([order] if trace == "t" and type(sync) is SyncTemplate else [])


class Service:
    @classmethod
    async def of_the_class(cls, order: Order) -> None:
        seen.append(order)

    @staticmethod
    async def static(order: Order) -> None:
        seen.append(order)

    @staticmethod
    def static_in_a_thread(order: Order) -> None:
        seen.append(order)

    async def bound(self, order: Order) -> None:
        seen.append(order)

    def bound_in_a_thread(self, order: Order) -> None:
        seen.append(order)


class Called:
    """An object that is called, with an attribute that is annotated too."""

    order: str = "not this one"

    async def __call__(self, order: Order) -> None:
        seen.append(order)


class CalledInAThread:
    def __call__(self, order: Order) -> None:
        seen.append(order)


async def needs_more(ledger: Ledger, order: Order, *, trace: Annotated[str, Header("x-trace")]) -> None:
    seen.extend([order] if ledger.name == "given" and trace == "t" else [])


def needs_more_in_a_thread(ledger: Ledger, order: Order) -> None:
    seen.extend([order] if ledger.name == "given" else [])


def logged(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a coroutine function as any decorator does."""

    @functools.wraps(function)
    async def wrapper(*arguments: Any, **named: Any) -> Any:
        return await function(*arguments, **named)

    return wrapper


def logged_by_a_plain_function(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a coroutine function by a function that is none."""

    @functools.wraps(function)
    def wrapper(*arguments: Any, **named: Any) -> Any:
        return function(*arguments, **named)

    return wrapper


FUNCTIONS: list[Callable[..., object]] = [
    plain,
    by_position_only,
    by_name_only,
    nothing,
    with_a_default,
    with_the_rest,
    with_the_rest_between,
    a_message,
    a_bare_message,
    a_delivery,
    a_bare_delivery,
    annotated,
    an_annotated_message,
    as_text,
    optional,
    anything,
    bytes_as_they_are,
    headers_first,
    a_header_first,
    a_header_by_its_parameter,
    a_header_without_brackets,
    a_header_by_name_only,
    a_default_for_a_header,
    a_header_that_may_be_missing,
    senders,
    returning_what_is_not_there,
    in_a_thread,
]
HANDLERS: dict[str, Callable[..., object]] = {
    **{function.__name__: function for function in FUNCTIONS},
    "a class method": Service.of_the_class,
    "a static method": Service.static,
    "a static method in a thread": Service.static_in_a_thread,
    "a bound method": Service().bound,
    "a bound method in a thread": Service().bound_in_a_thread,
    "an object": Called(),
    "an object in a thread": CalledInAThread(),
    "a partial": functools.partial(needs_more, Ledger("given")),
    "a partial by name": functools.partial(needs_more, ledger=Ledger("given")),
    "a partial in a thread": functools.partial(needs_more_in_a_thread, Ledger("given")),
    "a partial of a partial": functools.partial(functools.partial(needs_more), Ledger("given")),
    "a partial of a bound method": functools.partial(Service().bound),
    "a partial of an object": functools.partial(Called()),
    "a wrapped function": logged(headers_first),
    "a function wrapped by one that awaits nothing": logged_by_a_plain_function(headers_first),
    "a wrapped method": logged(Service().bound),
}


@pytest.mark.parametrize("form", HANDLERS)
async def test_a_handler_may_be_of_any_form(form: str) -> None:
    handler = HANDLERS[form]
    assert await send_to(listener(jobs)(handler)) == []
    assert seen == [Order(7)]


async def test_listeners_of_a_module_whose_annotations_are_text_are_read_as_any_others() -> None:
    async with probe(Application([future_annotations])) as probed:
        await probed.template.send(Queue("later-async", Order), Order(7), headers={"x-trace": "t"})
        await probed.template.send(Queue("later-sync", Order), Order(8), headers={"count": 5})
        await probed.idle()
    assert sorted(future_annotations.seen, key=str) == [(Order(7), "t"), (Order(8), 5)]


# -- headers


async def whole(value: Annotated[int, Header("x")]) -> None:
    seen.append(value)


async def moment(value: Annotated[datetime, Header("x")]) -> None:
    seen.append(value)


async def text(value: Annotated[str, Header("x")]) -> None:
    seen.append(value)


async def either(value: Annotated[int | str, Header("x")]) -> None:
    seen.append(value)


async def whatever(value: Annotated[Any, Header("x")]) -> None:
    seen.append(value)


@pytest.mark.parametrize(
    ("handler", "sent", "got"),
    [
        (whole, 5, 5),
        (whole, "5", 5),
        (moment, NOON, NOON),
        (moment, "2026-01-01T12:00:00Z", NOON),
        (either, "5", "5"),
        (either, 5, 5),
        (whatever, b"x", b"x"),
        (text, "", ""),
    ],
    ids=lambda each: getattr(each, "__name__", repr(each)),
)
async def test_a_header_is_had_as_its_annotation_says(handler: Callable[..., object], sent: Any, got: object) -> None:
    assert await send_to(listener(jobs)(functools.partial(handler)), headers={"x": sent}) == []
    assert seen == [got]
    assert type(seen[0]) is type(got)


@pytest.mark.parametrize(
    ("handler", "headers", "said"),
    [
        (whole, {}, r"message \w{32} has no header 'x'"),
        (whole, {"x": "five"}, r"header 'x' is no <class 'int'>: Input should be a valid integer.*"),
        (moment, {"x": "noon"}, r"header 'x' is no <class 'datetime.datetime'>: .*"),
        (text, {"x": 5}, r"header 'x' is no <class 'str'>: Input should be a valid string"),
    ],
)
async def test_a_header_that_is_missing_or_is_something_else_is_poison(
    handler: Callable[..., object], headers: dict[str, Any], said: str
) -> None:
    (reason,) = await send_to(listener(jobs)(functools.partial(handler)), headers=headers)
    assert re.fullmatch(said, reason)
    assert seen == []


# -- what is injected


class Container(containers.DeclarativeContainer):
    ledger = providers.Singleton(Ledger, name="injected")


@listener(jobs)
@inject
async def listens_outside(order: Order, ledger: Ledger = Provide[Container.ledger]) -> None:
    seen.append((order, ledger.name))


@inject
@listener(jobs)
async def listens_inside(order: Order, ledger: Ledger = Provide[Container.ledger]) -> None:
    seen.append((order, ledger.name))


@listener(jobs)
@inject
def listens_outside_in_a_thread(order: Order, ledger: Ledger = Provide[Container.ledger]) -> None:
    seen.append((order, ledger.name))


@inject
@listener(jobs)
def listens_inside_in_a_thread(order: Order, ledger: Ledger = Provide[Container.ledger]) -> None:
    seen.append((order, ledger.name))


@listener(jobs)
@inject
async def listens_outside_annotated(ledger: Annotated[Ledger, Provide[Container.ledger]], order: Order) -> None:
    seen.append((order, ledger.name))


@inject
@listener(jobs)
async def listens_inside_annotated(
    order: Order, *, ledger: Annotated[Ledger, Provide[Container.ledger]], trace: Annotated[str, Header("x-trace")]
) -> None:
    seen.append((order, ledger.name if trace == "t" else trace))


@pytest.fixture
def _injecting() -> Iterator[None]:
    container = Container()
    container.wire(modules=[sys.modules[__name__]])
    yield
    container.unwire()


@pytest.mark.usefixtures("_injecting")
@pytest.mark.parametrize(
    "name",
    [
        "listens_outside",
        "listens_inside",
        "listens_outside_in_a_thread",
        "listens_inside_in_a_thread",
        "listens_outside_annotated",
        "listens_inside_annotated",
    ],
)
async def test_dependency_injector_injects_in_either_order_of_the_decorators(name: str) -> None:
    assert await send_to(getattr(sys.modules[__name__], name)) == []
    assert seen == [(Order(7), "injected")]


# -- what cannot be served


async def without_annotation(order) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001 -- a user's  # pyright: ignore[reportMissingParameterType, reportUnknownParameterType] -- as above
    """Take what nothing says."""


async def of_an_unknown_name(order: "Ordre") -> None:  # type: ignore[name-defined]  # noqa: F821 -- a user's  # pyright: ignore[reportUndefinedVariable, reportUnknownParameterType] -- as above
    """Take what there is not."""


async def two_payloads(order: Order, other: Order) -> None:
    """Take two."""


async def a_service_that_nobody_injects(order: Order, ledger: Ledger) -> None:
    """Take what is no payload as one."""


async def what_nothing_reads(order: Ledger) -> None:
    """Take what there is no schema of."""


async def a_message_of_what_nothing_reads(message: Message[Ledger]) -> None:
    """As before."""


async def a_number(order: 5) -> None:  # type: ignore[valid-type]  # pyright: ignore[reportGeneralTypeIssues, reportUnknownParameterType] -- a user's
    """Take what is no type."""


async def a_list(orders: Order) -> None:
    """Take no list."""


async def all_headers(orders: list[Order], headers: Headers) -> None:
    """Take the headers of several."""


async def one_header(orders: list[Order], trace: Annotated[str, Header()]) -> None:
    """Take a header of several."""


async def deliveries(orders: list[Delivery[Order]]) -> None:
    """Settle several by hand."""


SECOND = "is a second payload; other parameters need a default or a marker such as Header()"
NOT_SERVED: dict[str, tuple[Callable[..., object], Batch | None, str]] = {
    "no annotation": (
        without_annotation,
        None,
        "without_annotation(): parameter 'order' has no annotation; say what it takes, such as the payload's type",
    ),
    "a name that there is not": (
        of_an_unknown_name,
        None,
        "the annotations of {module}of_an_unknown_name() cannot be read: name 'Ordre' is not defined",
    ),
    "two payloads": (
        two_payloads,
        None,
        f"two_payloads(): parameter 'other' {SECOND}",
    ),
    "a service": (
        a_service_that_nobody_injects,
        None,
        f"a_service_that_nobody_injects(): parameter 'ledger' {SECOND}",
    ),
    "a class without a schema": (
        what_nothing_reads,
        None,
        "what_nothing_reads(): parameter 'order': no message can be read as Ledger: ",
    ),
    "a message of it": (
        a_message_of_what_nothing_reads,
        None,
        "a_message_of_what_nothing_reads(): parameter 'message': no message can be read as Ledger: ",
    ),
    "a number": (a_number, None, "a_number(): parameter 'order': no message can be read as 5: "),
    "a batch that is no list": (
        a_list,
        Batch(5),
        "a_list(): parameter 'orders' must be a list[...] to take a batch",
    ),
    "the headers of a batch": (
        all_headers,
        Batch(5),
        "all_headers(): parameter 'headers' asks for the headers of a batch; take list[Message[...]] instead",
    ),
    "a header of a batch": (
        one_header,
        Batch(5),
        "one_header(): parameter 'trace' asks for one header of a batch; take list[Message[...]] instead",
    ),
    "a batch to be settled by hand": (
        deliveries,
        Batch(5),
        "deliveries(): parameter 'orders' cannot be settled by hand: a batch returns a settlement for each message",
    ),
}


@pytest.mark.parametrize("what", NOT_SERVED)
async def test_a_parameter_that_cannot_be_served_is_named_with_its_function(what: str, place: Place) -> None:
    handler, batch, said = NOT_SERVED[what]
    message = await refusal_at_start(ConfigurationError, place, [listener(jobs, batch=batch)(handler)])
    module = f"{__name__}."
    assert message.startswith(said.replace("{module}", module) if "{module}" in said else module + said)
