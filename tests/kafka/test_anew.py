"""A level of delays that was made anew, or cut short: what waits there now is not passed over."""

import pytest

from msgkit.spi import QueueSpec
from msgkit_kafka.delays import GROUP_OF_DELAYS
from msgkit_kafka.wire import logs, positions
from msgkit_kafka.wire.errors import Code
from tests.bench import Bench
from tests.kafka.wire_broker import Broker, ends, serving, standings

LEVEL = "msgkit.delay.3"
#: Up to there it was read before.
BEFORE = 7


def offsets(question: object) -> list[int]:
    """Return from where the level is read, if it is."""
    topics = question.topics if isinstance(question, logs.Fetch) else ()
    return [part.offset for topic in topics if topic.name == LEVEL for part in topic.partitions]


def committed(question: object) -> list[int]:
    topics = question.topics if isinstance(question, positions.Commit) else ()
    return [part.offset for topic in topics if topic.name == LEVEL for part in topic.partitions]


def shorten(broker: Broker) -> None:
    """Have the level end before what was committed, until somebody asks where it begins."""
    fetch = broker.answer_to(logs.FETCH)

    async def out_of_range(asked: logs.Fetch) -> logs.Fetched:
        if BEFORE not in offsets(asked):
            others: logs.Fetched = await fetch(asked)
            return others
        part = logs.FetchedPartition(0, Code.OFFSET_OUT_OF_RANGE, -1, -1, -1, [], -1, None)
        return logs.Fetched(0, 0, 0, [logs.FetchedTopic(LEVEL, [part])])

    def come_so_far(asked: positions.AskOffsets) -> positions.OffsetsOf:
        return standings(asked, BEFORE if asked.group == GROUP_OF_DELAYS else -1)

    broker.says(logs.FETCH, out_of_range)
    broker.says(positions.OFFSET_FETCH, come_so_far)


async def test_it_is_read_again_from_where_it_begins(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as broker, Bench.open(f"kafka://127.0.0.1:{broker.port}") as bench:
        shorten(broker)
        await bench.consume(QueueSpec(name="jobs"))
        await broker.heard(lambda asked: 0 in offsets(asked))
        await broker.heard(lambda asked: 0 in committed(asked))
    assert f"{LEVEL} ended before offset {BEFORE}" in caplog.text


async def test_it_is_not_read_where_it_was_before_it_is_known_where_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    refusals = 3

    def refuse(asked: logs.ListOffsets) -> logs.AllSought:
        nonlocal refusals
        if asked.topics[0].name != LEVEL or not refusals:
            return ends(asked, 0)
        refusals -= 1
        return logs.AllSought(0, [logs.SoughtTopic(LEVEL, [logs.Sought(0, Code.INVALID_REQUEST, -1, -1, -1)])])

    monkeypatch.setattr("msgkit_kafka.levels._LATER", 0.01)
    async with serving() as broker, Bench.open(f"kafka://127.0.0.1:{broker.port}") as bench:
        shorten(broker)
        broker.says(logs.LIST_OFFSETS, refuse)
        await bench.consume(QueueSpec(name="jobs"))
        await broker.heard(lambda asked: 0 in offsets(asked))
        assert refusals == 0
        assert sum(BEFORE in offsets(asked) for asked in broker.asked) == 1
