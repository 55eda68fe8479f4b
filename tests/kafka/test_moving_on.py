"""A delayed message that is due, and what is made of it where it cannot go or says what cannot be."""

from collections.abc import Mapping, Sequence

import pytest

from msgkit.spi import QueueSpec
from msgkit_kafka.mapping import DUE, REFUSALS, WAIT, told
from msgkit_kafka.wire import logs, producers, records, topics
from msgkit_kafka.wire.errors import Code
from tests.bench import Bench
from tests.kafka.wire_broker import Broker, serving

LEVEL = "msgkit.delay.0"
#: Where it waits on for 1.6 s.
NEXT = "msgkit.delay.4"
Headers = Mapping[str, str]


def lay(broker: Broker, said: Headers) -> None:
    """Have one message lie in the first level."""
    broker.holds(LEVEL, (None, b"x", [(name, text.encode()) for name, text in said.items()], 0))


def refuse_writers(broker: Broker) -> None:
    """Have the topic that it is due at be away when somebody wants to write there."""
    add = broker.answer_to(producers.ADD_PARTITIONS)

    def answer(asked: producers.AddPartitions) -> producers.AllAdded:
        if asked.topics[0].name == "due":
            wrong = producers.Added(0, Code.UNKNOWN_TOPIC_OR_PARTITION)
            return producers.AllAdded(0, [producers.AddedTopic("due", [wrong])])
        others: producers.AllAdded = add(asked)
        return others

    broker.says(producers.ADD_PARTITIONS, answer)


def be_impossible(broker: Broker) -> None:
    """Have it be a topic such as there is none: without partitions."""
    look = broker.answer_to(topics.METADATA)

    def answer(asked: topics.AskMetadata) -> topics.Metadata:
        found: topics.Metadata = look(asked)
        those = [each._replace(partitions=[]) if each.name == "due" else each for each in found.topics]
        return found._replace(topics=those)

    broker.says(topics.METADATA, answer)


def written(question: object) -> Sequence[tuple[str, str]]:
    """Return the topics that messages are moved to, and what is said there of their refusals."""
    if not isinstance(question, logs.Produce) or question.transaction is None:
        return []
    return [
        (topic.name, told(record.headers, REFUSALS) or "")
        for topic in question.topics
        for part in topic.partitions
        for record in records.decode(memoryview(part.records), position=0, committed_only=False).records
    ]


async def come_to(broker: Broker, place: tuple[str, str]) -> None:
    async with Bench.open(f"kafka://127.0.0.1:{broker.port}") as bench:
        await bench.consume(QueueSpec(name="jobs"))
        await broker.heard(lambda asked: bool(written(asked)))
    (first, *_) = [each for asked in broker.asked for each in written(asked)]
    assert first == place


@pytest.mark.parametrize("wait", ["inf", "-inf", "nan", "1e999", "-3", "soon"])
async def test_a_delay_that_is_none_is_over_and_holds_up_nobody(wait: str) -> None:
    async with serving() as broker:
        lay(broker, {DUE: "queue:due", WAIT: wait})
        await come_to(broker, ("due", ""))


@pytest.mark.parametrize(
    ("refusals", "place"),
    [
        ("", (NEXT, "1 RECORD")),
        ("3 RECORD", ("msgkit.undeliverable", "")),
        # That was another reason, from which no number of tries follows for this one.
        ("9 PERMISSION", (NEXT, "1 RECORD")),
        ("many", (NEXT, "1 RECORD")),
    ],
)
async def test_how_often_it_was_refused_counts_for_one_reason_at_a_time(refusals: str, place: tuple[str, str]) -> None:
    async with serving() as broker:
        lay(broker, {DUE: "queue:due", REFUSALS: refusals})
        refuse_writers(broker)
        await come_to(broker, place)


@pytest.mark.parametrize(
    ("refusals", "place"),
    [("", (NEXT, "1 UNFORESEEN")), ("15 UNFORESEEN", ("msgkit.undeliverable", ""))],
)
async def test_what_nobody_foresaw_is_told_holds_up_nobody_and_is_put_away_in_the_end(
    refusals: str, place: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    async with serving() as broker:
        lay(broker, {DUE: "queue:due", REFUSALS: refusals})
        be_impossible(broker)
        await come_to(broker, place)
    assert any(record.levelname == "ERROR" and "queue:due" in record.getMessage() for record in caplog.records)
