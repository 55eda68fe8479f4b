"""Bytes are bytes: bodies arrive as they were sent, whatever they hold and however long they are."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Unpack

from msgkit.errors import InvalidMessage, MessagingError
from msgkit.message import Message, SendOptions
from msgkit.testing.conformance.handlers import accept, fails
from msgkit.testing.conformance.keeping import Kept
from msgkit.testing.conformance.lab import Lab
from msgkit.testing.conformance.raising import may_raise, raises
from msgkit.testing.conformance.registry import check
from msgkit.topology import Queue
from msgkit.values import MAX_BODY

__all__: list[str] = []


@dataclass(frozen=True)
class Order:
    """What an application might send."""

    id: str
    total: int
    tags: tuple[str, ...] = ()


async def arrives(lab: Lab, body: bytes, **options: Unpack[SendOptions]) -> Message[bytes]:
    """Send bytes, and return what arrives; the bytes are compared."""
    queue = Queue(lab.name("bytes"), bytes)
    kept = Kept(lab, queue, bytes)
    async with lab.application(kept.function):
        await lab.sender.send(queue, body, **options)
        (message,) = await kept.gets_just(1)
    assert type(message.payload) is bytes
    assert message.payload == body, f"{len(body)} bytes were sent, {len(message.payload)} came"
    return message


@check(14)
async def an_empty_body_arrives_empty(lab: Lab) -> None:
    await arrives(lab, b"")


@check(14)
async def every_byte_arrives_as_it_was(lab: Lab) -> None:
    await arrives(lab, bytes(range(256)) * 3 + b"\r\n\x00\xff\xfe")


@check(14)
async def bytes_that_claim_to_be_text_or_json_arrive_as_they_were(lab: Lab) -> None:
    for content_type in ("text/plain; charset=utf-8", "application/json", "image/png"):
        message = await arrives(lab, b"\xff\x00 no text, {no json", content_type=content_type)
        assert message.content_type == content_type


@check(14, limit=10)
async def a_body_of_the_largest_size_arrives(lab: Lab) -> None:
    largest = min(MAX_BODY, lab.capabilities.max_body)
    await arrives(lab, bytes(n * 7 % 251 for n in range(largest)))


@check(14, limit=10)
async def large_bodies_side_by_side_are_not_mixed(lab: Lab) -> None:
    queue = Queue(lab.name("large"), bytes)
    kept = Kept(lab, queue, bytes, concurrency=4)
    bodies = [bytes([n]) * (100_000 + n) for n in range(24)]
    async with lab.application(kept.function):
        await lab.sender.send_many(queue, bodies)
        await kept.gets_just(len(bodies))
    assert sorted(kept.payloads) == bodies


@check(14, 17)
async def a_body_above_the_limit_is_refused_and_harms_nobody(lab: Lab) -> None:
    queue = Queue(lab.name("bytes"), bytes)
    kept = Kept(lab, queue, bytes)
    largest = min(MAX_BODY, lab.capabilities.max_body)
    async with lab.application(kept.function) as app:
        with raises(InvalidMessage, queue.name):
            await app.template.send(queue, b"x" * (largest + 1))
        await app.template.send(queue, b"sentinel")
        await kept.gets_just(1)


@check(14)
async def text_of_every_script_arrives(lab: Lab) -> None:
    queue = lab.queue()
    handler = lab.handler(queue).does(accept)
    texts = ["", " ", "zażółć gęślą jaźń", "订单", "🜁\U0010ffff", "\x00\x01\x7f", "a\r\nb\tc\n", "e\u0301"]
    async with lab.application(handler):
        await lab.send_all(queue, texts)
        await lab.accepts(handler, len(texts))
    assert sorted(handler.payloads) == sorted(texts)


@check(14)
async def a_typed_payload_arrives_equal_and_under_its_name(lab: Lab) -> None:
    exchange = lab.exchange()
    orders = Queue(lab.name("orders"), Order)
    kept = Kept(lab, orders, Order)
    order = Order("ż", 2**53 + 1, ("a", ""))
    async with lab.application(kept.function):
        await lab.sender.send(orders, order)
        (message,) = await kept.gets_just(1)
    assert message.payload == order
    assert message.type == "Order"
    assert exchange.types == (str,)


# -- what is said about a message


@check(14)
async def what_is_said_about_a_message_arrives(lab: Lab) -> None:
    said: dict[str, Any] = {
        "key": "klucz 🗝",
        "subject": "placed.eu",
        "message_id": lab.name("id with spaces and ż"),
        "correlation_id": "correlation/1",
        "reply_to": "wherever:that-is",
        "content_type": "application/x-own; version=1",
    }
    before = lab.journal.now()
    message = await arrives(lab, b"body", ttl=60, **said)
    after = lab.journal.now()
    assert {**said, "message_id": message.id} == {
        "key": message.key,
        "subject": message.subject,
        "message_id": said["message_id"],
        "correlation_id": message.correlation_id,
        "reply_to": message.reply_to,
        "content_type": message.content_type,
    }
    assert message.id == said["message_id"]
    assert message.sent_at is not None
    assert message.expires_at is not None
    assert before - 0.01 <= message.sent_at.timestamp() <= after + 0.01
    assert before + 59 <= message.expires_at.timestamp() <= after + 61


@check(14)
async def nothing_is_said_that_nobody_said(lab: Lab) -> None:
    message = await arrives(lab, b"body")
    assert dict(message.headers) == {}
    assert (message.key, message.subject) == (None, None)
    assert (message.correlation_id, message.reply_to) == (None, None)
    assert message.expires_at is None
    assert message.attempt == 1


@check(14)
async def keys_may_be_any_text(lab: Lab) -> None:
    queue = lab.queue()
    handler = lab.handler(queue).does(accept)
    keys = ["", " ", "0", "klucz-ż", "鍵", "a/b?c=d&e#f", "\x00", "x" * 500, "🗝" * 50]
    async with lab.application(handler):
        for number, key in enumerate(keys):
            await lab.send(queue, f"{number}", key=key)
        await lab.accepts(handler, len(keys))
    assert sorted(str(seen.message.key) for seen in handler.seen) == sorted(keys)


@check(14, 17)
async def a_subject_too_long_for_the_broker_arrives_whole_or_is_refused(lab: Lab) -> None:
    queue = Queue(lab.name("bytes"), bytes)
    kept = Kept(lab, queue, bytes)
    arriving = {"short"}
    async with lab.application(kept.function) as app:
        for subject in ("ż" * 120, "s" * 256, "s" * 1024):
            with may_raise(MessagingError, "subject") as refused:
                await app.template.send(queue, b"long", subject=subject)
            if refused.found is None:
                arriving.add(subject)
        await app.template.send(queue, b"sentinel", subject="short")
        await kept.gets_just(len(arriving))
    assert {message.subject for message in kept.messages} == arriving


@check(6, 14)
async def what_is_said_about_a_message_survives_its_retries(lab: Lab) -> None:
    queue = lab.queue()
    handler = lab.handler(queue).does(fails(2))
    said: dict[str, Any] = {
        "key": "key",
        "subject": "a.b",
        "correlation_id": "c-1",
        "reply_to": "nowhere",
        "headers": {"n": -(2**63), "f": 0.5, "t": datetime(2001, 2, 3, 4, 5, 6, 7, tzinfo=UTC)},
    }
    async with lab.application(handler):
        await lab.send(queue, "tried", ttl=60, **said)
        await lab.accepts(handler, 1)
    messages = [seen.message for seen in handler.seen]
    assert [message.attempt for message in messages] == [1, 2, 3]
    for message in messages:
        assert (message.correlation_id, message.reply_to) == ("c-1", "nowhere")
        assert message.content_type == messages[0].content_type
        assert message.sent_at == messages[0].sent_at
        assert message.expires_at == messages[0].expires_at
