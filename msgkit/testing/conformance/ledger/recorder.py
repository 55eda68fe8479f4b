"""The ledger: what was sent, delivered, settled and broken, written down as it happens."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TypedDict, Unpack

from msgkit.testing.conformance.ledger.records import (
    Attempted,
    Began,
    Content,
    Dead,
    Declared,
    Ended,
    Expired,
    Fault,
    FaultKind,
    Gap,
    Joined,
    Left,
    Ordered,
    Outcome,
    Promises,
    Record,
    Resolved,
    Settled,
    Stopped,
    decode,
    encode,
)
from msgkit.testing.conformance.ledger.verdicts import Report, judge

__all__ = ["Ledger", "QueueTerms", "Terms"]


class QueueTerms(TypedDict, total=False):
    ordered: Ordered
    anonymous: bool
    dead_letters: bool
    attempts: int | None
    batched: bool


class Terms(TypedDict, total=False):
    """How a message is sent; see `Attempted`."""

    phase: str
    due: float | None
    expires: float | None
    sender: str
    poison: bool


class Ledger:
    """Records a run and judges it. Does no I/O and reads no clock.

    Times are seconds of one clock that all who record share. A delivery is recorded before its
    handler begins, and its end before its settlement is sent: so that whoever is killed between
    has been handling it.

    :param writer: names who records, and differs in each process
    :param write: is given each record as a line of JSON, to append where a kill cannot take it
    """

    def __init__(
        self,
        promises: Promises | None = None,
        *,
        writer: str = "main",
        write: Callable[[str], object] | None = None,
    ) -> None:
        self._writer = writer
        self._write = write
        self._records: list[Record] = []
        self._sent: set[str] = set()
        self._resolved: set[str] = set()
        self._began: set[str] = set()
        self._open: set[str] = set()
        self._sequences: Counter[tuple[str, str, str | None]] = Counter()
        self._order = "KEY"
        if promises is not None:
            self._note(promises)

    @property
    def records(self) -> Sequence[Record]:
        return tuple(self._records)

    # -- the topology

    def queue(self, name: str, **terms: Unpack[QueueTerms]) -> None:
        """Record a queue under test.

        :raises ValueError: if it is ordered and the binding keeps no order: it must be refused
        """
        if terms.get("ordered", False) and self._order == "NONE":
            raise ValueError(f"{name} cannot be ordered, and the binding must have refused it")
        self._note(Declared(queue=name, **terms))

    # -- sending

    def attempt(
        self,
        message_id: str,
        to: str,
        content: Content,
        *,
        queues: Iterable[str],
        at: float,
        **terms: Unpack[Terms],
    ) -> None:
        """Record a publish before it is made.

        :param queues: those that must get it, by what the suite knows of the topology
        """
        sender = terms.setdefault("sender", self._writer)
        self._note(
            Attempted(
                message_id=message_id,
                to=to,
                queues=tuple(sorted(queues)),
                content=content,
                at=at,
                sequence=self._sequences[sender, to, content.key] + 1,
                **terms,
            )
        )

    def confirmed(self, message_id: str) -> None:
        self._resolve(message_id, "confirmed")

    def refused(self, message_id: str) -> None:
        self._resolve(message_id, "refused")

    def unknown(self, message_id: str) -> None:
        self._resolve(message_id, "unknown")

    def _resolve(self, message_id: str, outcome: Outcome) -> None:
        self._note(Resolved(message_id=message_id, outcome=outcome))

    # -- handling

    def began(self, queue: str, consumer: str, message_id: str, attempt: int, at: float, content: Content) -> str:
        """Record that a handling begins, and return the token to end it with.

        :param consumer: one subscription of one process; restarted, it has another name
        """
        token = f"{self._writer}-{len(self._began) + 1}"
        self._note(
            Began(
                token=token,
                queue=queue,
                consumer=consumer,
                message_id=message_id,
                attempt=attempt,
                at=at,
                content=content,
            )
        )
        return token

    def ended(self, token: str, how: Settled, at: float, *, after: float = 0.0) -> None:
        """Record how a handling ended; `after` is the least delay until its retry."""
        self._note(Ended(token=token, how=how, at=at, after=after))

    def joined(self, consumer: str, at: float) -> None:
        self._note(Joined(consumer=consumer, at=at))

    def stopped(self, consumer: str, at: float) -> None:
        self._note(Stopped(consumer=consumer, at=at))

    # -- faults, and what is left

    def fault(
        self,
        kind: FaultKind,
        began: float,
        ended: float | None = None,
        *,
        consumers: Iterable[str] | None = None,
    ) -> None:
        """Record a fault, which lasts until all that it touches are known to be back.

        :param consumers: those it touches; all, when not given
        """
        touched = None if consumers is None else tuple(sorted(consumers))
        self._note(Fault(kind=kind, began=began, ended=ended, consumers=touched))

    def gap(self, queue: str, began: float, ended: float) -> None:
        self._note(Gap(queue=queue, began=began, ended=ended))

    def dead(self, queue: str, message_id: str, content: Content) -> None:
        """Record a dead letter of the queue, found where its dead letters go."""
        self._note(Dead(queue=queue, message_id=message_id, content=content))

    def expired(self, queue: str, count: int, at: float) -> None:
        """Record how many more messages the queue's consumers have counted as expired."""
        self._note(Expired(queue=queue, count=count, at=at))

    def left(self, queue: str, count: int, unacked: int = 0) -> None:
        """Record what the broker says that a queue holds at the end."""
        self._note(Left(queue=queue, count=count, unacked=unacked))

    # -- putting together and judging

    def to_json(self) -> str:
        return "".join(f"{encode(record)}\n" for record in self._records)

    @classmethod
    def from_json(cls, text: str) -> "Ledger":
        return cls.of(_lines(text))

    @classmethod
    def of(cls, records: Iterable[Record]) -> "Ledger":
        ledger = cls()
        for record in records:
            ledger._note(record)
        return ledger

    def merge(self, text: str) -> None:
        """Take in what another ledger wrote; a last line that was cut off is left out."""
        for record in _lines(text):
            self._note(record)

    def judge(self, tolerance: float = 0.0) -> Report:
        """Hold every rule against what was recorded; see `judge`."""
        return judge(self._records, tolerance)

    def _note(self, record: Record) -> None:
        self._verify(record)
        self._records.append(record)
        if self._write is not None:
            self._write(f"{encode(record)}\n")

    def _verify(self, record: Record) -> None:
        """Refuse what cannot have happened, so that a mistake of the suite is found where made."""
        match record:
            case Promises(order=order):
                self._order = order
            case Attempted(message_id=message_id):
                _once(message_id, self._sent, "attempted")
                self._sequences[record.sender, record.to, record.key] += 1
            case Resolved(message_id=message_id):
                _once(message_id, self._resolved, "resolved")
                if message_id not in self._sent:
                    raise ValueError(f"{message_id} was never attempted")
            case Began(token=token):
                _once(token, self._began, "begun; two ledgers must not have one writer")
                self._open.add(token)
            case Ended(token=token):
                if token not in self._open:
                    raise ValueError(f"{token} did not begin, or has ended")
                self._open.remove(token)
            case _:
                pass


def _once(name: str, known: set[str], what: str) -> None:
    if name in known:
        raise ValueError(f"{name} was already {what}")
    known.add(name)


def _lines(text: str) -> Iterable[Record]:
    return map(decode, text.split("\n")[:-1])
