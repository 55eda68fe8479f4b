"""What a broker says of messages that it lends."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from msgkit_rocketmq.client import records
from msgkit_rocketmq.client.errors import Unreadable
from msgkit_rocketmq.client.frames import Frame
from msgkit_rocketmq.client.handles import MARKS, Handle
from msgkit_rocketmq.client.records import Record

__all__ = ["Taken", "decode"]

#: What was taken together stands nearer than this, whatever a filter left out in between.
_FARTHEST = 2**20


class Taken(NamedTuple):
    """A message that was lent, and what it is settled by."""

    record: Record
    handle: Handle
    #: How often it was lent, this time included, as far as the broker knows.
    attempt: int


def decode(answer: Frame, broker: str, topic: str) -> Sequence[Taken]:
    """Return what was taken, which is of this topic even where it came back.

    :raises Unreadable: when it is not messages what came, or it is not told what they are settled by
    """
    try:
        handles = _handles(answer.fields, broker)
        counts = _counts(answer.fields.get("orderCountInfo", ""))
    except (KeyError, ValueError) as error:
        raise Unreadable("an answer does not tell what its messages are settled by") from error
    coming = iter(handles)
    return [_taken(record, coming, counts, topic) for record in records.decode(answer.body)]


def _handles(fields: Mapping[str, str], broker: str) -> Sequence[Handle]:
    """Return what each message is settled by, in their order.

    What came back has that with it as well, but what its sender may have written there comes first.
    """
    popped, invisible, revive = int(fields["popTime"]), int(fields["invisibleTime"]), int(fields["reviveQid"])
    starts = {(mark, queue): int(start) for mark, queue, start in _told(fields["startOffsetInfo"])}
    return [
        _checked(Handle(starts[mark, queue], popped, invisible, revive, mark, broker, int(queue), int(offset)))
        for mark, queue, offsets in _told(fields["msgOffsetInfo"])
        for offset in offsets.split(",")
    ]


def _checked(handle: Handle) -> Handle:
    if handle.mark not in MARKS or not 0 <= handle.offset - handle.start < _FARTHEST:
        raise ValueError(handle)
    return handle


def _counts(text: str) -> Mapping[tuple[str, str], int]:
    """Return how often messages were lent before: by their place, or all of a queue."""
    return {(mark, place): int(count) for mark, place, count in _told(text)}


def _told(text: str) -> Iterator[tuple[str, str, str]]:
    for each in filter(None, text.split(";")):
        mark, place, value = each.split(" ")
        yield mark, place, value


def _taken(record: Record, handles: Iterator[Handle], counts: Mapping[tuple[str, str], int], topic: str) -> Taken:
    # The broker leaves out what it could not read itself, but tells of it.
    handle = next((each for each in handles if (each.queue, each.offset) == (record.queue, record.offset)), None)
    if handle is None:
        raise Unreadable(f"it is not told what the message at {record.offset} of {topic} is settled by")
    of_queue = counts.get((handle.mark, str(handle.queue)), 0)
    before = counts.get((handle.mark, f"qo{handle.queue}%{handle.offset}"), of_queue)
    return Taken(record._replace(topic=topic), handle, 1 + max(before, record.returned))
