import asyncio
import logging
from typing import Any

import pytest

from msgkit import Backoff, Reject, Retry
from msgkit.deliveries import Counts, Lanes, Settling, Terms, current
from msgkit.envelope import Kind
from msgkit.errors import DeliveryLost, Poison, SendUnknown
from msgkit.settlement import ACCEPT, Settlement
from msgkit.spi import Dead, QueueSpec, RawDelivery, RawSettlement, Release, RetryCopy, Subscription
from msgkit.testing import VirtualClock
from tests.core.tiny import TinyConsumer, raw

POLICY = Backoff(3, first=10, factor=2, jitter=0)
JOBS = QueueSpec(name="jobs", dead_letters="jobs.dlq")


class Bench:
    """A consumer's deliveries, and how they end."""

    def __init__(self, queue: QueueSpec = JOBS, *, holds: bool = False, max_in_flight: int = 4) -> None:
        self.clock = VirtualClock()
        self.consumer = TinyConsumer(holds=holds)
        self.lanes = Lanes()
        self.counts = Counts()
        self.woken = 0
        terms = Terms(policy=POLICY, clock=self.clock, counts=self.counts)
        subscription = Subscription(queue=queue, max_in_flight=max_in_flight)
        self.settling = Settling(subscription, self.consumer, self.lanes, terms, on_ready=self._wake)

    def _wake(self) -> None:
        self.woken += 1

    def take(self, delivery: RawDelivery) -> RawDelivery:
        """Have a delivery come in, and begin it if it is ready."""
        self.settling.held.add(delivery)
        self.lanes.add(delivery)
        if self.lanes.ready and self.lanes.ready[-1] is delivery:
            self.lanes.ready.pop()
        return delivery

    def end(self, delivery: RawDelivery, outcome: Settlement | BaseException = ACCEPT) -> None:
        self.settling.carry_out(delivery, current(delivery), self.settling.decide(delivery, outcome))

    @property
    def last(self) -> RawSettlement:
        return self.consumer.settled[-1][1]

    def counted(self) -> dict[str, int]:
        return {name: count for name, count in self.counts.as_dict().items() if count}


async def turn() -> None:
    await asyncio.sleep(0)
    await asyncio.sleep(0)


# -- what is not handled at all


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [("follows", "m-1", "follows the dead letter m-1"), ("crashes", 10, "crash-loop"), ("crashes", 99, "crash-loop")],
)
async def test_what_must_not_be_handled_goes_to_the_dead_letters(field: str, value: object, reason: str) -> None:
    bench = Bench()
    delivery = bench.take(raw())
    setattr(delivery, field, value)
    assert not bench.settling.fit(delivery, current(delivery))
    assert isinstance(bench.last, Dead)
    assert bench.last.copy.headers["msgkit-dead-reason"] == reason
    assert bench.counted() == {"failed": 1, "dead": 1}


async def test_what_expired_is_dropped_and_counted() -> None:
    bench = Bench()
    delivery = bench.take(raw(expires_at=bench.clock.now()))
    assert not bench.settling.fit(delivery, current(delivery))
    assert (bench.last, bench.counted()) == (ACCEPT, {"expired": 1})


async def test_what_has_a_moment_left_and_killed_nine_is_handled() -> None:
    bench = Bench()
    delivery = bench.take(raw(expires_at=bench.clock.now() + 0.001))
    delivery.crashes = 9
    assert bench.settling.fit(delivery, current(delivery))
    assert bench.consumer.settled == []


# -- how it ends


async def test_what_is_accepted_is_settled_and_counted() -> None:
    bench = Bench()
    bench.end(bench.take(raw("a")))
    assert (bench.consumer.accepted, bench.counted()) == (["a"], {"handled": 1})
    assert bench.settling.held == set()


async def test_a_retry_is_a_copy_with_the_next_attempt_for_this_queue_alone() -> None:
    bench = Bench()
    said: dict[str, Any] = {"deliver_at": 5.0, "require_route": True, "headers": {"x": 1}, "key": "k", "priority": 3}
    delivery = bench.take(raw("a", attempt=2, destination="orders", kind=Kind.EXCHANGE, **said))
    bench.end(delivery, ValueError("no"))
    assert isinstance(bench.last, RetryCopy)
    copy = bench.last.copy
    assert (bench.last.after, copy.delay, copy.deliver_at, copy.require_route) == (20, 20, None, False)
    assert (copy.destination, copy.kind, copy.attempt) == ("jobs", Kind.QUEUE, 3)
    assert (copy.body, copy.headers, copy.key, copy.priority) == (b"a", {"x": 1}, "k", 3)
    assert copy.message_id == delivery.envelope.message_id
    assert bench.counted() == {"failed": 1, "retried": 1}


async def test_the_attempt_is_the_one_that_the_broker_counted() -> None:
    delivery = raw(attempt=1)
    delivery.attempt = 3
    assert current(delivery) == delivery.envelope._replace(attempt=3)
    bench = Bench()
    bench.end(bench.take(delivery), ValueError("no"))
    assert isinstance(bench.last, Dead)
    assert bench.last.copy.headers["msgkit-dead-attempts"] == 3


@pytest.mark.parametrize(
    ("outcome", "counted"),
    [
        (Reject("no"), {"failed": 1, "dead": 1}),
        (Poison("no"), {"failed": 1, "dead": 1, "poison": 1}),
    ],
    ids=repr,
)
async def test_what_is_given_up_goes_to_the_dead_letters(outcome: Any, counted: dict[str, int]) -> None:
    bench = Bench()
    bench.end(bench.take(raw("a")), outcome)
    assert isinstance(bench.last, Dead)
    assert (bench.last.copy.destination, bench.last.copy.body) == ("jobs.dlq", b"a")
    assert bench.counted() == counted


async def test_without_dead_letters_what_is_given_up_is_dropped_aloud(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(QueueSpec(name="jobs"))
    bench.end(bench.take(raw(message_id="m")), Reject("no"))
    assert (bench.last, bench.counted()) == (ACCEPT, {"failed": 1, "dropped": 1})
    (record,) = caplog.records
    assert (record.levelno, record.message) == (
        logging.ERROR,
        "message m on 'jobs', attempt 1, is dropped, there are no dead letters: no",
    )


@pytest.mark.parametrize("attempt", [3, 1000])
async def test_a_dead_letter_that_is_given_up_waits_for_another_try_for_ever(attempt: int) -> None:
    bench = Bench(QueueSpec(name="jobs.dlq", dead_letters_of="jobs"))
    bench.end(bench.take(raw(attempt=attempt)), Reject("no"))
    assert isinstance(bench.last, RetryCopy)
    assert bench.last.after == POLICY.limit
    assert bench.counted() == {"failed": 1, "retried": 1}


# -- what the broker answers


async def test_a_settlement_that_fails_is_made_again_with_growing_pauses_until_the_broker_has_it() -> None:
    bench = Bench()
    bench.consumer.answers.extend([SendUnknown("no")] * 8)
    start = bench.clock.now()
    bench.end(bench.take(raw("a")), Reject("no"))
    pauses: list[float] = []
    while len(bench.consumer.settled) < 9:
        await turn()
        assert bench.settling.trouble == "settling on 'jobs' fails: no"
        assert bench.settling.busy == 1
        due = bench.clock.next_due
        assert due is not None
        pauses.append(round(due - bench.clock.now(), 3))
        bench.clock.advance_to(due)
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    assert bench.clock.now() - start == pytest.approx(16.3)
    (first, *others) = [how for _, how in bench.consumer.settled]
    assert all(how is first for how in others)
    assert (bench.settling.trouble, bench.settling.busy) == (None, 0)
    assert bench.clock.next_due is None


async def test_whoever_waits_hears_when_the_broker_has_it() -> None:
    bench = Bench()
    bench.consumer.answers.append(SendUnknown("no"))
    answer = bench.consumer.answer_later()
    delivery = bench.take(raw())
    bench.end(delivery)
    waiting = asyncio.create_task(bench.settling.heard(delivery))
    await turn()
    bench.clock.advance_to(bench.clock.now() + 1)
    await turn()
    assert not waiting.done()
    answer.set_result(None)
    await waiting


async def test_whoever_waits_hears_that_it_was_too_late() -> None:
    bench = Bench()
    answer = bench.consumer.answer_later()
    delivery = bench.take(raw(message_id="m"))
    bench.end(delivery)
    waiting = asyncio.create_task(bench.settling.heard(delivery))
    await turn()
    answer.set_exception(DeliveryLost("no"))
    with pytest.raises(DeliveryLost) as caught:
        await waiting
    assert str(caught.value) == "message m was taken back before it was settled"
    assert bench.counted() == {"handled": 1, "lost": 1}
    assert bench.clock.next_due is None


async def test_what_is_lost_is_settled_no_more() -> None:
    bench = Bench()
    bench.consumer.answers.append(SendUnknown("no"))
    bench.end(bench.take(raw(scope=1)))
    await turn()
    bench.settling.lose(1)
    bench.clock.advance_to(bench.clock.now() + 1)
    await turn()
    assert len(bench.consumer.settled) == 1
    assert bench.settling.busy == 0


async def test_the_next_of_a_lane_need_not_wait_until_the_broker_has_heard_of_what_is_done() -> None:
    bench = Bench()
    answer = bench.consumer.answer_later()
    first = bench.take(raw("a1", lane="a"))
    bench.take(raw("a2", lane="a"))
    bench.end(first)
    assert [each.envelope.body for each in bench.lanes.ready] == [b"a2"]
    assert bench.woken == 1
    answer.set_result(None)
    await turn()
    assert len(bench.lanes.ready) == 1


async def test_the_next_of_a_lane_waits_until_the_broker_has_a_retry_or_a_dead_letter() -> None:
    for outcome in (ValueError("no"), Reject("no")):
        bench = Bench()
        answer = bench.consumer.answer_later()
        first = bench.take(raw("a1", lane="a"))
        bench.take(raw("a2", lane="a"))
        bench.end(first, outcome)
        await turn()
        assert list(bench.lanes.ready) == []
        answer.set_result(None)
        await turn()
        assert [each.envelope.body for each in bench.lanes.ready] == [b"a2"]


# -- credit


async def test_credit_is_given_back_by_the_quarter_and_what_is_left_when_asked() -> None:
    bench = Bench(max_in_flight=16)
    for _ in range(11):
        bench.end(bench.take(raw()))
    assert bench.consumer.credits == [4, 4]
    bench.settling.give_credit()
    bench.settling.give_credit()
    assert bench.consumer.credits == [4, 4, 3]


async def test_credit_comes_back_with_the_answer_and_for_what_is_lost() -> None:
    bench = Bench(max_in_flight=1)
    answer = bench.consumer.answer_later()
    bench.end(bench.take(raw()))
    assert bench.consumer.credits == []
    answer.set_result(None)
    await turn()
    lost = bench.take(raw())
    bench.settling.forget(lost, is_running=False, lane_is_free=True)
    assert bench.consumer.credits == [1, 1]


async def test_what_is_lost_while_its_handler_runs_keeps_its_credit_and_its_lane_until_that_has_ended() -> None:
    bench = Bench(max_in_flight=1)
    first = bench.take(raw("a1", lane="a"))
    bench.take(raw("a2", lane="a"))
    bench.settling.forget(first, is_running=True, lane_is_free=False)
    assert (bench.consumer.credits, list(bench.lanes.ready)) == ([], [])
    bench.settling.finished(first)
    bench.settling.finished(first)
    assert bench.consumer.credits == [1]
    assert [each.envelope.body for each in bench.lanes.ready] == [b"a2"]


# -- holding in place


ORDERED = QueueSpec(name="jobs", ordered=True, dead_letters="jobs.dlq")


async def test_where_the_core_holds_a_retry_keeps_the_delivery_and_its_lane() -> None:
    bench = Bench(ORDERED, holds=True)
    first = bench.take(raw("a1", lane="a"))
    bench.take(raw("a2", lane="a"))
    bench.end(first, ValueError("no"))
    assert bench.consumer.settled == []
    assert (first.attempt, bench.settling.holding, list(bench.lanes.ready)) == (2, 1, [])
    bench.clock.advance_to(bench.clock.now() + 10)
    assert (list(bench.lanes.ready), bench.woken, bench.settling.holding) == ([first], 1, 0)
    bench.lanes.ready.clear()
    bench.end(first)
    assert bench.consumer.accepted == ["a1"]
    assert [each.envelope.body for each in bench.lanes.ready] == [b"a2"]


async def test_after_the_last_attempt_in_place_comes_the_dead_letter() -> None:
    bench = Bench(ORDERED, holds=True)
    delivery = bench.take(raw("a", lane="a"))
    for _ in range(2):
        bench.end(delivery, ValueError("no"))
        bench.clock.advance_to(bench.clock.now() + 100)
    bench.end(delivery, ValueError("no"))
    assert isinstance(bench.last, Dead)
    assert bench.last.copy.headers["msgkit-dead-attempts"] == 3


@pytest.mark.parametrize("queue", [JOBS, ORDERED])
async def test_where_the_broker_holds_or_nobody_orders_a_retry_is_the_brokers(queue: QueueSpec) -> None:
    bench = Bench(queue, holds=not queue.ordered)
    bench.end(bench.take(raw("a", lane="a")), ValueError("no"))
    assert isinstance(bench.last, RetryCopy)


async def test_what_is_held_and_lost_does_not_come_again() -> None:
    bench = Bench(ORDERED, holds=True)
    delivery = bench.take(raw("a", lane="a"))
    bench.end(delivery, ValueError("no"))
    bench.settling.forget(delivery, is_running=False, lane_is_free=False)
    bench.clock.advance_to(bench.clock.now() + 100)
    assert (list(bench.lanes.ready), bench.settling.holding) == ([], 0)


# -- leaving


async def test_a_release_is_no_failure() -> None:
    bench = Bench()
    delivery = bench.take(raw())
    bench.settling.release(delivery)
    assert (bench.last, bench.counted(), bench.settling.held) == (Release(), {}, set())


async def test_leaving_waits_until_nothing_of_a_scope_is_here() -> None:
    bench = Bench()
    answer = bench.consumer.answer_later()
    first, other = bench.take(raw(scope=1)), bench.take(raw(scope=2))
    leaving = asyncio.create_task(bench.settling.left(1))
    await turn()
    bench.end(first)
    await turn()
    assert not leaving.done()
    answer.set_result(None)
    await leaving
    assert bench.settling.held == {other}


async def test_after_a_stop_nothing_is_settled_nothing_comes_again_and_no_credit_is_given() -> None:
    bench = Bench(ORDERED, holds=True, max_in_flight=1)
    bench.consumer.answers.append(SendUnknown("no"))
    bench.end(bench.take(raw("a", lane="a")), Reject("no"))
    await turn()
    bench.end(bench.take(raw("b", lane="b")), Retry())
    bench.settling.stop()
    bench.clock.advance_to(bench.clock.now() + 1000)
    await turn()
    bench.settling.give_credit()
    assert len(bench.consumer.settled) == 1
    assert (bench.consumer.credits, list(bench.lanes.ready), bench.settling.held) == ([], [], set())
    await bench.settling.settled()
