"""Histories told tersely, for the tests of the ledger."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Unpack

from msgkit.testing.conformance.ledger import Content, Ledger, Promises, Report, content
from msgkit.testing.conformance.ledger.recorder import QueueTerms, Terms
from msgkit.testing.conformance.ledger.records import FaultKind, Settled

__all__ = ["EVERYTHING", "Run", "carried"]

EVERYTHING: Mapping[str, object] = {
    "text": "héllo",
    "count": 7,
    "flag": True,
    "rate": 0.5,
    "raw": b"\x00\xff",
    "time": datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
}


def carried(message_id: str, key: str | None = "k", *, headers: Mapping[str, object] = EVERYTHING) -> Content:
    return content(message_id.encode(), {**EVERYTHING, **headers}, key=key, subject="placed.eu")


class Run:
    """A ledger of one exchange and the queue `q`, told tersely; times are small numbers."""

    def __init__(self, promises: Promises | None = None, **queue: Unpack[QueueTerms]) -> None:
        self.ledger = Ledger(promises or Promises())
        self.ledger.queue("q", **queue)
        self.held = 0

    def send(self, *ids: str, key: str | None = "k", at: float = 0.0, **terms: Unpack[Terms]) -> "Run":
        for message_id in ids:
            self.attempt(message_id, key=key, at=at, **terms)
            self.ledger.confirmed(message_id)
        return self

    def attempt(self, message_id: str, *, key: str | None = "k", at: float = 0.0, **terms: Unpack[Terms]) -> "Run":
        self.ledger.attempt(
            message_id,
            "orders",
            carried(message_id, key),
            queues=["q"],
            at=at,
            **terms,
        )
        return self

    def handle(
        self,
        message_id: str,
        start: float,
        end: float | None,
        how: Settled = "accepted",
        *,
        attempt: int = 1,
        by: str = "c1",
        key: str | None = "k",
        after: float = 0.0,
    ) -> "Run":
        seen = carried(message_id, key)
        token = self.ledger.began("q", by, message_id, attempt, start, seen)
        if end is not None:
            self.ledger.ended(token, how, end, after=after)
        return self

    def dead(self, *ids: str, key: str | None = "k") -> "Run":
        for message_id in ids:
            self.ledger.dead("q", message_id, carried(message_id, key))
        return self

    def fault(self, kind: FaultKind, began: float, ended: float | None, *consumers: str) -> "Run":
        self.ledger.fault(kind, began, ended, consumers=consumers or None)
        return self

    def judge(self, tolerance: float = 0.0) -> Report:
        if self.held == 0:
            self.ledger.left("q", 0)
        return self.ledger.judge(tolerance)

    def broken(self, tolerance: float = 0.0) -> tuple[str, ...]:
        return tuple(self.judge(tolerance).rules)
