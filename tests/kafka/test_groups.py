"""What is asked about groups and partitions from outside, of brokers that hear of a new topic at different times."""

from collections.abc import Callable

from msgkit_kafka.groups import Groups
from msgkit_kafka.offsets import Point
from msgkit_kafka.wire import logs, positions
from msgkit_kafka.wire.errors import Code
from msgkit_kafka.wire.subscriptions import Partition
from tests.kafka.wire_broker import ends, serving

NEW = Partition("new", 0)


def heard_late() -> Callable[[], int]:
    """Return what tells of a topic the first two times that it is unknown, and then that all is well."""
    left = [Code.UNKNOWN_TOPIC_OR_PARTITION] * 2
    return lambda: left.pop() if left else Code.NONE


async def test_a_leader_that_has_not_heard_of_a_new_topic_yet_is_asked_again() -> None:
    heard = heard_late()

    def sought(asked: logs.ListOffsets) -> logs.AllSought:
        if error := heard():
            return logs.AllSought(0, [logs.SoughtTopic(NEW.topic, [logs.Sought(NEW.number, error, -1, -1, -1)])])
        return ends(asked, 7)

    async with serving() as broker:
        broker.says(logs.LIST_OFFSETS, sought)
        cluster = broker.cluster()
        await cluster.refresh([NEW.topic])
        assert await Groups(cluster).ends([NEW], logs.LATEST) == {NEW: 7}
        await cluster.close()


async def test_a_coordinator_that_has_not_heard_of_a_new_topic_yet_is_told_again_where_a_group_begins() -> None:
    heard = heard_late()

    def committed(_: positions.Commit) -> positions.Committed:
        return positions.Committed(0, [positions.CommitOf(NEW.topic, [positions.CommitResult(NEW.number, heard())])])

    async with serving() as broker:
        broker.says(positions.OFFSET_COMMIT, committed)
        cluster = broker.cluster()
        await Groups(cluster).move("billing", {NEW: Point(7, "")})
        commits = [asked for asked in broker.asked if isinstance(asked, positions.Commit)]
        assert [each.topics[0].partitions[0].offset for each in commits] == [7, 7, 7]
        await cluster.close()
