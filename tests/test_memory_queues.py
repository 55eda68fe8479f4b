import asyncio

import pytest

from msgkit.envelope import Kind
from msgkit.errors import DeliveryLost, Unroutable
from msgkit.settlement import ACCEPT
from msgkit.spi import Dead, Depth, ExchangeSpec, QueueSpec, Release, RetryCopy, RouteSpec
from tests.memory_client import Bench, message, turns

JOBS = QueueSpec(name="jobs")
ORDERED = QueueSpec(name="jobs", ordered=True)
GRAVE = QueueSpec(name="jobs.dlq", dead_letters_of="jobs")
STRICT = QueueSpec(name="jobs", ordered="strict", dead_letters="jobs.dlq")


async def test_nothing_comes_before_there_is_credit_and_no_more_than_there_is() -> None:
    async with Bench.open() as bench:
        await bench.declare(JOBS)
        sink = await bench.consume(JOBS, credit=0)
        for number in range(5):
            await bench.send(str(number))
        await turns()
        assert sink.got == []
        sink.consumer.credit(3)
        await turns()
        assert sink.bodies == ["0", "1", "2"]
        assert await bench.depth(JOBS) == Depth(ready=2, unsettled=3)


async def test_a_burst_is_delivered_in_one_call() -> None:
    async with Bench.open() as bench:
        await bench.declare(JOBS)
        sink = await bench.consume(JOBS)
        await asyncio.gather(*[bench.binding.send(message(str(n))) for n in range(50)])
        await sink.has(50)
        assert sink.batches == [50]


async def test_two_consumers_share_by_turns_while_both_have_credit() -> None:
    async with Bench.open() as one, Bench.open(one.url) as two:
        await one.declare(JOBS)
        first = await one.consume(JOBS, credit=2)
        second = await two.consume(JOBS, credit=10)
        for number in range(8):
            await one.send(str(number))
        await second.has(6)
        assert first.bodies == ["0", "2"]
        assert second.bodies == ["1", "3", "4", "5", "6", "7"]


async def test_what_is_accepted_is_gone() -> None:
    async with Bench.open() as bench:
        await bench.declare(JOBS)
        sink = await bench.consume(JOBS)
        await bench.send()
        sink.settle(await sink.take())
        assert await bench.depth(JOBS) == Depth(ready=0, unsettled=0)


async def test_a_delivery_ends_once() -> None:
    async with Bench.open() as bench:
        await bench.declare(JOBS)
        sink = await bench.consume(JOBS)
        await bench.send()
        delivery = await sink.take()
        sink.settle(delivery)
        late = sink.consumer.settle(delivery, ACCEPT)
        assert late is not None
        with pytest.raises(DeliveryLost):
            await late


async def test_what_is_released_comes_again_at_its_old_place_and_uncounted() -> None:
    async with Bench.open() as bench:
        await bench.declare(JOBS)
        sink = await bench.consume(JOBS, credit=3)
        for number in range(5):
            await bench.send(str(number))
        taken = await sink.has(3)
        sink.settle(taken[1], Release())
        sink.settle(taken[0], Release())
        sink.settle(taken[2])
        sink.got.clear()
        sink.consumer.credit(4)
        again = await sink.has(4)
        assert sink.bodies == ["0", "1", "3", "4"]
        assert {(each.attempt, each.crashes) for each in again} == {(1, 0)}


async def test_a_clean_close_gives_back_in_order_and_counts_nothing() -> None:
    async with Bench.open() as bench:
        await bench.declare(JOBS)
        sink = await bench.consume(JOBS)
        for number in range(10):
            await bench.send(str(number))
        await sink.has(10)
        for place in (1, 4, 7):
            sink.settle(sink.got[place])
        await sink.consumer.close()
        other = await bench.consume(JOBS)
        await other.has(7)
        assert other.bodies == ["0", "2", "3", "5", "6", "8", "9"]
        assert {(each.attempt, each.crashes) for each in other.got} == {(1, 0)}


async def test_a_drained_consumer_gets_nothing_more_and_still_settles() -> None:
    async with Bench.open() as bench:
        await bench.declare(JOBS)
        sink = await bench.consume(JOBS, credit=1)
        await bench.send("a")
        await bench.send("b")
        delivery = await sink.take()
        sink.consumer.credit(5)
        # The second was handed out just now, and the consumer has not seen it.
        await sink.consumer.drain()
        await bench.send("c")
        await turns()
        assert sink.got == []
        sink.settle(delivery)
        assert await bench.depth(JOBS) == Depth(ready=2, unsettled=0)


async def test_what_a_closed_consumer_had_goes_to_another_at_once() -> None:
    async with Bench.open() as one, Bench.open(one.url) as two:
        await one.declare(JOBS)
        leaving = await one.consume(JOBS)
        for number in range(3):
            await one.send(str(number))
        await leaving.has(3)
        staying = await two.consume(JOBS)
        await leaving.consumer.close()
        await staying.has(3)
        assert staying.bodies == ["0", "1", "2"]


async def test_bodies_beyond_the_limit_wait_but_one_always_comes() -> None:
    async with Bench.open() as bench:
        await bench.declare(JOBS)
        sink = await bench.consume(JOBS, max_bytes=10)
        for body in ("x" * 50, "y" * 6, "z" * 6, "last"):
            await bench.send(body)
        await turns()
        assert sink.bodies == ["x" * 50]
        sink.settle(sink.got.pop())
        await turns()
        assert sink.bodies == ["y" * 6, "z" * 6]
        sink.settle(sink.got.pop())
        await turns()
        assert sink.bodies == ["y" * 6, "last"]


async def test_urgent_messages_come_first_and_equals_in_order() -> None:
    spec = QueueSpec(name="jobs", priorities=3)
    async with Bench.open() as bench:
        await bench.declare(spec)
        for body, priority in (("a", None), ("b", 1), ("c", 3), ("d", 9), ("e", 1), ("f", -1)):
            await bench.send(body, priority=priority)
        sink = await bench.consume(spec, settle=ACCEPT, credit=1)
        await sink.has(6)
        assert sink.bodies == ["c", "d", "b", "e", "a", "f"]


# -- failures


async def test_a_retry_comes_behind_the_others_with_one_more_attempt() -> None:
    async with Bench.open() as bench:
        await bench.declare(JOBS)
        sink = await bench.consume(JOBS, credit=1)
        for body in "abc":
            await bench.send(body)
        first = await sink.take()
        sink.settle(first, RetryCopy(0.0, first.envelope))
        sink.consumer.credit(3)
        await sink.has(3)
        assert sink.bodies == ["b", "c", "a"]
        assert [each.attempt for each in sink.got] == [1, 1, 2]
        assert sink.got[2].envelope == first.envelope._replace(attempt=2)


async def test_a_retry_reaches_only_the_queue_that_failed() -> None:
    async with Bench.open() as bench:
        route = RouteSpec(exchange="news")
        specs = [QueueSpec(name=name, routes=(route,)) for name in ("one", "two")]
        await bench.declare(*specs)
        failing, fine = [await bench.consume(spec) for spec in specs]
        await bench.send("x", "news", kind=Kind.EXCHANGE)
        delivery = await failing.take()
        failing.settle(delivery, RetryCopy(0.0, delivery.envelope))
        assert (await failing.take()).attempt == 2
        await turns()
        assert fine.bodies == ["x"]


async def test_a_dead_letter_is_stored_when_its_original_goes() -> None:
    async with Bench.open() as bench:
        await bench.declare(JOBS, GRAVE)
        sink = await bench.consume(JOBS)
        await bench.send("x")
        delivery = await sink.take()
        sink.settle(delivery, Dead(message("x", "jobs.dlq")))
        assert await bench.depth(JOBS) == Depth(ready=0, unsettled=0)
        assert await bench.depth(GRAVE) == Depth(ready=1, unsettled=0)


async def test_a_dead_letter_that_nobody_takes_leaves_its_original_unsettled() -> None:
    async with Bench.open() as bench:
        await bench.declare(JOBS)
        sink = await bench.consume(JOBS)
        await bench.send("x")
        delivery = await sink.take()
        failed = sink.consumer.settle(delivery, Dead(message("x", "jobs.dlq")))
        assert failed is not None
        with pytest.raises(Unroutable, match="does not exist"):
            await failed
        assert await bench.depth(JOBS) == Depth(ready=0, unsettled=1)
        sink.settle(delivery)


# -- order


async def test_one_message_of_a_key_is_in_flight_and_other_keys_go_on() -> None:
    async with Bench.open() as one, Bench.open(one.url) as two:
        await one.declare(ORDERED)
        first, second = await one.consume(ORDERED), await two.consume(ORDERED)
        for body, key in (("a1", "a"), ("a2", "a"), ("b1", "b"), ("-", None), ("--", None)):
            await one.send(body, key=key)
        await turns()
        assert sorted(first.bodies + second.bodies) == ["-", "--", "a1", "b1"]
        holder = first if "a1" in first.bodies else second
        holder.settle(holder.got[holder.bodies.index("a1")])
        await turns()
        assert "a2" in first.bodies + second.bodies


async def test_a_lanes_next_message_comes_before_younger_ones_of_other_lanes() -> None:
    async with Bench.open() as bench:
        await bench.declare(ORDERED)
        for body in ("a1", "a2", "b1", "b2", "c1"):
            await bench.send(body, key=body[0])
        sink = await bench.consume(ORDERED, credit=1, settle=ACCEPT)
        await sink.has(5)
        assert sink.bodies == ["a1", "a2", "b1", "b2", "c1"]


async def test_a_retry_holds_its_lane_and_no_other() -> None:
    async with Bench.open() as bench:
        await bench.declare(ORDERED)
        sink = await bench.consume(ORDERED)
        for body, key in (("a1", "a"), ("a2", "a"), ("b1", "b"), ("b2", "b")):
            await bench.send(body, key=key)
        a1, b1 = await sink.has(2)
        sink.got.clear()
        sink.settle(a1, RetryCopy(0.05, a1.envelope))
        sink.settle(b1)
        await sink.has(1)
        assert sink.bodies == ["b2"]
        # What is held up is not ready: nothing can be done about it now.
        assert await bench.depth(ORDERED) == Depth(ready=0, unsettled=1, delayed=2)
        a1 = (await sink.has(2))[1]
        assert (a1.envelope.body, a1.attempt) == (b"a1", 2)
        sink.settle(a1)
        await sink.has(3)
        assert sink.bodies == ["b2", "a1", "a2"]


async def test_what_is_released_in_an_ordered_queue_stays_its_lanes_first() -> None:
    async with Bench.open() as bench:
        await bench.declare(ORDERED)
        leaving = await bench.consume(ORDERED)
        for body in ("a1", "a2", "a3"):
            await bench.send(body, key="a")
        await leaving.has(1)
        await leaving.consumer.close()
        sink = await bench.consume(ORDERED, settle=ACCEPT)
        await sink.has(3)
        assert sink.bodies == ["a1", "a2", "a3"]


async def test_in_a_strict_queue_successors_follow_a_dead_letter_until_it_is_gone() -> None:
    async with Bench.open() as bench:
        await bench.declare(STRICT, GRAVE)
        sink, grave = await bench.consume(STRICT), await bench.consume(GRAVE)
        for body, key in (("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b")):
            await bench.send(body, key=key)
        a1, b1 = await sink.has(2)
        assert (a1.follows, b1.follows) == (None, None)
        sink.settle(a1, Dead(a1.envelope._replace(destination="jobs.dlq", kind=Kind.QUEUE)))
        a2 = (await sink.has(3))[2]
        assert a2.follows == a1.envelope.message_id
        sink.settle(a2, Dead(a2.envelope._replace(destination="jobs.dlq", kind=Kind.QUEUE)))
        a3 = (await sink.has(4))[3]
        assert a3.follows == a1.envelope.message_id
        first, second = await grave.has(2)
        grave.settle(first)
        sink.settle(a3, Release())
        assert (await sink.has(5))[4].follows == a2.envelope.message_id
        grave.settle(second)
        sink.settle(sink.got[4], Release())
        assert (await sink.has(6))[5].follows is None


async def test_a_dead_letter_that_is_sent_back_follows_not_itself() -> None:
    async with Bench.open() as bench:
        await bench.declare(STRICT, GRAVE)
        sink, grave = await bench.consume(STRICT), await bench.consume(GRAVE)
        await bench.send("a1", key="a")
        a1 = await sink.take()
        sink.settle(a1, Dead(a1.envelope._replace(destination="jobs.dlq", kind=Kind.QUEUE)))
        letter = await grave.take()
        await bench.binding.send(letter.envelope._replace(destination="jobs"))
        assert (await sink.take()).follows is None


async def test_a_dead_letter_goes_on_holding_when_it_is_released_or_retried() -> None:
    async with Bench.open() as bench:
        await bench.declare(STRICT, GRAVE)
        sink, grave = await bench.consume(STRICT, credit=1), await bench.consume(GRAVE)
        await bench.send("a1", key="a")
        a1 = await sink.take()
        sink.settle(a1, Dead(a1.envelope._replace(destination="jobs.dlq", kind=Kind.QUEUE)))
        grave.settle(await grave.take(), Release())
        letter = await grave.take()
        grave.settle(letter, RetryCopy(0.0, letter.envelope))
        letter = await grave.take()
        await bench.send("a2", key="a")
        sink.consumer.credit(1)
        a2 = await sink.take()
        assert a2.follows == a1.envelope.message_id
        assert await bench.binding.purge(GRAVE) == 0
        grave.settle(letter)
        sink.settle(a2, Release())
        sink.consumer.credit(1)
        assert (await sink.take()).follows is None


# -- routing


async def test_a_queue_gets_one_copy_of_what_its_routes_match() -> None:
    orders = [RouteSpec(exchange="orders", subject=s) for s in ("placed.*", "#")]
    billing = QueueSpec(name="billing", routes=(orders[0],))
    audit = QueueSpec(name="audit", routes=tuple(orders))
    async with Bench.open() as bench:
        await bench.declare(billing, audit)
        for subject in ("placed.eu", "cancelled.eu", "placed.eu.de", None):
            await bench.send(subject or "-", "orders", kind=Kind.EXCHANGE, subject=subject)
        assert (await bench.depth(billing)).ready == 1
        assert (await bench.depth(audit)).ready == 4


async def test_direct_fanout_and_headers_exchanges_route_by_their_kind() -> None:
    direct = RouteSpec(exchange="d", kind="direct", subject="a")
    fanout = RouteSpec(exchange="f", kind="fanout")
    headers = RouteSpec(exchange="h", kind="headers", headers={"eu": True, "n": 1})
    specs = [QueueSpec(name=r.exchange, routes=(r,)) for r in (direct, fanout, headers)]
    async with Bench.open() as bench:
        await bench.declare(*specs)
        for exchange, more in (
            ("d", {"subject": "a"}),
            ("d", {"subject": "a.b"}),
            ("f", {"subject": "any"}),
            ("h", {"headers": {"eu": True, "n": 1, "more": "x"}}),
            ("h", {"headers": {"eu": 1, "n": 1}}),
            ("h", {"headers": {"eu": True, "n": 1.0}}),
            ("h", {"headers": {"eu": True}}),
        ):
            await bench.send("", exchange, kind=Kind.EXCHANGE, **more)
        depths = bench.broker.depths()
        assert {name: depth.ready for name, depth in depths.items()} == {"d": 1, "f": 1, "h": 1}


async def test_a_new_route_is_followed_by_the_next_message() -> None:
    async with Bench.open() as bench:
        await bench.declare(ExchangeSpec(name="orders"))
        await bench.send("early", "orders", kind=Kind.EXCHANGE, subject="a")
        late = QueueSpec(name="late", routes=(RouteSpec(exchange="orders"),))
        await bench.declare(late)
        await bench.send("now", "orders", kind=Kind.EXCHANGE, subject="a")
        sink = await bench.consume(late)
        await sink.has(1)
        await turns()
        assert sink.bodies == ["now"]


async def test_a_million_subjects_do_not_fill_the_memory() -> None:
    async with Bench.open() as bench:
        spec = QueueSpec(name="all", routes=(RouteSpec(exchange="orders"),))
        await bench.declare(spec)
        await bench.consume(spec, settle=ACCEPT)
        for number in range(3000):
            await bench.send("", "orders", kind=Kind.EXCHANGE, subject=f"placed.{number}")
        assert len(bench.broker.content.exchanges["orders"].found) <= 1024


async def test_a_sender_that_awaits_each_confirm_starves_nobody() -> None:
    async with Bench.open() as bench:
        await bench.declare(JOBS)
        sink = await bench.consume(JOBS, settle=ACCEPT)
        most = 0
        for number in range(2000):
            await bench.send()
            most = max(most, number + 1 - len(sink.got))
        assert most <= 128
        async with asyncio.timeout(5):
            await sink.has(2000)
