from datetime import UTC, datetime
from typing import Any, cast

import pytest

from msgkit import Application, Backoff, Delivery, Exchange, Headers, Message, Retry, listener
from msgkit.envelope import Envelope, Kind
from msgkit.errors import ConfigurationError
from msgkit.message import SendOptions
from msgkit.testing import probe
from tests.core.workshop import Order

orders = Exchange("orders", Order)


def test_a_message_has_what_it_was_made_with() -> None:
    message = Message(Order(1), headers={"x": 1}, key="k", subject="s", message_id="m", correlation_id="c")
    assert (message.payload, message.headers, message.key, message.subject) == (Order(1), {"x": 1}, "k", "s")
    assert (message.id, message.correlation_id, message.attempt) == ("m", "c", 1)
    assert (message.sent_at, message.expires_at, message.type) == (None, None, None)


def test_a_message_has_an_id_before_it_is_sent_and_keeps_it() -> None:
    message = Message(Order(1))
    assert message.id == message.id
    assert message.id != Message(Order(1)).id


@pytest.mark.parametrize("name", ["payload", "headers", "key", "subject", "id", "attempt", "options", "other"])
def test_nothing_of_a_message_can_be_set(name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(Message(Order(1), key="k"), name, "new")


def test_headers_cannot_be_changed_nor_can_who_gave_them_change_them() -> None:
    given: dict[str, Any] = {"x": 1}
    message = Message(Order(1), headers=given)
    given["x"] = 2
    assert message.headers == {"x": 1}
    assert message.options.get("headers") == {"x": 1}
    with pytest.raises(TypeError):
        cast("dict[str, int]", message.headers)["x"] = 3


def test_options_are_told_as_a_copy() -> None:
    message = Message(Order(1), key="k")
    message.options["key"] = "other"
    assert message.options == SendOptions(key="k")


def test_an_option_that_there_is_not_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Message(Order(1), ky="k")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue] -- what is tried is wrong
    assert str(caught.value) == (
        "Message() has no option 'ky'; there are content_type, correlation_id, delay, deliver_at, headers, key, "
        "message_id, priority, reply_to, require_route, subject, timeout, ttl"
    )


def test_what_a_message_says_of_itself_holds_neither_payload_nor_headers() -> None:
    message = Message("a secret", headers={"x": "a secret"}, key="k", message_id="m")
    assert repr(message) == "<Message m of str>"


async def test_a_listener_cannot_change_what_others_get_or_what_it_gets_again() -> None:
    changed: list[type[Exception]] = []
    seen: list[dict[str, Any]] = []

    def change(headers: Headers) -> None:
        try:
            cast("dict[str, Any]", headers)["x"] = "changed"
        except TypeError as error:
            changed.append(type(error))

    @listener(orders.queue("by-message"), retry=Backoff(attempts=2, first=1))
    async def by_message(message: Message[Order], headers: Headers) -> Retry | None:
        seen.append(dict(message.headers))
        change(message.headers)
        change(headers)
        return Retry() if message.attempt == 1 else None

    @listener(orders.queue("by-delivery"))
    async def by_delivery(delivery: Delivery[Order]) -> None:
        seen.append(dict(delivery.headers))
        change(delivery.headers)

    async with probe(Application([by_message, by_delivery])) as probed:
        await probed.template.send(orders, Order(1), headers={"x": "sent"})
        await probed.idle()
        await probed.advance(2)
    assert seen == [{"x": "sent"}] * 3
    assert changed == [TypeError] * 5


def test_what_was_received_does_not_change_whatever_a_binding_made_its_headers_of() -> None:
    headers: dict[str, Any] = {"x": 1}
    message = Message[Order].received(Order(1), Envelope(b"", "jobs", Kind.QUEUE, "m", headers))
    with pytest.raises(TypeError):
        cast("dict[str, int]", message.headers)["x"] = 2
    assert (message.headers, message.options) == ({"x": 1}, {})


async def test_a_message_that_was_received_says_when_it_was_sent_and_until_when_it_counts() -> None:
    times: list[tuple[datetime | None, datetime | None]] = []

    @listener(orders.queue("q"))
    async def take(message: Message[Order]) -> None:
        times.append((message.sent_at, message.expires_at))

    async with probe(Application([take])) as probed:
        now = probed.template.clock.now()
        await probed.template.send(orders, Order(1), ttl=60)
        await probed.idle()
    assert times == [(datetime.fromtimestamp(now, UTC), datetime.fromtimestamp(now + 60, UTC))]
