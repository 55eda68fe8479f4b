"""Orders to a group that lives: only its members can say how far it is, so they are told where to go on.

Whoever gives an order joins the group, wants none of its partitions, and says it beside what he wants. The leader tells
all of them. Who has a partition follows once, and writes down beside the offset that he did.
"""

import json
from collections.abc import Iterable, Mapping
from typing import NamedTuple, cast

from msgkit_kafka.wire.subscriptions import Partition, Subscription

__all__ = ["Order", "decode", "encode", "first_of"]

#: Bytes of the generation, which stands before it.
_BEFORE = 4
_MARK = b"msgkit goes on "


class Order(NamedTuple):
    """Where the partitions of a group go on."""

    #: 8 digits of base 16.
    name: str
    points: Mapping[Partition, int]
    #: Whoever is farther already does not go back.
    forward: bool = False


def encode(order: Order) -> bytes:
    topics: dict[str, dict[str, int]] = {}
    for each, offset in sorted(order.points.items()):
        topics.setdefault(each.topic, {})[str(each.number)] = offset
    return _MARK + json.dumps([order.name, topics, order.forward], separators=(",", ":")).encode()


def decode(data: bytes | None) -> Order | None:
    """Return the order; None when it is none."""
    if data is None or not data.startswith(_MARK):
        return None
    try:
        said = cast("tuple[str, Mapping[str, Mapping[str, int]], bool]", json.loads(data[len(_MARK) :]))
        name, topics, forward = said
        points = {Partition(topic, int(each)): int(at) for topic, parts in topics.items() for each, at in parts.items()}
        is_whole = len(name) == _NAME and not int(name, 16) < 0
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None
    return Order(name, points, bool(forward)) if is_whole else None


_NAME = 8


def first_of(members: Iterable[Subscription]) -> bytes | None:
    """Return what a leader tells the members of a group: one order, as the others wait for it to be followed."""
    said = (member.user_data[_BEFORE:] for member in members if member.user_data is not None)
    return min((each for each in said if decode(each) is not None), default=None)
