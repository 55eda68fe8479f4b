import asyncio
import gc
from collections.abc import Sequence
from contextvars import ContextVar

import pytest

from msgkit.envelope import Kind, Receipt
from msgkit.errors import BrokerUnavailable, Closed, SendRefused, SendUnknown, Unroutable
from msgkit.settlement import ACCEPT
from msgkit.spi import Down, ExchangeSpec, QueueSpec, RawDelivery, Up
from tests.memory_client import Bench, Collector, message, turns, until

JOBS = QueueSpec(name="jobs")


async def test_a_receipt_says_what_was_stored_and_where() -> None:
    async with Bench.open() as bench:
        await bench.declare(JOBS)
        receipt = await bench.binding.send(message(message_id="m1"))
        assert receipt == Receipt("m1", "jobs", "default")


@pytest.mark.parametrize("kind", [Kind.QUEUE, Kind.EXCHANGE])
async def test_a_destination_that_does_not_exist_is_refused_and_harms_no_other(kind: Kind) -> None:
    async with Bench.open() as bench:
        await bench.declare(JOBS)
        wrong = bench.binding.send(message("x", "jbos", kind=kind))
        await bench.send("right")
        with pytest.raises(Unroutable, match=f"{kind.value} 'jbos' does not exist; sending declares nothing"):
            await wrong
        assert sorted(bench.broker.depths()) == ["jobs"]


async def test_sending_to_an_exchange_that_nobody_listens_to_succeeds_unless_a_route_is_required() -> None:
    async with Bench.open() as bench:
        await bench.declare(ExchangeSpec(name="news"))
        await bench.send("x", "news", kind=Kind.EXCHANGE)
        with pytest.raises(Unroutable, match=r"no queue takes what is sent to 'news' about 'a\.b'"):
            await bench.send("x", "news", kind=Kind.EXCHANGE, subject="a.b", require_route=True)


async def test_a_failed_send_leaves_no_cycle_behind() -> None:
    async with Bench.open() as bench:
        await bench.declare(JOBS)
        for _ in range(3):
            with pytest.raises(Unroutable):
                await bench.send("x", "nowhere")
        gc.collect()
        failed = bench.binding.send(message("x", "nowhere"))
        error = failed.exception()
        assert error is not None
        assert error.__traceback__ is None
        # The same by the way that is taken while faults are about.
        bench.broker.faults.refuse(1)
        error = bench.binding.send(message()).exception()
        assert error is not None
        assert error.__traceback__ is None


async def test_what_is_sent_while_disconnected_waits_in_order_and_is_stored_once_back() -> None:
    async with Bench.open() as bench:
        await bench.declare(JOBS)
        bench.broker.faults.stop()
        sent = [bench.binding.send(message(str(number))) for number in range(20)]
        await until(lambda: bool(bench.events))
        assert isinstance(bench.events[0], Down)
        assert not any(future.done() for future in sent)
        bench.broker.faults.start()
        sent.append(bench.binding.send(message("20")))
        await asyncio.gather(*sent)
        sink = await bench.consume(JOBS)
        await sink.has(21)
        assert sink.bodies == [str(number) for number in range(21)]
        assert bench.events[1:] == [Up()]


@pytest.mark.parametrize("how", ["cancelled", "abandoned"])
async def test_a_send_given_up_before_it_was_written_never_arrives(how: str) -> None:
    async with Bench.open() as bench:
        await bench.declare(JOBS)
        bench.broker.faults.stop()
        first, given_up, last = [bench.binding.send(message(body)) for body in ("a", "b", "c")]
        if how == "cancelled":
            given_up.cancel()
        else:
            assert bench.binding.abandon(given_up)
        bench.broker.faults.start()
        await asyncio.gather(first, last)
        sink = await bench.consume(JOBS, settle=ACCEPT)
        await turns()
        assert sink.bodies == ["a", "c"]


async def test_a_send_given_up_after_it_was_written_arrives_nevertheless() -> None:
    async with Bench.open() as bench:
        await bench.declare(JOBS)
        bench.broker.faults.pause()
        sent = bench.binding.send(message("x"))
        assert not bench.binding.abandon(sent)
        sent.cancel()
        bench.broker.faults.resume()
        sink = await bench.consume(JOBS)
        await sink.has(1)


async def test_a_confirmed_send_cannot_be_given_up() -> None:
    async with Bench.open() as bench:
        await bench.declare(JOBS)
        sent = bench.binding.send(message("x"))
        assert not bench.binding.abandon(sent)
        await sent


async def test_a_paused_broker_answers_nothing_and_goes_on_where_it_was() -> None:
    async with Bench.open() as bench:
        await bench.declare(JOBS)
        sink = await bench.consume(JOBS)
        await bench.send("before")
        bench.broker.faults.pause()
        sent = [bench.binding.send(message(str(number))) for number in range(3)]
        depth = asyncio.ensure_future(bench.depth(JOBS))
        await turns(20)
        assert sink.got == []
        assert not any(future.done() for future in sent)
        assert not depth.done()
        assert bench.events == []
        bench.broker.faults.resume()
        sent.append(bench.binding.send(message("3")))
        await asyncio.gather(*sent)
        await depth
        await sink.has(5)
        assert sink.bodies == ["before", "0", "1", "2", "3"]


async def test_what_was_written_when_the_connection_was_lost_is_unknown() -> None:
    async with Bench.open() as bench:
        await bench.declare(JOBS)
        bench.broker.faults.pause()
        sent = bench.binding.send(message("x"))
        bench.broker.faults.disconnect()
        waiting = bench.binding.send(message("y"))
        with pytest.raises(SendUnknown):
            await sent
        bench.broker.faults.resume()
        await waiting


async def test_a_question_under_way_when_the_connection_was_lost_is_asked_again() -> None:
    async with Bench.open() as bench:
        await bench.declare(JOBS)
        await bench.send()
        bench.broker.faults.pause()
        asked = asyncio.ensure_future(bench.depth(JOBS))
        await turns()
        bench.broker.faults.disconnect()
        bench.broker.faults.resume()
        async with asyncio.timeout(5):
            assert (await asked).ready == 1


async def test_writable_waits_while_sends_pile_up() -> None:
    async with Bench.open() as bench:
        await bench.declare(JOBS)
        bench.broker.faults.stop()
        sent = [bench.binding.send(message(str(number))) for number in range(2000)]
        await turns()
        writable = asyncio.ensure_future(bench.binding.writable())
        await turns()
        assert not writable.done()
        bench.broker.faults.start()
        await writable
        await asyncio.gather(*sent)


async def test_writable_lets_receivers_run_when_nobody_awaits_confirms() -> None:
    async with Bench.open() as bench:
        await bench.declare(JOBS)
        sink = await bench.consume(JOBS, settle=ACCEPT)
        most = 0
        sent: list[asyncio.Future[Receipt]] = []
        for number in range(2000):
            sent.append(bench.binding.send(message()))
            await bench.binding.writable()
            most = max(most, number + 1 - len(sink.got))
        assert most <= 128


async def test_a_broker_that_is_down_is_waited_for_when_connecting() -> None:
    async with Bench.open() as bench:
        bench.broker.faults.stop()

        async def connect() -> None:
            async with Bench.open(bench.url, wait=5):
                pass

        connecting = asyncio.ensure_future(connect())
        await turns()
        assert not connecting.done()
        bench.broker.faults.start()
        await connecting


async def test_a_broker_that_is_down_fails_fast_when_that_is_asked_for() -> None:
    async with Bench.open() as bench:
        bench.broker.faults.stop()
        with pytest.raises(BrokerUnavailable):
            async with Bench.open(bench.url, wait=0):
                pass
        bench.broker.faults.start()


async def test_sending_before_connecting_and_after_closing_is_an_error() -> None:
    async with Bench.open() as bench:
        await bench.declare(JOBS)
    with pytest.raises(Closed):
        await bench.send()
    unconnected = Bench(type(bench.binding)(bench.binding.options))
    with pytest.raises(Closed):
        await unconnected.send()
    await unconnected.binding.close(0)


async def test_closing_refuses_what_was_never_written() -> None:
    async with Bench.open() as bench:
        await bench.declare(JOBS)
        bench.broker.faults.stop()
        waiting = bench.binding.send(message())
        await bench.binding.close(0.01)
        with pytest.raises(SendRefused):
            await waiting
        bench.broker.faults.start()


async def test_closing_waits_for_what_is_under_way() -> None:
    async with Bench.open() as bench:
        await bench.declare(JOBS)
        bench.broker.faults.slow(0.03)
        sent = bench.binding.send(message())
        await bench.binding.close(5)
        await sent
        bench.broker.faults.heal()


async def test_a_receiver_runs_in_its_own_context_and_not_in_the_senders() -> None:
    whose: ContextVar[str] = ContextVar("whose", default="receiver")
    seen: list[str] = []

    class Looking(Collector):
        def deliver(self, batch: Sequence[RawDelivery], /) -> None:
            seen.extend(whose.get() for _ in batch)

    async with Bench.open() as bench:
        await bench.declare(JOBS)
        await bench.consume(JOBS, sink=Looking())

        async def send() -> None:
            whose.set("sender")
            await bench.send()

        await asyncio.create_task(send())
        await until(lambda: bool(seen))
        assert seen == ["receiver"]


async def test_refusals_are_refused_and_nothing_is_kept() -> None:
    async with Bench.open() as bench:
        other = QueueSpec(name="other")
        await bench.declare(JOBS, other)
        bench.broker.faults.refuse(2)
        for _ in range(2):
            with pytest.raises(SendRefused):
                await bench.send()
        await bench.send("third")
        bench.broker.faults.refuse(1, destination="other")
        await bench.send("fourth")
        with pytest.raises(SendRefused):
            await bench.send("x", "other")
        await bench.send("y", "other")
        assert bench.broker.depths()["jobs"].ready == 2
        assert bench.broker.depths()["other"].ready == 1
