"""What the members of a group say of their filters: whoever has a partition filters for all, so all have the same.

Each says it behind what it wants, where every other can look it up. What counts is what was said by whoever was in the
group first; of those who come together, by the one whose name is the least.
"""

import json
from collections.abc import Mapping
from typing import cast

from msgkit.spi.filtering import Filter
from msgkit_kafka.wire.errors import WireError
from msgkit_kafka.wire.subscriptions import NEVER, Subscription

__all__ = ["Disagrees", "disputed", "encode"]

_MARK = b"msgkit takes "
#: Bytes of the generation, which stands before it.
_BEFORE = 4


class Disagrees(WireError):
    """Others in the group take something else of a topic than we do."""


def encode(filters: Mapping[str, Filter]) -> bytes:
    """Return what a member says that has these filters, by topic; nothing where it has none."""
    prints = {topic: each.fingerprint for topic, each in sorted(filters.items())}
    return _MARK + json.dumps(prints, separators=(",", ":")).encode() if prints else b""


def disputed(filters: Mapping[str, Filter], members: Mapping[str, Subscription]) -> str | None:
    """Return a topic of which a group takes something else than these filters do; None when there is none."""
    said: dict[str, str] = {}
    for name in sorted(members, key=lambda name: (members[name].generation == NEVER, name)):
        said = {**_decode(members[name].user_data), **said}
    return next(
        (topic for topic, each in filters.items() if said.get(topic, each.fingerprint) != each.fingerprint), None
    )


def _decode(data: bytes | None) -> Mapping[str, str]:
    """Return what a member said: nothing, when it is another's who says no such thing."""
    said = (data or b"")[_BEFORE:]
    if not said.startswith(_MARK):
        return {}
    try:
        return dict(cast("Mapping[str, str]", json.loads(said[len(_MARK) :])))
    except (ValueError, TypeError, RecursionError):
        return {}
