"""What shows that a fault of the proxy does what its name says; each says so when the fault does nothing."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass

import pytest

from msgkit.testing.proxy import Direction
from tests.brokers.ends import Scene, both_ways

__all__ = ["CHECKS", "Check"]


@dataclass(frozen=True)
class Check:
    """A check, and the method without which it must fail."""

    fault: str
    run: Callable[[Scene], Awaitable[None]]

    def __str__(self) -> str:
        return self.run.__name__


CHECKS: list[Check] = []

_Run = Callable[[Scene], Awaitable[None]]


def _shows(fault: str) -> Callable[[_Run], _Run]:
    def register(run: _Run) -> _Run:
        CHECKS.append(Check(fault, run))
        return run

    return register


# -- cut


@_shows("cut")
async def cut_resets_all_connections_at_both_ends(scene: Scene) -> None:
    pairs = [await scene.pair() for _ in range(3)]
    for pair in pairs:
        await both_ways(*pair)
    await scene.proxy.cut()
    assert scene.proxy.connections == 0
    for end in (end for pair in pairs for end in pair):
        assert await end.rest() == (b"", "reset")


@_shows("cut")
async def cut_takes_those_too_whom_only_the_system_has_connected(scene: Scene) -> None:
    for _ in range(50):
        client = scene.hasty_client()
        await scene.proxy.cut()
        assert await client.rest() == (b"", "reset")


@_shows("cut")
async def cut_finishes_instead_even_what_was_never_read(scene: Scene) -> None:
    client, broker = await scene.pair()
    await both_ways(client, broker)
    await scene.proxy.hold()
    await client.send(bytes(100_000))
    await broker.send(bytes(100_000))
    await scene.proxy.cut(reset=False)
    for end in (client, broker):
        assert await end.rest() == (b"", "fin")
        # No reset came behind it.
        await end.send(b"late")


# -- refuse, accept


@_shows("refuse")
async def refuse_refuses_new_connections_and_keeps_the_old(scene: Scene) -> None:
    pair = await scene.pair()
    await scene.proxy.refuse()
    assert await scene.refuses()
    await both_ways(*pair)


@_shows("refuse")
async def a_port_that_refuses_is_not_to_be_had_by_others(scene: Scene) -> None:
    await scene.proxy.refuse()
    assert await scene.refuses()
    with closing(socket.socket()) as other, pytest.raises(OSError, match="in use"):
        other.bind(scene.proxy.address)


@_shows("accept")
async def accept_lets_new_connections_in_at_the_same_port(scene: Scene) -> None:
    pair = await scene.pair()
    addresses = scene.proxy.addresses
    for _ in range(3):
        await scene.proxy.refuse()
        await scene.proxy.accept()
    assert scene.proxy.addresses == addresses
    assert not await scene.refuses()
    await scene.accepted()
    await both_ways(*pair)
    await both_ways(*await scene.pair())


# -- black hole


@_shows("black_hole")
async def a_black_hole_swallows_both_ways_for_old_connections_and_new(scene: Scene) -> None:
    old = await scene.pair()
    await both_ways(*old)
    await scene.proxy.black_hole()
    for client, broker in (old, await scene.pair()):
        await client.send(b"up")
        await broker.send(b"down")
        await client.hears_nothing()
        await broker.hears_nothing()


@_shows("black_hole")
async def a_black_hole_of_one_direction_leaves_the_other(scene: Scene) -> None:
    client, broker = await scene.pair()
    await scene.proxy.black_hole(Direction.UP)
    await broker.send(b"down")
    assert await client.receive(4) == b"down"
    await client.send(b"up")
    await broker.hears_nothing()
    client, broker = await scene.pair()
    await scene.proxy.heal()
    await scene.proxy.black_hole(Direction.DOWN)
    await client.send(b"up")
    assert await broker.receive(2) == b"up"
    await broker.send(b"down")
    await client.hears_nothing()


@_shows("black_hole")
async def a_black_hole_takes_more_than_any_buffer(scene: Scene) -> None:
    client, broker = await scene.pair()
    await scene.proxy.black_hole(Direction.UP)
    for _ in range(64):
        await client.send(bytes(1 << 20))
    await broker.hears_nothing()


@_shows("black_hole")
async def a_black_hole_swallows_ends_too(scene: Scene) -> None:
    (first, one), (second, two) = await scene.pair(), await scene.pair()
    await scene.proxy.black_hole()
    first.finish()
    two.reset()
    await one.hears_nothing()
    await second.hears_nothing()
    assert scene.proxy.connections == 2


@_shows("black_hole")
async def a_black_hole_hides_that_nobody_listens_behind(scene: Scene) -> None:
    await scene.proxy.black_hole()
    scene.broker.close()
    client = await scene.client()
    await client.hears_nothing()


@_shows("black_hole")
async def a_black_hole_swallows_what_was_held(scene: Scene) -> None:
    client, broker = await scene.pair()
    await scene.proxy.hold()
    await client.send(b"lost")
    await scene.proxy.black_hole()
    await broker.hears_nothing()
    await scene.proxy.heal()
    assert await broker.rest() == (b"", "reset")


# -- hold


@_shows("hold")
async def what_is_held_waits_and_arrives_whole(scene: Scene) -> None:
    client, broker = await scene.pair()
    await scene.proxy.hold()
    await client.send(b"one ")
    await client.send(b"two ")
    await broker.send(b"three")
    client.finish()
    await client.hears_nothing()
    await broker.hears_nothing()
    await scene.proxy.heal()
    assert await broker.rest() == (b"one two ", "fin")
    assert await client.receive(5) == b"three"


@_shows("hold")
async def a_sender_waits_while_its_bytes_are_held(scene: Scene) -> None:
    client, broker = await scene.pair()
    await scene.proxy.hold(Direction.UP)
    most = 64 << 20
    reading = asyncio.create_task(broker.receive(most))
    sent = await client.fill(most)
    reading.cancel()
    assert 0 < sent < most
    await scene.proxy.heal()
    client.finish()
    assert await broker.rest() == (bytes(sent), "fin")


@_shows("hold")
async def what_waits_for_a_slow_reader_is_held_as_well(scene: Scene) -> None:
    client, broker = await scene.pair()
    sent = await client.fill(64 << 20)
    await scene.proxy.hold(Direction.UP)
    # What the system had already is the reader's.
    got = await broker.read_up()
    await scene.proxy.heal()
    client.finish()
    rest, ending = await broker.rest()
    assert ending == "fin"
    assert len(rest) > 0
    assert len(got) + len(rest) == sent


# -- delay


@_shows("delay")
async def what_is_delayed_comes_later_and_in_order(scene: Scene) -> None:
    client, broker = await scene.pair()
    await scene.proxy.delay(0.2)
    began = time.monotonic()
    await client.send(b"00")
    assert await broker.receive(2) == b"00"
    assert time.monotonic() - began >= 0.2
    began = time.monotonic()
    for number in range(1, 40):
        await client.send(b"%02d" % number)
        await asyncio.sleep(0.001)
    assert await broker.receive(78) == b"".join(b"%02d" % number for number in range(1, 40))
    # One after the other they would take eight seconds.
    assert time.monotonic() - began < 4


@_shows("delay")
async def a_delay_is_of_one_direction_if_asked(scene: Scene) -> None:
    client, broker = await scene.pair()
    await scene.proxy.delay(60, Direction.DOWN)
    await client.send(b"up")
    assert await broker.receive(2) == b"up"
    await broker.send(b"down")
    await client.hears_nothing()


@_shows("delay")
async def the_end_is_delayed_with_the_rest(scene: Scene) -> None:
    client, broker = await scene.pair()
    await scene.proxy.delay(0.2)
    began = time.monotonic()
    client.reset()
    assert await broker.rest() == (b"", "reset")
    assert time.monotonic() - began >= 0.2


# -- limit


@_shows("limit")
async def no_more_than_the_limit_comes_through(scene: Scene) -> None:
    client, broker = await scene.pair()
    await scene.proxy.limit(100_000, Direction.UP)
    began = time.monotonic()
    await client.send(bytes(50_000))
    assert await broker.receive(50_000) == bytes(50_000)
    # A burst may be ahead by 1/25 of a second.
    assert time.monotonic() - began >= 0.45
    await broker.send(bytes(1_000_000))
    began = time.monotonic()
    await client.receive(1_000_000)
    assert time.monotonic() - began < 2


@_shows("limit")
async def the_slowest_limit_is_a_byte_at_a_time(scene: Scene) -> None:
    client, broker = await scene.pair()
    await scene.proxy.limit(20, Direction.DOWN)
    await broker.send(b"123456")
    assert await client.receive(1) == b"1"
    began = time.monotonic()
    assert await client.receive(5) == b"23456"
    assert time.monotonic() - began >= 0.15


# -- cut after


async def _cut_after(scene: Scene, n: int, direction: Direction, *, reset: bool) -> None:
    client, broker = await scene.pair()
    await both_ways(client, broker)
    sender, receiver = (client, broker) if direction is Direction.UP else (broker, client)
    await scene.proxy.cut_after(n, direction, reset=reset)
    await receiver.send(b"back")
    assert await sender.receive(4) == b"back"
    await sender.send(b"0123456789"[: max(n, 1)])
    ending = "reset" if reset else "fin"
    assert await receiver.rest() == (b"0123456789"[:n], ending)
    assert await sender.rest() == (b"", ending)
    await scene.proxy.tripped(scene.patience)
    # It happens once.
    await both_ways(*await scene.pair())


def _each_count(n: int, direction: Direction, *, reset: bool) -> None:
    async def run(scene: Scene) -> None:
        await _cut_after(scene, n, direction, reset=reset)

    run.__name__ = f"cut_after_{n}_bytes_{direction.name}_by_{'reset' if reset else 'fin'}"
    CHECKS.append(Check("cut_after", run))


for _n in (0, 1, 5):
    for _direction in Direction.BOTH:
        for _reset in (True, False):
            _each_count(_n, _direction, reset=_reset)


@_shows("cut_after")
async def bytes_beyond_the_count_never_arrive(scene: Scene) -> None:
    client, broker = await scene.pair()
    await scene.proxy.cut_after(5, Direction.UP)
    await client.send(b"0123456789")
    assert await broker.rest() == (b"01234", "reset")


@_shows("cut_after")
async def the_count_is_over_all_connections(scene: Scene) -> None:
    (first, one), (second, two) = await scene.pair(), await scene.pair()
    await scene.proxy.cut_after(5, Direction.UP)
    await first.send(b"abc")
    assert await one.receive(3) == b"abc"
    await second.send(b"defg")
    assert await two.rest() == (b"de", "reset")
    await both_ways(first, one)


@_shows("cut_after")
async def the_count_is_of_both_ways_if_asked(scene: Scene) -> None:
    client, broker = await scene.pair()
    await scene.proxy.cut_after(5, Direction.BOTH)
    await client.send(b"abc")
    assert await broker.receive(3) == b"abc"
    await broker.send(b"defg")
    assert await client.rest() == (b"de", "reset")


@_shows("cut_after")
async def every_byte_of_the_count_arrives_even_at_a_slow_reader(scene: Scene) -> None:
    scene.broker.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    client, broker = await scene.pair()
    n = 1 << 20
    await scene.proxy.cut_after(n, Direction.UP)
    await client.send(bytes(n))
    await client.hears_nothing()
    got, ending = await broker.rest()
    assert (len(got), ending) == (n, "reset")
    assert await client.rest() == (b"", "reset")


@_shows("cut_after")
async def a_count_that_is_not_reached_cuts_nothing(scene: Scene) -> None:
    client, broker = await scene.pair()
    await scene.proxy.cut_after(6, Direction.UP)
    await client.send(b"01234")
    assert await broker.receive(5) == b"01234"
    await client.hears_nothing()
    await client.send(b"56789")
    assert await broker.rest() == (b"5", "reset")


# -- heal


@_shows("heal")
async def heal_undoes_a_black_hole_for_new_connections(scene: Scene) -> None:
    await scene.proxy.black_hole()
    await scene.proxy.heal()
    await both_ways(*await scene.pair())


@_shows("heal")
async def heal_cuts_what_has_a_hole_and_nothing_else(scene: Scene) -> None:
    whole, (client, broker) = await scene.pair(), await scene.pair()
    await scene.proxy.black_hole()
    await client.send(b"lost")
    await broker.hears_nothing()
    await scene.proxy.heal()
    assert await broker.rest() == (b"", "reset")
    assert await client.rest() == (b"", "reset")
    await both_ways(*whole)


@_shows("heal")
async def heal_undoes_delay_limit_and_count(scene: Scene) -> None:
    client, broker = await scene.pair()
    await scene.proxy.delay(60)
    await scene.proxy.limit(1)
    await scene.proxy.cut_after(3, Direction.UP)
    await client.send(b"held up")
    await broker.hears_nothing()
    await scene.proxy.heal()
    assert await broker.receive(7) == b"held up"
    await both_ways(client, broker)


@_shows("heal")
async def heal_undoes_refusing(scene: Scene) -> None:
    await scene.proxy.refuse()
    await scene.proxy.heal()
    assert not await scene.refuses()


# -- close


@_shows("close")
async def close_cuts_all_and_frees_the_port(scene: Scene) -> None:
    client, broker = await scene.pair()
    door = scene.proxy.address
    await scene.proxy.close()
    assert await client.rest() == (b"", "reset")
    assert await broker.rest() == (b"", "reset")
    assert await scene.refuses(door)
