"""Headers: every type keeps its value and its precision, and no name means anything to a broker."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from msgkit.errors import InvalidMessage
from msgkit.testing.conformance.keeping import Kept
from msgkit.testing.conformance.lab import Lab
from msgkit.testing.conformance.raising import raises
from msgkit.testing.conformance.registry import check
from msgkit.values import MAX_HEADERS, Headers, HeaderValue

__all__: list[str] = []

#: What brokers, their client libraries and other frameworks keep for themselves.
TAKEN = (
    "x-death",
    "x-first-death-queue",
    "x-delivery-count",
    "x-delay",
    "x-match",
    "CC",
    "BCC",
    "__TypeId__",
    "content-type",
    "Content-Type",
    "content_encoding",
    "kafka_messageKey",
    "kafka_replyTopic",
    "TAGS",
    "KEYS",
    "DELAY",
    "WAIT",
    "UNIQ_KEY",
    "__SHARDINGKEY",
    "JMSCorrelationID",
    "Nats-Msg-Id",
    "traceparent",
    "message_id",
    "key",
    "expiration",
    "priority",
)


async def arrive(lab: Lab, headers: Headers) -> None:
    """Send headers through a queue and through an exchange, and compare what arrives, exactly."""
    exchange = lab.exchange()
    queue = lab.queue("jobs", exchange.where())
    kept = Kept(lab, queue, str)
    async with lab.application(kept.function):
        await lab.sender.send(queue, "directly", headers=headers)
        await lab.sender.send(exchange, "routed", headers=headers, subject="x")
        await kept.gets_just(2)
    for message in kept.messages:
        assert exact(message.headers) == exact(headers)


def exact(headers: Headers) -> Mapping[str, tuple[type, object]]:
    """Return headers so that they are equal only where types, values and signs are."""
    return {name: (type(value), _plain(value)) for name, value in headers.items()}


def _plain(value: HeaderValue) -> object:
    match value:
        case float():
            return value, math.copysign(1, value)
        case datetime():
            return value.astimezone(UTC) if value.tzinfo else "naive"
        case _:
            return value


def named(prefix: str, values: list[HeaderValue]) -> dict[str, HeaderValue]:
    return {f"{prefix}{number}": value for number, value in enumerate(values)}


@check(14)
async def whole_numbers_arrive_to_the_last_digit(lab: Lab) -> None:
    edges = [0, 1, 127, 128, 255, 2**15, 2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**63 - 1]
    await arrive(lab, named("n", [*edges, *(-edge for edge in edges[1:]), -(2**63)]))


@check(14)
async def real_numbers_arrive_to_the_last_bit_and_stay_real(lab: Lab) -> None:
    edges = [0.0, 1.0, 0.1, 1 / 3, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, 1e15]
    await arrive(lab, named("f", [*edges, *(-edge for edge in edges)]))


@check(14)
async def truth_stays_truth_and_is_no_number(lab: Lab) -> None:
    await arrive(lab, {"yes": True, "no": False, "one": 1, "zero": 0, "real one": 1.0})


@check(14)
async def octets_stay_octets(lab: Lab) -> None:
    values: list[HeaderValue] = [b"", b"text", b"\x00", bytes(range(256)), "żółć".encode(), b"1"]
    await arrive(lab, named("b", values))


@check(14)
async def moments_keep_their_microseconds(lab: Lab) -> None:
    east = timezone(timedelta(hours=5, minutes=45))
    await arrive(
        lab,
        named(
            "t",
            [
                datetime(2001, 2, 3, 4, 5, 6, 789012, tzinfo=UTC),
                datetime(2001, 2, 3, 4, 5, 6, 1, tzinfo=UTC),
                datetime(2001, 2, 3, tzinfo=UTC),
                datetime(2001, 2, 3, 4, 5, 6, 7, tzinfo=east),
                datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
                datetime(1700, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
                datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
            ],
        ),
    )


@check(14)
async def text_stays_text_whatever_it_looks_like(lab: Lab) -> None:
    values: list[HeaderValue] = [
        "",
        " ",
        " padded ",
        "1",
        "-1",
        "1.0",
        "true",
        "null",
        "2001-02-03T04:05:06Z",
        "zażółć",
        "订单 🜁",
        "a\r\nb\tc",
        "\x00",
        '{"json": 1}',
        "b'x'",
        "a:b;c=d,e",
        "x" * 4000,
    ]
    await arrive(lab, named("s", values))


@check(14)
async def names_of_any_script_arrive(lab: Lab) -> None:
    names = [
        "zażółć",
        "名前",
        "with space",
        "a.b",
        "a-b_c",
        "CamelCase",
        "camelcase",
        "0",
        "ß" * 50,
        "a/b",
        "$x",
        "a:b",
    ]
    await arrive(lab, {name: name for name in names})


@check(14)
async def names_that_others_use_mean_nothing(lab: Lab) -> None:
    await arrive(lab, {name: f"mine {number}" for number, name in enumerate(TAKEN)})


@check(14)
async def names_that_others_use_may_hold_any_type(lab: Lab) -> None:
    """A broker that reads such a header may choke on its type; the message must arrive all the same."""
    await arrive(lab, dict.fromkeys(TAKEN, 7))


@check(14)
async def many_headers_arrive(lab: Lab) -> None:
    await arrive(lab, {f"header-{number:03}": number for number in range(200)})


@check(14)
async def headers_of_the_largest_size_arrive(lab: Lab) -> None:
    size = min(MAX_HEADERS, lab.capabilities.max_headers)
    await arrive(lab, {"h": "x" * (size - 1)})
    await arrive(lab, {f"h{number:02}": "y" * (size // 16 - 3) for number in range(16)})


@check(14, 17)
async def headers_that_cannot_be_kept_are_refused_and_harm_nobody(lab: Lab) -> None:
    queue = lab.queue()
    kept = Kept(lab, queue, str)
    size = min(MAX_HEADERS, lab.capabilities.max_headers)
    bad: list[Any] = [
        {"none": None},
        {"naive": datetime(2001, 2, 3)},  # noqa: DTZ001 -- what must be refused
        {"too large": 2**63},
        {"too small": -(2**63) - 1},
        {"nan": math.nan},
        {"infinite": math.inf},
        {"list": [1]},
        {"": "nameless"},
        {1: "no text"},
        {"h": "x" * size},
        {"half a character": "\ud800"},
    ]
    async with lab.application(kept.function) as app:
        for headers in bad:
            with raises(InvalidMessage):
                await app.template.send(queue, "bad", headers=headers)
        await app.template.send(queue, "good")
        await kept.gets_just(1)
    assert kept.payloads == ["good"]
