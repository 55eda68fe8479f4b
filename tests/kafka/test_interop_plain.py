"""Programs on aiokafka and msgkit, each reading what the other sent."""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any

import pytest

from msgkit import Application, Backoff, Exchange, Message, MessageTemplate, Queue, Reject, Settings, listener
from msgkit.errors import RemoteError, TopologyMismatch
from msgkit.testing.brokers import Kafka
from msgkit_kafka import KafkaQueue, KafkaTopic
from tests.interop.inbox import Inbox
from tests.interop.shop import ORDER, ORDER_JSON, OrderPlaced, Quote, QuoteRequest
from tests.interop.taking import taking
from tests.kafka.plain import Plain

pytestmark = [
    pytest.mark.broker,
    pytest.mark.xdist_group("kafka-interop"),
    # That of the broker's other clients, which live longer than one test.
    pytest.mark.asyncio(loop_scope="session"),
]

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
BINARY = b"\x00\xff\xfe\x80"
ODD_HEADERS: list[tuple[str, bytes | None]] = [
    ("binary", BINARY),
    ("empty", b""),
    ("nothing", None),
    ("größe", "zwölf".encode()),
    ("twice", b"first"),
    ("twice", b"\xffsecond"),
]
SEEN = {"binary": BINARY, "empty": b"", "größe": "zwölf".encode(), "twice": b"\xffsecond"}
_murmur2: Any = import_module("aiokafka.partitioner").murmur2


def theirs(name: str) -> Queue[OrderPlaced]:
    """A queue whose topic somebody else has made."""
    return Queue(name, OrderPlaced, options=[KafkaTopic(declare=False)])


def those_of(headers: Iterable[tuple[str, bytes | None]], others: Iterable[tuple[str, bytes | None]]) -> list[object]:
    """Return the headers that are called as those, in their order."""
    names = {name for name, _ in others}
    return [each for each in headers if each[0] in names]


# -- theirs, handled here


async def test_json_of_a_program_that_has_never_heard_of_msgkit_is_handled(
    settings: Settings, plain: Plain, name: str
) -> None:
    jobs = Queue(name, OrderPlaced)
    work, got = taking(jobs)

    async with Application([work], settings=settings):
        sent = await plain.send(name, ORDER_JSON, timestamp=int(MOMENT.timestamp() * 1000))
        message = await got.next()
    assert message.payload == ORDER
    assert message.id == f"{name}/{sent.partition}/{sent.offset}"
    assert message.sent_at == MOMENT
    assert message.attempt == 1
    assert dict(message.headers) == {}
    assert (message.key, message.type, message.content_type) == (None, None, None)
    assert (message.correlation_id, message.reply_to) == (None, None)


async def test_text_and_bytes_of_others_are_what_the_queue_carries(settings: Settings, plain: Plain, name: str) -> None:
    texts, files = Queue(f"{name}.texts", str), Queue(f"{name}.files", bytes)
    lines, blobs = Inbox[str](), Inbox[bytes]()

    @listener(texts)
    async def read(line: str) -> None:
        lines.put(line)

    @listener(files)
    async def keep(blob: bytes) -> None:
        blobs.put(blob)

    async with Application([read, keep], settings=settings):
        await plain.send(texts.name, "Grüße".encode(), headers=[("content-type", b"text/plain")])
        await plain.send(files.name, BINARY)
        assert await lines.next() == "Grüße"
        assert await blobs.next() == BINARY


async def test_keys_of_others_are_read_and_stay_what_they_are_in_copies(
    settings: Settings, plain: Plain, name: str
) -> None:
    jobs = Queue(name, OrderPlaced)
    got = Inbox[Message[OrderPlaced]]()

    @listener(jobs, retry=Backoff(2, first=0.01))
    async def work(message: Message[OrderPlaced]) -> None:
        got.put(message)
        raise RuntimeError("no stock")

    keys = [b"customer-7", "größe".encode(), b"\xff\x00", b""]
    async with Application([work], settings=settings):
        for key in keys:
            await plain.send(name, ORDER_JSON, key=key)
        tries = [await got.next() for _ in range(2 * len(keys))]
        dead = await plain.read(f"{name}.dlq", len(keys))
    assert {each.key for each in tries} == {"customer-7", "größe", "\\xff\x00", ""}
    assert {each.key for each in dead} == set(keys)


async def test_headers_of_others_come_as_bytes_and_go_on_byte_by_byte(
    settings: Settings, plain: Plain, name: str
) -> None:
    jobs = Queue(name, OrderPlaced)
    got = Inbox[Message[OrderPlaced]]()

    @listener(jobs, retry=Backoff(3, first=0.01, factor=1))
    async def work(message: Message[OrderPlaced]) -> None:
        got.put(message)
        raise RuntimeError("no stock")

    async with Application([work], settings=settings):
        await plain.send(name, ORDER_JSON, headers=ODD_HEADERS)
        tries = [await got.next() for _ in range(3)]
        (dead,) = await plain.read(f"{name}.dlq")
    assert [each.attempt for each in tries] == [1, 2, 3]
    assert len({each.id for each in tries}) == 1
    for each in tries:
        assert dict(each.headers) == SEEN
    assert those_of(dead.headers, ODD_HEADERS) == ODD_HEADERS


async def test_a_tombstone_of_others_is_told_from_what_is_empty(settings: Settings, plain: Plain, name: str) -> None:
    files = Queue(name, bytes)
    got = Inbox[Message[bytes]]()

    @listener(files, retry=Backoff(2, first=0.01))
    async def work(message: Message[bytes]) -> None:
        got.put(message)
        raise RuntimeError("no room")

    async with Application([work], settings=settings):
        await plain.send(name, None, key=b"gone")
        gone = [await got.next(), await got.next()]
        await plain.send(name, b"", key=b"empty")
        empty = [await got.next(), await got.next()]
        dead = await plain.read(f"{name}.dlq", 2)
    assert [(each.payload, each.headers.get("msgkit-tombstone")) for each in gone] == [(b"", True)] * 2
    assert [(each.payload, each.headers.get("msgkit-tombstone")) for each in empty] == [(b"", None)] * 2
    assert {each.key: each.value for each in dead} == {b"gone": None, b"empty": b""}


@pytest.mark.parametrize("compression", ["gzip", "snappy", "lz4", "zstd"])
async def test_what_others_have_packed_is_unpacked(
    settings: Settings, plain: Plain, name: str, compression: str
) -> None:
    await plain.create_topic(name, 1)
    files = Queue(name, bytes, options=[KafkaTopic(declare=False)])
    got = Inbox[bytes]()

    @listener(files)
    async def work(blob: bytes) -> None:
        got.put(blob)

    body = b"a word that comes again, " * 400
    async with Application([work], settings=settings):
        await plain.send(name, body, compression=compression, times=20)
        assert [await got.next() for _ in range(20)] == [body] * 20


@pytest.mark.parametrize("compression", ["gzip", "snappy", "lz4", "zstd"])
async def test_what_msgkit_has_packed_is_unpacked_by_others(
    interop: Kafka, plain: Plain, name: str, compression: str
) -> None:
    files = Queue(name, bytes)
    body = b"a word that comes again, " * 400
    async with MessageTemplate(Settings(url=f"{interop.url}?compression={compression}")) as template:
        await template.declare(files)
        await template.send(files, body)
    (got,) = await plain.read(name)
    assert got.value == body


async def test_what_cannot_be_read_is_a_dead_letter_with_its_bytes_and_headers(
    settings: Settings, plain: Plain, name: str
) -> None:
    jobs = Queue(name, OrderPlaced)
    got = Inbox[OrderPlaced]()

    @listener(jobs)
    async def work(order: OrderPlaced) -> None:
        got.put(order)

    async with Application([work], settings=settings):
        sent = await plain.send(name, b"\xff no JSON", key=b"\xff", headers=ODD_HEADERS)
        await plain.send(name, ORDER_JSON)
        assert await got.next() == ORDER
        (dead,) = await plain.read(jobs.dead_letters.name)
    assert (dead.key, dead.value) == (b"\xff", b"\xff no JSON")
    assert those_of(dead.headers, ODD_HEADERS) == ODD_HEADERS
    assert dead.said("msgkit-id") == f"{name}/{sent.partition}/{sent.offset}"
    assert dead.said("msgkit-dead-reason") == "poison"
    assert dead.said("msgkit-dead-queue") == name


async def test_headers_that_only_look_like_those_of_msgkit_stop_nobody(
    settings: Settings, plain: Plain, name: str
) -> None:
    jobs = Queue(name, OrderPlaced)
    work, got = taking(jobs)

    odd = {
        "msgkit-id": b"\xff",
        "msgkit-attempt": b"two",
        "msgkit-due": b"nowhere",
        "msgkit-expires": b"soon",
        "msgkit-sent": b"noon",
        "msgkit-kinds": b"int=;;=,\xff",
        "msgkit-origin": b"moon:landing",
        "msgkit-priority": b"-1",
        "msgkit-wait": b"\x00",
        "msgkit-subject": b"\xff",
    }
    async with Application([work], settings=settings):
        for header, value in odd.items():
            await plain.send(name, ORDER_JSON, headers=[(header, value), ("odd", header.encode())])
        await plain.send(name, ORDER_JSON, headers=[*odd.items(), ("odd", b"all")])
        seen = {(await got.next()).headers["odd"] for _ in range(len(odd) + 1)}
    assert seen == {*(header.encode() for header in odd), b"all"}


async def test_others_may_name_a_subject_a_type_and_an_id(settings: Settings, plain: Plain, name: str) -> None:
    orders = Exchange(name, OrderPlaced)
    europe = orders.queue(f"{name}.europe", "placed.eu.#")
    work, got = taking(europe)

    async with Application([work], settings=settings):
        await plain.send(name, ORDER_JSON, headers=[("msgkit-subject", b"placed.us")])
        said = {"subject": b"placed.eu.fr", "id": b"m-1", "correlation": b"c-1", "type": b"OrderPlaced"}
        await plain.send(name, ORDER_JSON, headers=[(f"msgkit-{what}", value) for what, value in said.items()])
        message = await got.next()
    assert (message.subject, message.id) == ("placed.eu.fr", "m-1")
    assert (message.correlation_id, message.type) == ("c-1", "OrderPlaced")


# -- ours, read by others


async def test_what_msgkit_sends_is_plain_json_with_headers_of_text(
    settings: Settings, plain: Plain, name: str
) -> None:
    jobs = Queue(name, OrderPlaced)
    before = datetime.now(UTC) - timedelta(seconds=1)
    async with MessageTemplate(settings) as template:
        await template.declare(jobs)
        receipt = await template.send(
            jobs,
            ORDER,
            key="größe",
            correlation_id="c-1",
            headers={"x-trace": "7", "n": 1, "yes": True, "at": MOMENT, "bytes": BINARY},
        )
    (got,) = await plain.read(name)
    assert (got.key, got.value) == ("größe".encode(), ORDER_JSON)
    assert before.timestamp() * 1000 <= got.timestamp <= datetime.now(UTC).timestamp() * 1000
    assert got.said("content-type") == "application/json"
    assert got.said("msgkit-id") == receipt.message_id
    assert got.said("msgkit-correlation") == "c-1"
    assert got.said("msgkit-type") == "OrderPlaced"
    assert float(got.said("msgkit-sent")) >= before.timestamp()
    assert {header: got.said(header) for header in ("x-trace", "n", "yes", "at")} == {
        "x-trace": "7",
        "n": "1",
        "yes": "true",
        "at": MOMENT.isoformat(),
    }
    assert dict(got.headers)["bytes"] == BINARY
    assert {header for header, _ in got.headers} <= {
        *("x-trace", "n", "yes", "at", "bytes", "content-type"),
        *("msgkit-id", "msgkit-correlation", "msgkit-type", "msgkit-sent", "msgkit-kinds"),
    }


async def test_a_key_of_msgkit_goes_to_the_partition_that_other_clients_choose(
    settings: Settings, plain: Plain, name: str
) -> None:
    await plain.create_topic(name, 7)
    jobs = theirs(name)
    keys = [f"größe-{number}" for number in range(50)]
    async with MessageTemplate(settings) as template:
        await template.declare(jobs)
        for key in keys:
            await template.send(jobs, ORDER, key=key)
    got = await plain.read(name, len(keys))
    assert {each.key: each.partition for each in got} == {
        key.encode(): (_murmur2(key.encode()) & 0x7FFFFFFF) % 7 for key in keys
    }


async def test_a_dead_letter_of_msgkit_says_why_to_others(settings: Settings, plain: Plain, name: str) -> None:
    jobs = Queue(name, OrderPlaced)

    @listener(jobs, retry=Backoff(2, first=0.01))
    async def work(order: OrderPlaced) -> None:
        raise RuntimeError(f"no stock for {order.id}")

    async with Application([work], settings=settings):
        await plain.send(name, ORDER_JSON, headers=[("x-trace", b"7"), ("msgkit-id", b"m-1")])
        (dead,) = await plain.read(f"{name}.dlq")
    assert dead.value == ORDER_JSON
    assert dead.said("x-trace") == "7"
    assert {what: dead.said(f"msgkit-{what}") for what in ("id", "dead-attempts", "dead-error", "dead-text")} == {
        "id": "m-1",
        "dead-attempts": "2",
        "dead-error": "RuntimeError",
        "dead-text": "no stock for 1",
    }


# -- requests and answers


async def test_others_ask_and_msgkit_answers_into_the_topic_that_they_name(
    settings: Settings, plain: Plain, name: str
) -> None:
    quotes = Queue(name, QuoteRequest)
    await plain.create_topic(f"{name}.answers", 1)

    @listener(quotes)
    async def quote(request: QuoteRequest) -> Quote:
        if request.article == "piano":
            raise Reject("there is no piano")
        return Quote(price=20 * request.pieces)

    async with Application([quote], settings=settings):
        for number, article in enumerate(("lamp", "piano")):
            headers = [
                ("msgkit-reply-to", f"{name}.answers".encode()),
                ("msgkit-correlation", b"c-%d" % number),
            ]
            await plain.send(name, b'{"article":"%s","pieces":2}' % article.encode(), headers=headers)
        answers = {each.said("msgkit-correlation"): each for each in await plain.read(f"{name}.answers", 2)}
    assert answers["c-0"].value == b'{"price":40}'
    assert answers["c-0"].said("content-type") == "application/json"
    assert answers["c-1"].said("msgkit-error-reason") == "there is no piano"


async def test_msgkit_asks_and_others_answer(settings: Settings, plain: Plain, name: str) -> None:
    quotes = Queue(name, QuoteRequest)

    async def answer(body: bytes, *more: tuple[str, bytes], number: int) -> None:
        request = (await plain.read(name, number))[-1]
        address = request.said("msgkit-reply-to")
        topic, partition, _ = address.split("/", 2)
        known_by = ("msgkit-correlation", request.said("msgkit-correlation").encode())
        headers = [("msgkit-origin", f"reply:{address}".encode()), known_by, *more]
        await plain.send(topic, body, partition=int(partition), headers=headers)

    async with MessageTemplate(settings) as template:
        await template.declare(quotes)
        lamps = QuoteRequest(article="lamp", pieces=2)
        async with asyncio.TaskGroup() as group:
            group.create_task(answer(b'{"price":40}', number=1))
            assert await template.request(quotes, lamps, Quote, key="lamp", timeout=20) == Quote(price=40)
        async with asyncio.TaskGroup() as group:
            said = [("msgkit-error", b"Reject"), ("msgkit-error-reason", b"sold")]
            group.create_task(answer(b"", *said, number=2))
            with pytest.raises(RemoteError, match="sold"):
                await template.request(quotes, lamps, Quote, key="lamp", timeout=20)


# -- what a company has already


async def test_a_group_of_others_is_continued_where_it_was_and_by_others_where_msgkit_was(
    settings: Settings, plain: Plain, name: str
) -> None:
    await plain.create_topic(name, 3)
    texts = Queue(name, str, options=[KafkaTopic(declare=False)])
    got = Inbox[str]()

    @listener(texts)
    async def work(text: str) -> None:
        got.put(text)

    async def send(first: int, behind: int) -> None:
        for number in range(first, behind):
            await plain.send(name, b"%d" % number, partition=number % 3)

    await send(0, 30)
    before = await plain.handle(name, name, 12)
    async with Application([work], settings=settings):
        await send(30, 45)
        ours = [int(await got.next()) for _ in range(33)]
    # And what was sent before they come again is theirs.
    await send(45, 60)
    after = await plain.handle(name, name, 15)
    handled = [int(each.value or b"") for each in before] + ours + [int(each.value or b"") for each in after]
    assert sorted(handled) == list(range(60))


async def test_what_others_committed_without_being_members_counts(settings: Settings, plain: Plain, name: str) -> None:
    await plain.create_topic(name, 2)
    texts = Queue(
        f"{name}.reader", str, options=[KafkaQueue(group=f"{name}.group", topic=name), KafkaTopic(declare=False)]
    )
    got = Inbox[str]()

    @listener(texts)
    async def work(text: str) -> None:
        got.put(text)

    for number in range(20):
        await plain.send(name, b"%d" % number, partition=number % 2)
    await plain.commit(f"{name}.group", name, {0: 4, 1: 7}, "not of msgkit: \u00fc")
    async with Application([work], settings=settings):
        ours = {int(await got.next()) for _ in range(9)}
    assert ours == {8, 10, 12, 14, 16, 18, 15, 17, 19}
    assert {number: at for number, (at, _) in (await plain.committed(f"{name}.group", name)).items()} == {0: 10, 1: 10}


async def test_a_partition_of_which_a_group_has_committed_nothing_is_read_from_its_beginning(
    settings: Settings, plain: Plain, name: str
) -> None:
    await plain.create_topic(name, 2)
    texts = Queue(name, str, options=[KafkaTopic(declare=False)])
    got = Inbox[str]()

    @listener(texts)
    async def work(text: str) -> None:
        got.put(text)

    for number in range(6):
        await plain.send(name, b"%d" % number, partition=number % 2)
    await plain.commit(name, name, {0: 3})
    async with Application([work], settings=settings):
        assert {await got.next() for _ in range(3)} == {"1", "3", "5"}


async def test_a_topic_of_others_that_was_taken_for_ours_is_told_apart(
    settings: Settings, plain: Plain, name: str
) -> None:
    await plain.create_topic(name, 3, {"retention.ms": "3600000"})
    jobs = Queue(name, OrderPlaced, options=[KafkaTopic(partitions=4)])
    async with MessageTemplate(settings) as template:
        with pytest.raises(TopologyMismatch, match="partitions=4 is declared, but it has 3"):
            await template.declare(jobs)


@pytest.mark.parametrize("assignor", ["range", "roundrobin"])
async def test_a_group_whose_members_share_out_otherwise_is_refused_in_words_that_help(
    settings: Settings, plain: Plain, name: str, assignor: str, caplog: pytest.LogCaptureFixture
) -> None:
    await plain.create_topic(name, 2)
    jobs = theirs(name)

    @listener(jobs)
    async def work(order: OrderPlaced) -> None:
        raise AssertionError(order)

    async with plain.member(name, name, assignor):
        with pytest.raises(TopologyMismatch, match=r"cooperative-sticky") as refused:
            async with asyncio.timeout(20), Application([work], settings=settings):
                pass
    assert name in str(refused.value)
    assert "KafkaQueue(group=" in str(refused.value)
    # Nothing was done, so that nothing can come again.
    assert [record.message for record in caplog.records if "comes again" in record.message] == []


async def test_a_member_that_shares_out_otherwise_is_not_let_into_a_group_of_msgkit(
    settings: Settings, plain: Plain, name: str
) -> None:
    jobs = Queue(name, OrderPlaced)
    got = Inbox[OrderPlaced]()

    @listener(jobs)
    async def work(order: OrderPlaced) -> None:
        got.put(order)

    refusal = import_module("aiokafka.errors").InconsistentGroupProtocolError
    async with Application([work], settings=settings):
        with pytest.raises(refusal):
            await plain.handle(name, name, 1)
        # And nobody in it is disturbed.
        await plain.send(name, ORDER_JSON)
        assert await got.next() == ORDER
