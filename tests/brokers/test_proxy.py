import asyncio
import gc
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import cast

import pytest

from msgkit.errors import Closed, ConfigurationError
from msgkit.testing.proxy import Address, Direction, FaultProxy
from msgkit.testing.proxy.proxy import Door
from tests.brokers.ends import LOOPBACK, SILENCE, Scene, both_ways, scene
from tests.brokers.fault_checks import CHECKS, Check

OTHERS: set[threading.Thread] = set()

each_check = pytest.mark.parametrize("check", CHECKS, ids=str)


def descriptors() -> int:
    here = Path("/proc/self/fd")
    return len(list(here.iterdir())) if here.exists() else 0


@pytest.fixture(autouse=True)
def others() -> Iterator[None]:
    """Leave those out of `threads` that stand before the brokers of other tests."""
    OTHERS.update(threading.enumerate())
    yield
    OTHERS.clear()


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "msgkit:proxy" and thread not in OTHERS]


def without(fault: str) -> type[FaultProxy]:
    """Return a proxy of which one method does nothing."""

    async def nothing(*_: object, **__: object) -> None:
        return None

    return cast("type[FaultProxy]", type("Idle", (FaultProxy,), {fault: nothing}))


# -- faults


@each_check
async def test_a_fault_does_what_its_name_says(check: Check) -> None:
    async with scene() as there:
        await check.run(there)


@each_check
async def test_a_fault_that_does_nothing_is_seen_through(check: Check) -> None:
    async with scene(without(check.fault), patience=0.3) as there:
        with pytest.raises((AssertionError, TimeoutError)):
            await check.run(there)


def test_every_fault_is_checked() -> None:
    asked = {"open", "before", "address", "addresses", "connections", "tripped"}
    assert {check.fault for check in CHECKS} == {name for name in vars(FaultProxy) if name[0] != "_"} - asked


async def test_faults_that_came_before_the_door_are_in_force_behind_it() -> None:
    async with scene() as there:
        await there.proxy.refuse()
        door = await there.proxy.open(there.upstream)
        assert await there.refuses(door)
        await there.proxy.accept()
        await both_ways(*await there.pair(door))


async def test_faults_of_different_kinds_compose() -> None:
    async with scene() as there:
        client, broker = await there.pair()
        await there.proxy.delay(0.1)
        await there.proxy.limit(10_000, Direction.UP)
        await there.proxy.cut_after(3_000, Direction.UP, reset=False)
        began = time.monotonic()
        await client.send(bytes(5_000))
        got, ending = await broker.rest()
        assert (len(got), ending) == (3_000, "fin")
        assert time.monotonic() - began >= 0.1 + 0.25


async def test_a_limit_is_for_each_connection() -> None:
    async with scene() as there:
        pairs = [await there.pair() for _ in range(10)]
        await there.proxy.limit(50_000)
        began = time.monotonic()
        await asyncio.gather(*(client.send(bytes(10_000)) for client, _ in pairs))
        await asyncio.gather(*(broker.receive(10_000) for _, broker in pairs))
        # Together they would take two seconds.
        assert 0.15 <= time.monotonic() - began < 1.5


@pytest.mark.parametrize("shut", [Door.refuse, Door.close])
async def test_who_stands_at_a_door_when_it_shuts_is_let_in(shut: Callable[[Door], None]) -> None:
    let_in: list[socket.socket] = []
    door = Door(Address(LOOPBACK, 0), Address(LOOPBACK, 1), lambda client, _: let_in.append(client))
    door.open()
    # Nothing gives way to the loop, so only the system has heard of these.
    early = [socket.create_connection(door.address) for _ in range(3)]
    shut(door)
    assert [client.getpeername() for client in let_in] == [client.getsockname() for client in early]
    door.close()
    for each in (*early, *let_in):
        each.close()


async def test_doors_share_faults_and_lead_to_their_own() -> None:
    async with scene() as there, Scene(there.proxy, 5) as other:
        door = await there.proxy.open(other.upstream)
        assert there.proxy.addresses == (there.proxy.addresses[0], door)
        pairs = [await there.pair(), (await there.client(door), await other.accepted())]
        for pair in pairs:
            await both_ways(*pair)
        assert there.proxy.connections == 2
        await there.proxy.cut()
        for client, _ in pairs:
            assert await client.rest() == (b"", "reset")


# -- tripped


async def test_tripped_returns_when_the_connection_has_been_cut() -> None:
    async with scene() as there:
        client, broker = await there.pair()
        await there.proxy.cut_after(2, Direction.UP)
        waiting = asyncio.create_task(there.proxy.tripped(5))
        with pytest.raises(TimeoutError):
            await there.proxy.tripped(SILENCE)
        assert not waiting.done()
        await client.send(b"12")
        await waiting
        assert there.proxy.connections == 0
        await there.proxy.heal()
        await there.proxy.tripped(0)
        assert await broker.rest() == (b"12", "reset")


@pytest.mark.parametrize("undo", ["heal", "close", "cut_after"])
async def test_who_waits_for_what_was_undone_is_told(undo: str) -> None:
    async with scene() as there:
        await there.proxy.cut_after(2, Direction.UP)
        waiting = asyncio.create_task(there.proxy.tripped(5))
        await asyncio.sleep(0)
        await (there.proxy.cut_after(9, Direction.UP) if undo == "cut_after" else getattr(there.proxy, undo)())
        with pytest.raises(TimeoutError, match="undone 2 bytes before"):
            await waiting


async def test_without_a_count_there_is_nothing_to_trip() -> None:
    async with scene() as there:
        with pytest.raises(ConfigurationError, match="cut_after"):
            await there.proxy.tripped(1)


async def test_numbers_without_a_sense_are_refused() -> None:
    async with scene() as there:
        proxy = there.proxy
        await proxy.cut_after(1, Direction.UP)
        for wrong in (proxy.delay(-1), proxy.limit(0), proxy.cut_after(-1, Direction.UP), proxy.tripped(-1)):
            with pytest.raises(ConfigurationError):
                await wrong


# -- no fault


async def test_a_connection_is_the_same_as_without_a_proxy() -> None:
    async with scene() as there:
        client, broker = await there.pair()
        data = os.urandom(5 << 20)
        sending = asyncio.gather(client.send(data), broker.send(data[::-1]))
        up, down = await asyncio.gather(broker.receive(len(data)), client.receive(len(data)))
        assert up == data
        assert down == data[::-1]
        await sending


@pytest.mark.parametrize("first", [0, 1], ids=["client", "broker"])
async def test_who_has_said_all_still_hears_the_other(first: int) -> None:
    async with scene() as there:
        ends = await there.pair()
        one, other = ends[first], ends[1 - first]
        await one.send(b"question")
        one.finish()
        assert await other.rest() == (b"question", "fin")
        await other.send(b"answer")
        assert there.proxy.connections == 1
        other.finish()
        assert await one.rest() == (b"answer", "fin")
        await there.until(lambda: there.proxy.connections == 0)


@pytest.mark.parametrize("first", [0, 1], ids=["client", "broker"])
async def test_a_reset_is_passed_on_as_one_after_the_bytes_before_it(first: int) -> None:
    async with scene() as there:
        ends = await there.pair()
        await both_ways(*ends)
        one, other = ends[first], ends[1 - first]
        await one.send(b"last words")
        one.reset()
        assert await other.rest() == (b"last words", "reset")
        await there.until(lambda: there.proxy.connections == 0)


async def test_a_reset_stays_one_when_writing_meets_it_first() -> None:
    async with scene() as there:
        client, broker = await there.pair()
        # The client reads nothing, and so neither does the proxy.
        sent = await broker.fill(64 << 20)
        broker.reset()
        await client.send(b"anybody there?")
        got, ending = await client.rest()
        assert ending == "reset"
        assert 0 < len(got) < sent


@pytest.mark.parametrize("first", [0, 1], ids=["client", "broker"])
async def test_who_writes_to_one_that_has_left_is_reset(first: int) -> None:
    async with scene() as there:
        ends = await there.pair()
        one, other = ends[first], ends[1 - first]
        one.plain.close()
        assert await other.rest() == (b"", "fin")
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            await other.keep_sending()
        await there.until(lambda: there.proxy.connections == 0)


async def test_a_broker_that_is_down_resets_and_is_found_when_it_is_back() -> None:
    async with FaultProxy() as proxy, Scene(proxy, 5) as there:
        upstream = there.upstream
        there.broker.close()
        await proxy.open(upstream)
        assert await there.resets()
        await there.until(lambda: proxy.connections == 0)
        there.listen_again(upstream)
        await both_ways(*await there.pair())


async def test_one_that_is_cut_while_it_connects_is_gone_and_in_nobodys_way() -> None:
    async with FaultProxy() as proxy, Scene(proxy, 5) as there:
        await there.fill_up()
        await proxy.open(there.upstream)
        for _ in range(20):
            client = await there.client()
            await there.until(lambda: proxy.connections == 1)
            # The new doors may have the descriptors that the connection had.
            await asyncio.gather(proxy.cut(), *(proxy.open(there.upstream) for _ in range(3)))
            assert await client.rest() == (b"", "reset")
            assert proxy.connections == 0


@pytest.mark.parametrize("fault", ["none", "delay"])
async def test_a_slow_reader_slows_the_writer(fault: str) -> None:
    async with scene() as there:
        if fault == "delay":
            await there.proxy.delay(60)
        client, broker = await there.pair()
        most = 128 << 20
        sent = await client.fill(most)
        assert sent < most / 2
        await there.proxy.delay(0)
        client.finish()
        got, ending = await broker.rest()
        assert (len(got), ending) == (sent, "fin")


async def test_a_name_can_stand_for_the_broker() -> None:
    async with FaultProxy() as proxy, Scene(proxy, 5) as there:
        await proxy.open(("localhost", there.upstream[1]))
        await both_ways(*await there.pair())


async def test_the_simple_use_is_one_block() -> None:
    async with FaultProxy() as unused, Scene(unused, 5) as there:
        async with FaultProxy.before(*there.upstream) as proxy:
            door = proxy.address
            assert str(door) == f"127.0.0.1:{door.port}"
            await both_ways(*await there.pair(door))
        assert await there.refuses(door)


async def test_the_address_is_that_of_the_only_door() -> None:
    async with FaultProxy() as proxy:
        with pytest.raises(ConfigurationError, match="0 doors"):
            _ = proxy.address
        first = await proxy.open((LOOPBACK, 1))
        assert proxy.address == first
        await proxy.open((LOOPBACK, 1))
        with pytest.raises(ConfigurationError, match="2 doors"):
            _ = proxy.address


async def test_a_port_can_be_asked_for_again_and_again() -> None:
    async with scene() as there:
        port = there.proxy.address.port
        pair = await there.pair()
        await both_ways(*pair)
        await there.proxy.close()
        for _ in range(3):
            async with FaultProxy() as proxy:
                assert await proxy.open(there.upstream, port) == (LOOPBACK, port)
                await both_ways(*await there.pair(proxy.address))


async def test_a_port_that_is_taken_is_an_error_and_no_door() -> None:
    async with scene() as there:
        with pytest.raises(OSError, match="in use"):
            await there.proxy.open(there.upstream, there.upstream[1])
        assert len(there.proxy.addresses) == 1


# -- the thread


def test_a_proxy_goes_from_one_event_loop_to_the_next_and_on_while_one_is_blocked() -> None:
    with closing(socket.create_server((LOOPBACK, 0))) as broker:
        proxy = FaultProxy()
        address = asyncio.run(proxy.open(broker.getsockname()))

        async def used() -> None:
            broker.settimeout(5)
            # Nothing here gives way to the loop.
            with closing(socket.create_connection(address, timeout=5)) as client, closing(broker.accept()[0]) as end:
                client.sendall(b"up")
                assert end.recv(10) == b"up"
                await proxy.cut()
                with pytest.raises(ConnectionResetError):
                    client.recv(1)

        asyncio.run(used())
        asyncio.run(used())
        asyncio.run(proxy.close())
        assert threads() == []


async def test_a_proxy_that_is_not_used_starts_nothing() -> None:
    async with FaultProxy():
        assert threads() == []


async def test_closing_leaves_nothing_behind() -> None:
    gc.collect()
    before = descriptors()
    async with scene() as there:
        silent, held = await there.pair(), await there.pair()
        await there.proxy.black_hole(Direction.UP)
        await silent[0].send(b"lost")
        await there.proxy.hold()
        await held[0].send(b"waits")
        # Some have only just come.
        for _ in range(10):
            await there.client()
        await there.proxy.close()
        await there.proxy.close()
        assert threads() == []
        assert there.proxy.addresses == ()
        assert there.proxy.connections == 0
        with pytest.raises(Closed):
            await there.proxy.open(there.upstream)
        with pytest.raises(Closed):
            await there.proxy.heal()
    gc.collect()
    assert descriptors() == before


async def test_many_may_close_at_once() -> None:
    async with scene() as there:
        await asyncio.gather(*(there.proxy.close() for _ in range(5)))
        assert threads() == []


async def test_a_close_that_is_cancelled_closes_none_the_less() -> None:
    async with scene() as there:
        closing_it = asyncio.create_task(there.proxy.close())
        await asyncio.sleep(0)
        closing_it.cancel()
        await asyncio.gather(closing_it, return_exceptions=True)
        await there.until(lambda: threads() == [])


@pytest.mark.parametrize("turns", range(4))
async def test_a_caller_that_is_cancelled_leaves_the_proxy_as_it_was_or_as_it_was_to_be(turns: int) -> None:
    async with scene() as there:
        pair = await there.pair()
        calls = [
            asyncio.create_task(call)
            for call in (there.proxy.hold(), there.proxy.cut_after(100, Direction.UP), there.proxy.refuse())
        ]
        for _ in range(turns):
            await asyncio.sleep(0)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await there.proxy.heal()
        await both_ways(*pair)
        await both_ways(*await there.pair())


NEVER_CLOSED = """
import asyncio, socket
from msgkit.testing.proxy import FaultProxy

broker = socket.create_server(("127.0.0.1", 0))
proxy = FaultProxy()
address = asyncio.run(proxy.open(broker.getsockname()))
client = socket.create_connection(address)
end, _ = broker.accept()
client.sendall(b"up")
assert end.recv(10) == b"up"
for each in (client, end, broker):
    each.close()
print("done")
"""


def test_a_proxy_that_was_never_closed_lets_the_interpreter_end() -> None:
    ended = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", NEVER_CLOSED],
        check=False,
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert (ended.stdout, ended.stderr, ended.returncode) == ("done\n", "", 0)
