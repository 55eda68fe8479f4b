"""Random histories of an ideal broker: whatever they show is right."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from heapq import heapify, heappop, heappush
from random import Random

from msgkit.testing.conformance.ledger import Content, Ledger, Promises, content
from msgkit.testing.conformance.ledger.records import Declared, Ordered, Settled

__all__ = ["ideal"]

_WINDOW = 0.3
_DELAY = 0.25
_QUEUES: dict[str, Ordered] = {"plain": False, "lane": True, "strict": "strict"}
_KEYS = ("a", "b", "c", None)


@dataclass(frozen=True)
class _Sent:
    message_id: str
    content: Content
    ready: float
    expires: float | None
    poison: bool


@dataclass(frozen=True, order=True)
class _Delivery:
    ready: float
    #: Its place in the lane.
    place: int
    attempt: int = 1


class _Lane:
    def __init__(self, spec: Declared, sent: Sequence[_Sent]) -> None:
        self.spec = spec
        #: Without a key there is nothing to keep in order.
        self.ordered: Ordered = sent[0].content.key is not None and spec.ordered
        self.sent = sent
        self.waiting = [_Delivery(each.ready, place) for place, each in enumerate(sent)]
        heapify(self.waiting)
        #: What an ordered lane hands out again before anything else.
        self.held: list[_Delivery] = []
        self.now = 0.0
        #: By a dead letter, where it is strict.
        self.blocked = False


def ideal(seed: int) -> Ledger:
    """Return the ledger of a run with retries, releases, expiries, dead letters and faults."""
    return _Broker(Random(seed)).run()  # noqa: S311 -- a history that can be made again


class _Broker:
    def __init__(self, random: Random) -> None:
        self._random = random
        self._promises = Promises(settle_window=_WINDOW, forks=random.random() < 0.5)
        self._ledger = Ledger(self._promises)
        self._specs = {
            name: Declared(queue=name, ordered=ordered, attempts=random.choice((2, 3)))
            for name, ordered in _QUEUES.items()
        }
        self._faults = random.random() < 0.7
        self._crash = random.uniform(5, 40) if self._faults and random.random() < 0.7 else None
        self._waiting: dict[tuple[str, str | None], list[_Sent]] = {}
        self._killed = 0

    def run(self) -> Ledger:
        for name, spec in self._specs.items():
            self._ledger.queue(name, ordered=spec.ordered, attempts=spec.attempts)
        for number in range(40):
            self._send(number)
        if self._crash is not None:
            self._ledger.fault("broker-kill", self._crash, self._crash + 1)
        for (name, _), sent in self._waiting.items():
            self._serve(_Lane(self._specs[name], sent))
        for name in self._specs:
            self._ledger.left(name, 0)
        return self._ledger

    # -- sending

    def _send(self, number: int) -> None:
        random, message_id = self._random, f"m{number}"
        at = number + random.random()
        queues = random.sample(sorted(_QUEUES), random.randint(1, 3))
        due = at + random.uniform(1, 9) if random.random() < 0.1 else None
        ready = at if due is None else due
        sent = _Sent(
            message_id=message_id,
            content=self._content(message_id),
            ready=ready,
            expires=ready + random.uniform(0, 3) if random.random() < 0.15 else None,
            poison=random.random() < 0.05,
        )
        self._ledger.attempt(
            message_id,
            "orders",
            sent.content,
            queues=queues,
            at=at,
            phase="first" if number < 20 else "second",
            sender=random.choice(("one", "two")),
            due=due,
            expires=sent.expires,
            poison=sent.poison,
        )
        for _ in range(self._copies(message_id)):
            for name in queues:
                self._waiting.setdefault((name, sent.content.key), []).append(sent)

    def _content(self, message_id: str) -> Content:
        headers = {"n": self._random.randint(0, 9), "flag": True, "raw": b"\x00"}
        key = self._random.choice(_KEYS)
        return content(message_id.encode(), headers, key=key, subject="placed.eu")

    def _copies(self, message_id: str) -> int:
        """Say what came of a publish, and return how many copies the broker has."""
        chance = self._random.random()
        if chance < 0.05:
            self._ledger.refused(message_id)
            return 0
        if chance < 0.1:
            self._ledger.unknown(message_id)
            return self._random.choice((0, 1, 2))
        self._ledger.confirmed(message_id)
        return 1

    # -- handling: one lane at a time, each along a time of its own

    def _serve(self, lane: _Lane) -> None:
        while lane.held or lane.waiting:
            delivery = lane.held.pop() if lane.held else self._admitted(lane)
            if delivery is None:
                continue
            start = max(lane.now, delivery.ready) + self._random.uniform(0.01, 0.5)
            expires = lane.sent[delivery.place].expires
            if expires is not None and start > expires:
                self._ledger.expired(lane.spec.queue, 1, start)
            else:
                self._handle(lane, delivery, start)

    def _admitted(self, lane: _Lane) -> _Delivery | None:
        delivery = heappop(lane.waiting)
        sent = lane.sent[delivery.place]
        if sent.poison or (lane.blocked and lane.ordered == "strict"):
            self._bury(lane, sent)
            return None
        return delivery

    def _handle(self, lane: _Lane, delivery: _Delivery, start: float) -> None:
        sent, spec = lane.sent[delivery.place], lane.spec
        how, consumer = self._fate()
        end = lane.now = start + self._random.uniform(0.01, 1)
        token = self._ledger.began(spec.queue, consumer, sent.message_id, delivery.attempt, start, sent.content)
        if how == "none":
            self._ledger.fault("consumer-kill", end, end, consumers=[consumer])
        else:
            self._ledger.ended(token, how, end, after=_DELAY if how == "retried" else 0)
        if how == "retried" and delivery.attempt == spec.attempts:
            how = "rejected"
        back = self._undone(start, end)
        if how == "rejected" and (self._promises.forks or not back):
            self._bury(lane, sent)
        for again in self._again(delivery, how, end, back=back):
            if lane.ordered:
                lane.held.append(again)
            else:
                heappush(lane.waiting, again)

    def _fate(self) -> tuple[Settled, str]:
        fates: Sequence[Settled] = ("accepted", "retried", "released", "rejected", "none")
        how = self._random.choices(fates, (70, 15, 5, 5, 5 * self._faults))[0]
        if how == "none":
            self._killed += 1
            return how, f"killed-{self._killed}"
        return how, self._random.choice(("c1", "c2"))

    def _undone(self, start: float, end: float) -> bool:
        """Tell whether the crash of the broker undoes what it may undo."""
        crash = self._crash
        exposed = crash is not None and start <= crash + 1 and crash <= end + _WINDOW
        return exposed and self._random.random() < 0.7

    def _again(self, delivery: _Delivery, how: Settled, end: float, *, back: bool) -> Iterator[_Delivery]:
        if how == "retried" and (not back or self._promises.forks):
            yield replace(delivery, ready=end + _DELAY, attempt=delivery.attempt + 1)
        if how in {"released", "none"}:
            yield replace(delivery, ready=end)
        elif back:
            yield replace(delivery, ready=max(end, self._crash or 0))

    def _bury(self, lane: _Lane, sent: _Sent) -> None:
        self._ledger.dead(lane.spec.queue, sent.message_id, sent.content)
        lane.blocked = True
