"""Answers: one topic for all who ask, of which each reads a partition by hand."""

import random
from collections.abc import Callable
from functools import partial
from secrets import token_hex

from msgkit.envelope import Envelope, Kind
from msgkit_kafka.fetching import Fetcher, Wish
from msgkit_kafka.layout import TopicForm
from msgkit_kafka.mapping import Source, understood
from msgkit_kafka.options import MAX_RECORD
from msgkit_kafka.wire.errors import BrokerError, Code, WireError
from msgkit_kafka.wire.logs import FetchedPartition
from msgkit_kafka.wire.records import Decoded
from msgkit_kafka.wire.subscriptions import Partition

__all__ = ["REPLIES", "Replies", "place_of"]

_TOPIC = "msgkit.replies"
#: Milliseconds after which nobody waits for an answer any more.
_KEPT = 24 * 3600 * 1000
REPLIES = TopicForm(
    _TOPIC, "replies", 16, None, {"retention.ms": str(_KEPT), "max.message.bytes": str(MAX_RECORD)}, owned=True
)


def place_of(address: str) -> tuple[str, int | None]:
    """Return where somebody reads his answers: a partition of a topic, or all of them."""
    topic, _, rest = address.partition("/")
    number, _, _ = rest.partition("/")
    return topic, int(number) if number.isdecimal() else None


class Replies:
    """Reads the answers of one client, from the end as it was when it began."""

    def __init__(
        self,
        fetcher: Fetcher,
        size: int,
        client: str,
        on_reply: Callable[[Envelope], None],
        on_lost: Callable[[str], None],
    ) -> None:
        self.partition = Partition(_TOPIC, random.randrange(size))  # noqa: S311 -- it keeps no secret
        # Two that are called the same may read the same partition.
        self.address = f"{_TOPIC}/{self.partition.number}/{client}-{token_hex(8)}"
        self._fetcher = fetcher
        self._on_reply = on_reply
        self._on_lost = on_lost
        self._source = Source(Kind.REPLY, "", _TOPIC, self.partition.number)

    def read(self, position: int) -> None:
        wish = Wish(self.partition, position, self._came, partial(self._failed, position))
        self._fetcher.fetch(wish)

    def _came(self, found: Decoded, _: FetchedPartition) -> None:
        for record in found.records:
            envelope = understood(record, self._source)
            if envelope.destination == self.address:
                self._on_reply(envelope._replace(kind=Kind.REPLY))
        self.read(found.next_offset)

    def _failed(self, position: int, error: WireError) -> None:
        if isinstance(error, BrokerError) and error.code is Code.OFFSET_OUT_OF_RANGE:
            # What was there was deleted, or the topic was: nobody waits for that any more.
            self._on_lost(f"answers cannot be read at {position}: {error}")
