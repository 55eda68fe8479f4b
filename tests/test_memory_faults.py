import asyncio

import pytest

from msgkit.envelope import Kind
from msgkit.errors import BrokerUnavailable, DeliveryLost, SendRefused, SendUnknown
from msgkit.settlement import ACCEPT
from msgkit.spi import Dead, Depth, Down, Gap, QueueSpec, RawDelivery, Release, RetryCopy, RouteSpec, Up
from msgkit.testing.clock import VirtualClock
from tests.memory_client import Bench, Collector, message, pass_time, turns, until

JOBS = QueueSpec(name="jobs")
ORDERED = QueueSpec(name="jobs", ordered=True)
GRAVE = QueueSpec(name="jobs.dlq", dead_letters_of="jobs")


async def test_a_cut_connection_comes_back_by_itself_and_says_so() -> None:
    async with Bench.open() as bench:
        await bench.declare(JOBS)
        sink = await bench.consume(JOBS)
        assert bench.broker.faults.disconnect() == 1
        await until(lambda: len(bench.events) == 2)
        assert bench.events == [Down("the connection was cut"), Up()]
        assert sink.events == bench.events
        assert sink.lost_scopes == []


async def test_what_was_unsettled_at_a_cut_is_lost_and_comes_again_with_a_crash_counted() -> None:
    async with Bench.open() as bench:
        await bench.declare(JOBS)
        sink = await bench.consume(JOBS, credit=2)
        for body in "abcd":
            await bench.send(body)
        a, b = await sink.has(2)
        bench.broker.faults.disconnect()
        late = sink.consumer.settle(a, ACCEPT)
        assert late is not None
        with pytest.raises(DeliveryLost):
            await late
        await until(lambda: bool(sink.lost_scopes))
        assert sink.lost_scopes == [a.scope] == [b.scope]
        await until(lambda: Up() in bench.events)
        await turns()
        assert sink.bodies == ["a", "b"]
        # The credit of what was lost is the core's again.
        sink.consumer.credit(4)
        again = (await sink.has(6))[2:]
        assert sink.bodies[2:] == ["a", "b", "c", "d"]
        assert [each.crashes for each in again] == [1, 1, 0, 0]
        assert {each.attempt for each in again} == {1}
        assert a.scope not in {each.scope for each in again}


async def test_credit_that_nothing_has_used_survives_a_cut() -> None:
    async with Bench.open() as bench:
        await bench.declare(JOBS)
        sink = await bench.consume(JOBS, credit=3)
        await bench.send("a")
        await sink.has(1)
        bench.broker.faults.disconnect()
        await until(lambda: Up() in bench.events)
        for body in "bcd":
            await bench.send(body)
        await sink.has(3)
        await turns()
        assert sink.bodies == ["a", "a", "b"]


async def test_what_a_consumer_has_not_seen_is_given_back_uncounted_with_its_credit() -> None:
    async with Bench.open() as bench:
        await bench.declare(JOBS)
        sink = await bench.consume(JOBS, credit=1)
        await bench.send("a")
        # Handed out, but not delivered: no turn of the loop has passed.
        bench.broker.faults.disconnect()
        assert (await sink.take()).crashes == 0
        assert sink.lost_scopes == []


async def test_a_retry_under_way_survives_a_cut() -> None:
    async with Bench.open() as bench:
        await bench.declare(ORDERED)
        sink = await bench.consume(ORDERED)
        await bench.send("a1", key="a")
        await bench.send("a2", key="a")
        a1 = await sink.take()
        sink.settle(a1, RetryCopy(0.05, a1.envelope))
        bench.broker.faults.disconnect()
        again = await sink.take()
        assert (again.envelope.body, again.attempt, again.crashes) == (b"a1", 2, 0)
        sink.settle(again)
        assert (await sink.take()).envelope.body == b"a2"


async def test_the_order_of_a_key_survives_cuts() -> None:
    async with Bench.open() as one, Bench.open(one.url) as two:
        await one.declare(ORDERED)
        sinks = [await one.consume(ORDERED), await two.consume(ORDERED)]
        for number in range(40):
            await one.send(str(number), key="a")
        done: list[int] = []
        while len(done) < 40:
            await until(lambda: any(sink.got for sink in sinks))
            for sink in sinks:
                while sink.got:
                    delivery = sink.got.pop(0)
                    if sink.consumer.settle(delivery, ACCEPT) is None:
                        done.append(int(delivery.envelope.body))
                        sink.consumer.credit(1)
            if len(done) % 10 == 3:
                one.broker.faults.disconnect()
        assert done == list(range(40))


async def test_a_stopped_broker_keeps_its_content_and_counts_no_crash() -> None:
    async with Bench.open() as bench:
        await bench.declare(JOBS)
        sink = await bench.consume(JOBS)
        await bench.send("a")
        await bench.send("b", delay=0.05)
        await sink.has(1)
        bench.broker.faults.stop()
        await until(lambda: bool(sink.lost_scopes))
        bench.broker.faults.start()
        await sink.has(3)
        assert sink.bodies == ["a", "a", "b"]
        assert [each.crashes for each in sink.got] == [0, 0, 0]


async def test_a_killed_broker_keeps_its_content_and_counts_crashes() -> None:
    async with Bench.open() as bench:
        await bench.declare(JOBS)
        sink = await bench.consume(JOBS)
        await bench.send("a")
        await sink.take()
        bench.broker.faults.kill()
        bench.broker.faults.start()
        assert (await sink.take()).crashes == 1


async def test_a_client_that_vanished_never_comes_back_and_others_get_what_it_had() -> None:
    async with Bench.open() as one, Bench.open(one.url, client="doomed") as two:
        await one.declare(JOBS)
        doomed = await two.consume(JOBS)
        await one.send("a")
        await doomed.has(1)
        assert one.broker.faults.vanish("doomed") == 1
        sink = await one.consume(JOBS)
        assert (await sink.take()).crashes == 1
        await until(lambda: len(doomed.lost_scopes) == 1)
        sent = two.binding.send(message("never"))
        await asyncio.sleep(0.1)
        assert not sent.done()
        assert two.binding.abandon(sent)


@pytest.mark.parametrize("stored", [True, False])
async def test_a_connection_lost_during_the_confirm_leaves_the_sender_in_the_dark(
    stored: bool,  # noqa: FBT001 -- a parameter of the test
) -> None:
    async with Bench.open() as bench:
        await bench.declare(JOBS)
        bench.broker.faults.lose_confirms(2, stored=stored)
        unknown = bench.binding.send(message("unknown"))
        waiting = bench.binding.send(message("unknown too"))
        for sent in (unknown, waiting):
            with pytest.raises(SendUnknown):
                await sent
        await bench.send("known")
        sink = await bench.consume(JOBS)
        await turns()
        assert sink.bodies == (["unknown", "unknown too", "known"] if stored else ["known"])
        assert [type(event) for event in bench.events] == [Down, Up, Down, Up]


async def test_revoked_deliveries_can_be_finished_and_the_rest_goes_to_others() -> None:
    async with Bench.open() as one, Bench.open(one.url) as two:
        await one.declare(JOBS)
        slow = await one.consume(JOBS)
        for body in "ab":
            await one.send(body)
        a, b = await slow.has(2)
        revoking = asyncio.ensure_future(one.broker.faults.revoke(5.0, "jobs"))
        await until(lambda: bool(slow.revoked))
        other = await two.consume(JOBS)
        await one.send("meanwhile")
        await one.send("meanwhile too")
        await other.has(2)
        assert slow.revoked == [(a.scope, 5.0)]
        assert slow.consumer.settle(a, ACCEPT) is None
        slow.finish_revoked.set()
        await revoking
        again = (await other.has(3))[2]
        assert (again.envelope.body, again.crashes) == (b"b", 0)
        late = slow.consumer.settle(b, ACCEPT)
        assert late is not None
        with pytest.raises(DeliveryLost):
            await late
        await until(lambda: slow.lost_scopes == [a.scope])
        # Having given it all back, it takes part again.
        await one.send("after")
        await one.send("after too")
        await slow.has(3)


async def test_a_revocation_ends_at_its_deadline() -> None:
    clock = VirtualClock()
    async with Bench.open(clock=clock) as one, Bench.open(one.url, clock=clock) as two:
        await one.declare(JOBS)
        stuck = await one.consume(JOBS, credit=1)
        await one.send("a")
        await stuck.has(1)
        other = await two.consume(JOBS)
        revoking = asyncio.ensure_future(one.broker.faults.revoke(3.0, "jobs"))
        other.finish_revoked.set()
        await pass_time(clock, 2.9)
        assert other.got == []
        await pass_time(clock, 0.1)
        assert other.bodies == ["a"]
        await revoking


async def test_expired_leases_are_others_and_count() -> None:
    async with Bench.open() as one, Bench.open(one.url) as two:
        await one.declare(JOBS)
        stuck = await one.consume(JOBS, credit=1)
        await one.send("a")
        a = await stuck.take()
        other = await two.consume(JOBS)
        assert one.broker.faults.expire("jobs") == 1
        assert (await other.take()).crashes == 1
        await until(lambda: stuck.lost_scopes == [a.scope])
        late = stuck.consumer.settle(a, Release())
        assert late is not None
        with pytest.raises(DeliveryLost):
            await late
        assert one.events == []


async def test_a_slow_broker_answers_late_and_in_order() -> None:
    clock = VirtualClock()
    async with Bench.open(clock=clock) as bench:
        await bench.declare(JOBS)
        bench.broker.faults.slow(2.0)
        sent = [bench.binding.send(message(str(number))) for number in range(3)]
        await pass_time(clock, 1.9)
        assert not any(future.done() for future in sent)
        await pass_time(clock, 0.1)
        assert all(future.done() for future in sent)
        bench.broker.faults.slow(0)
        await bench.send("fast")
        assert (await bench.depth(JOBS)).ready == 4


async def test_a_slow_answer_to_a_settlement_is_waited_for_at_close() -> None:
    async with Bench.open() as bench:
        await bench.declare(JOBS)
        sink = await bench.consume(JOBS)
        await bench.send()
        delivery = await sink.take()
        bench.broker.faults.slow(0.03)
        settled = sink.consumer.settle(delivery, ACCEPT)
        assert settled is not None
        await sink.consumer.close()
        assert settled.done()
        bench.broker.faults.heal()


async def test_a_settlement_to_a_paused_broker_is_done_when_it_goes_on() -> None:
    async with Bench.open() as bench:
        await bench.declare(JOBS)
        sink = await bench.consume(JOBS)
        await bench.send()
        delivery = await sink.take()
        bench.broker.faults.pause()
        settled = sink.consumer.settle(delivery, ACCEPT)
        assert settled is not None
        await turns()
        assert not settled.done()
        bench.broker.faults.resume()
        await settled
        assert await bench.depth(JOBS) == Depth(ready=0, unsettled=0)


async def test_a_settlement_under_way_is_lost_with_the_connection() -> None:
    async with Bench.open() as bench:
        await bench.declare(JOBS)
        sink = await bench.consume(JOBS)
        await bench.send()
        delivery = await sink.take()
        bench.broker.faults.pause()
        settled = sink.consumer.settle(delivery, ACCEPT)
        assert settled is not None
        bench.broker.faults.disconnect()
        with pytest.raises(DeliveryLost):
            await settled
        bench.broker.faults.resume()


async def test_a_settlement_that_fails_leaves_the_delivery_as_it_was() -> None:
    async with Bench.open() as bench:
        await bench.declare(JOBS)
        sink = await bench.consume(JOBS)
        await bench.send()
        delivery = await sink.take()
        bench.broker.faults.fail_settlements(2)
        for how in (ACCEPT, Release()):
            failed = sink.consumer.settle(delivery, how)
            assert failed is not None
            with pytest.raises(BrokerUnavailable):
                await failed
        assert (await bench.depth(JOBS)).unsettled == 1
        await turns()
        sink.settle(delivery)


async def test_a_refused_dead_letter_leaves_its_original_where_it_was() -> None:
    async with Bench.open() as bench:
        await bench.declare(JOBS, GRAVE)
        sink = await bench.consume(JOBS)
        await bench.send()
        delivery = await sink.take()
        bench.broker.faults.refuse(destination="jobs.dlq")
        dead = Dead(message("x", "jobs.dlq"))
        failed = sink.consumer.settle(delivery, dead)
        assert failed is not None
        with pytest.raises(SendRefused):
            await failed
        assert (await bench.depth(JOBS)).unsettled == 1
        assert (await bench.depth(GRAVE)).ready == 0
        bench.broker.faults.heal()
        await turns()
        sink.settle(delivery, dead)
        assert (await bench.depth(GRAVE)).ready == 1


async def test_a_client_kept_away_too_long_hears_of_the_gap() -> None:
    copy = QueueSpec(name="news.1", routes=(RouteSpec(exchange="news"),), anonymous=True)
    async with Bench.open() as bench:
        await bench.declare(copy)
        sink = await bench.consume(copy)
        bench.broker.faults.outstay("news.1")
        await until(lambda: Up() in bench.events)
        assert isinstance(bench.events[1], Gap)
        await bench.send("x", "news", kind=Kind.EXCHANGE)
        await sink.has(1)


class Worker:
    """A consumer that does what the core does: settles, and gives credit back for what was lost."""

    def __init__(self, sink: Collector) -> None:
        self.sink = sink
        self.done: list[str] = []
        self.settling: set[RawDelivery] = set()

    def step(self) -> None:
        for scope in self.sink.lost_scopes:
            lost = [each for each in self.sink.got if each.scope == scope]
            self.sink.got = [each for each in self.sink.got if each.scope != scope]
            self.sink.consumer.credit(len(lost))
        self.sink.lost_scopes.clear()
        for delivery in self.sink.got[:3]:
            if delivery not in self.settling:
                self.settle(delivery)

    def settle(self, delivery: RawDelivery) -> None:
        self.settling.add(delivery)
        settled = self.sink.consumer.settle(delivery, ACCEPT)
        if settled is None:
            self.settled(delivery)
        else:
            settled.add_done_callback(lambda future: self.answered(delivery, future))

    def answered(self, delivery: RawDelivery, future: "asyncio.Future[None]") -> None:
        if future.exception() is None:
            self.settled(delivery)

    def settled(self, delivery: RawDelivery) -> None:
        self.done.append(delivery.envelope.body.decode())
        self.sink.got.remove(delivery)
        self.sink.consumer.credit(1)


async def test_faults_come_and_go_and_everything_is_handled_once_and_in_order() -> None:
    async with Bench.open() as one, Bench.open(one.url) as two:
        await one.declare(ORDERED)
        faults = one.broker.faults
        done: list[str] = []
        workers = [Worker(await bench.consume(ORDERED)) for bench in (one, two)]
        for worker in workers:
            worker.done = done
        sent = [one.binding.send(message(str(n), key=str(n % 7))) for n in range(300)]
        hurts = (faults.disconnect, faults.expire, faults.pause, faults.resume, faults.kill)
        step = 0
        async with asyncio.timeout(20):
            while len(done) < 300:
                step += 1
                if step % 20 == 0:
                    hurts[step // 20 % len(hurts)]()
                if step % 100 == 90:
                    faults.heal()
                    await asyncio.sleep(0.05)
                for worker in workers:
                    worker.step()
                await asyncio.sleep(0)
        faults.heal()
        await asyncio.gather(*sent)
        for key in range(7):
            of_key = [int(body) for body in done if int(body) % 7 == key]
            assert of_key == list(range(key, 300, 7))
