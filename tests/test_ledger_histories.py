"""The oracle on random histories: the right keep every rule, the broken are found."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from random import Random
from typing import TypeVar

import pytest

from msgkit.testing.conformance.ledger import Ledger, Report
from msgkit.testing.conformance.ledger.conditions import Handling
from msgkit.testing.conformance.ledger.history import Case, History, read
from msgkit.testing.conformance.ledger.records import (
    Began,
    Dead,
    Ended,
    Expired,
    Fault,
    Left,
    Record,
    Resolved,
    Stopped,
)
from tests.ledger_ideal import ideal

Picked = TypeVar("Picked")


@pytest.mark.parametrize("seed", range(200))
def test_a_random_history_of_an_ideal_broker_breaks_no_rule(seed: int) -> None:
    ideal(seed).judge().check()


def test_random_histories_have_all_that_is_to_be_judged() -> None:
    records = [record for seed in range(40) for record in ideal(seed).records]

    assert {Expired, Dead, Fault} < {type(record) for record in records}
    endings = {record.how for record in records if isinstance(record, Ended)}
    assert endings == {"accepted", "retried", "rejected", "released"}
    outcomes = {record.outcome for record in records if isinstance(record, Resolved)}
    assert outcomes == {"confirmed", "refused", "unknown"}
    assert sum(ideal(seed).judge().excused for seed in range(40)) > 40


class Unbreakable(Exception):
    """There is nothing in this history that could be broken in this way."""


@dataclass
class Wound:
    """A right history, to be broken in one place that no fault excuses."""

    random: Random
    records: list[Record]
    history: History

    @classmethod
    def of(cls, seed: int) -> "Wound":
        records = [*ideal(seed).records]
        return cls(Random(seed), records, read(records, 0.0))  # noqa: S311 -- can be made again

    def judge(self) -> Report:
        return Ledger.of(self.records).judge()

    # -- what to break

    def case(self, wanted: Callable[[Case], object]) -> Case:
        return self.pick([each for each in self.calm() if wanted(each)])

    def calm(self) -> Iterator[Case]:
        """Yield what no fault touches, and nothing is unsure about."""
        exposure = self.history.conditions.exposure
        for case in self.history.cases:
            sure = case.outcome == "confirmed" and case.sent.expires is None
            if sure and not any(map(exposure, case.handlings)):
                yield case

    def handled_once(self) -> tuple[Case, Handling]:
        case = self.case(lambda case: len(case.handlings) == 1 and case.accepted)
        return case, case.handlings[0]

    def neighbours(self) -> tuple[Case, Case]:
        """Return two that one sender sent, and that follow each other in an ordered lane."""
        calm = {case.name for case in self.calm() if case.sent.due is None}
        found: list[tuple[Case, Case]] = []
        for queue, cases in self.history.lanes():
            if queue.queue != "lane":
                continue
            lane = [case for case in cases if case.handlings]
            lane.sort(key=lambda case: case.handlings[0].start)
            found.extend(
                (one, two)
                for one, two in pairwise(lane)
                if {one.name, two.name} <= calm
                and one.sent.sender == two.sent.sender
                and len(one.handlings) == len(two.handlings) == 1
            )
        return self.pick(found)

    def pick(self, candidates: Sequence[Picked]) -> Picked:
        if not candidates:
            raise Unbreakable
        return self.random.choice(candidates)

    # -- how

    def change(self, old: Record, **changes: object) -> None:
        new = replace(old, **changes)  # type: ignore[arg-type]  # whatever is to be broken
        self.records[self.records.index(old)] = new

    def began(self, handling: Handling) -> Began:
        return next(record for record in self.records if isinstance(record, Began) and record.token == handling.token)

    def ended(self, handling: Handling) -> Ended:
        return next(record for record in self.records if isinstance(record, Ended) and record.token == handling.token)

    def remove(self, handling: Handling) -> None:
        self.records.remove(self.began(handling))
        self.records.remove(self.ended(handling))

    def deliver(self, like: Handling, start: float, **changes: object) -> None:
        began = replace(self.began(like), token=f"{like.token}-again", at=start)
        self.records.append(began)
        self.change(began, **changes)
        self.records.append(Ended(token=began.token, how="accepted", at=start + 0.001))


def drop(wound: Wound) -> None:
    case = wound.case(lambda case: case.accepted)
    for handling in case.handlings:
        wound.remove(handling)


def drop_the_retry(wound: Wound) -> None:
    case = wound.case(lambda case: case.accepted and len(case.handlings) > 1)
    wound.remove(case.handlings[-1])


def die_in_silence(wound: Wound) -> None:
    _, handling = wound.handled_once()
    wound.records.remove(wound.ended(handling))


def resurrect(wound: Wound) -> None:
    _, handling = wound.handled_once()
    wound.deliver(handling, handling.end + 30)


def resurrect_elsewhere(wound: Wound) -> None:
    _, handling = wound.handled_once()
    wound.deliver(handling, handling.end + 30, consumer="c3", attempt=2)


def duplicate(wound: Wound) -> None:
    _, handling = wound.handled_once()
    wound.deliver(handling, (handling.start + handling.end) / 2)


def share(wound: Wound) -> None:
    _, handling = wound.handled_once()
    wound.deliver(handling, (handling.start + handling.end) / 2, consumer="c3")


def skip_an_attempt(wound: Wound) -> None:
    handling = wound.case(lambda case: case.handlings).handlings[-1]
    wound.change(wound.began(handling), attempt=handling.attempt + 1)


def forget_attempts(wound: Wound) -> None:
    case = wound.case(lambda case: any(each.attempt > 1 for each in case.handlings))
    wound.change(wound.began(case.handlings[-1]), attempt=1)


def count_a_release(wound: Wound) -> None:
    case = wound.case(lambda case: [each.how for each in case.handlings[:-1]][-1:] == ["released"])
    handling = case.handlings[-1]
    wound.change(wound.began(handling), attempt=handling.attempt + 1)


def overtake(wound: Wound) -> None:
    one, two = (wound.began(case.handlings[0]) for case in wound.neighbours())
    wound.change(one, message_id=two.message_id, content=two.content)
    wound.change(two, message_id=one.message_id, content=one.content)


def crowd(wound: Wound) -> None:
    one, two = (case.handlings[0] for case in wound.neighbours())
    wound.change(wound.ended(one), at=(two.start + two.end) / 2)


def let_go_of_the_lane(wound: Wound) -> None:
    one, two = (case.handlings[0] for case in wound.neighbours())
    wound.change(wound.ended(one), how="retried")
    wound.deliver(one, two.end, attempt=2)


def handle_an_orphan(wound: Wound) -> None:
    found: list[Case] = []
    for queue, cases in wound.history.lanes():
        if queue.ordered == "strict":
            for sender in ("one", "two"):
                line = [case for case in cases if case.sent.sender == sender]
                line = [case for case in line if case.sent.due is None]
                line.sort(key=lambda case: case.sent.sequence)
                dead = [n for n, case in enumerate(line) if case.dead and not case.accepted]
                found.extend(case for case in line[min(dead, default=99) + 1 :] if case.dead)
    case = wound.pick([case for case in found if not case.handlings])
    like = wound.case(lambda case: case.accepted).handlings[0]
    wound.deliver(
        like,
        case.sent.earliest + 60,
        queue="strict",
        message_id=case.sent.message_id,
        content=case.sent.content,
    )


def alter(wound: Wound, **content: object) -> None:
    began = wound.began(wound.case(lambda case: case.handlings).handlings[0])
    wound.change(began, content=began.content._replace(**content))  # type: ignore[arg-type]  # as above


def alter_the_body(wound: Wound) -> None:
    alter(wound, body="bytes:1:0")


def alter_the_key(wound: Wound) -> None:
    alter(wound, key="another")


def lose_headers(wound: Wound) -> None:
    alter(wound, headers=())


def alter_the_type_of_a_header(wound: Wound) -> None:
    sent = wound.case(lambda case: case.handlings)
    began = wound.began(sent.handlings[-1])
    headers = tuple(
        (name, "int", "1") if kind == "bool" else (name, kind, text) for name, kind, text in began.content.headers
    )
    wound.change(began, content=began.content._replace(headers=headers))


def hurry(wound: Wound) -> None:
    case, handling = wound.handled_once()
    wound.change(case.sent, due=handling.start + 0.001)


def hurry_a_retry(wound: Wound) -> None:
    case = wound.case(lambda case: any(each.how == "retried" for each in case.handlings[:-1]))
    first = next(each for each in case.handlings if each.how == "retried")
    wound.change(wound.ended(first), after=60.0)


def dawdle(wound: Wound) -> None:
    case, handling = wound.handled_once()
    wound.change(case.sent, expires=handling.start - 0.001)


def expire_in_silence(wound: Wound) -> None:
    counts = [record for record in wound.records if isinstance(record, Expired)]
    if wound.history.conditions.faults:
        raise Unbreakable
    wound.change(wound.pick(counts), count=0)


def lose_a_dead_letter(wound: Wound) -> None:
    case = wound.case(lambda case: case.rejecting)
    wound.records.remove(case.dead[0])


def double_a_dead_letter(wound: Wound) -> None:
    wound.records.append(wound.case(lambda case: case.rejecting).dead[0])


def alter_a_dead_letter(wound: Wound) -> None:
    dead = wound.case(lambda case: case.dead).dead[0]
    wound.change(dead, content=dead.content._replace(body="bytes:1:0"))


def bury_the_living(wound: Wound) -> None:
    case, handling = wound.handled_once()
    wound.records.append(Dead(queue=case.queue.queue, message_id=case.sent.message_id, content=handling.content))


def raise_the_dead(wound: Wound) -> None:
    handling = wound.case(lambda case: case.rejecting).handlings[-1]
    wound.deliver(handling, handling.end + 30, attempt=handling.attempt + 1)


def invent(wound: Wound) -> None:
    _, handling = wound.handled_once()
    wound.deliver(handling, handling.end + 30, message_id="ghost")


def misroute(wound: Wound) -> None:
    case = wound.case(lambda case: case.accepted and "plain" not in case.sent.queues)
    handling = case.handlings[0]
    wound.deliver(handling, handling.end + 30, queue="plain")


def refuse_what_was_stored(wound: Wound) -> None:
    case, _ = wound.handled_once()
    for record in wound.records:
        if isinstance(record, Resolved) and record.message_id == case.sent.message_id:
            wound.change(record, outcome="refused")


def leave_some(wound: Wound) -> None:
    wound.change(wound.pick([each for each in wound.records if isinstance(each, Left)]), unacked=1)


def begin_after_the_stop(wound: Wound) -> None:
    _, handling = wound.handled_once()
    wound.records.append(Stopped(consumer=handling.consumer, at=handling.start - 0.001))


MUTANTS: Sequence[tuple[str, Callable[[Wound], None]]] = (
    ("handled", drop),
    ("handled", drop_the_retry),
    ("handled", die_in_silence),
    ("refused", refuse_what_was_stored),
    ("invented", invent),
    ("invented", misroute),
    ("accepted", resurrect),
    ("accepted", resurrect_elsewhere),
    ("duplicates", duplicate),
    ("competing", share),
    ("attempts", skip_an_attempt),
    ("attempts", forget_attempts),
    ("attempts", count_a_release),
    ("order", overtake),
    ("lanes", crowd),
    ("lanes", let_go_of_the_lane),
    ("strict", handle_an_orphan),
    ("fidelity", alter_the_body),
    ("fidelity", alter_the_key),
    ("fidelity", lose_headers),
    ("fidelity", alter_the_type_of_a_header),
    ("early", hurry),
    ("early", hurry_a_retry),
    ("expired", dawdle),
    ("expired", expire_in_silence),
    ("dead-letters", lose_a_dead_letter),
    ("dead-letters", double_a_dead_letter),
    ("dead-letters", alter_a_dead_letter),
    ("dead-letters", bury_the_living),
    ("dead-letters", raise_the_dead),
    ("stopped", begin_after_the_stop),
    ("left", leave_some),
)


@pytest.mark.parametrize(("rule", "mutate"), MUTANTS, ids=lambda each: getattr(each, "__name__", each))
def test_what_is_broken_in_a_random_history_is_found(rule: str, mutate: Callable[[Wound], None]) -> None:
    broken = 0
    for seed in range(60):
        wound = Wound.of(seed)
        try:
            mutate(wound)
        except Unbreakable:
            continue
        broken += 1
        report = wound.judge()
        assert rule in report.rules, f"seed {seed}: {report}"
    assert broken >= 5
