"""Each fault of a broker, and how it shows that it does what its name says.

A check fails when its fault does nothing: `tests/brokers/test_faults.py` shows both.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from msgkit.testing import Direction
from msgkit.testing.brokers import Broker
from tests.brokers.plain import CLIENTS, Client

__all__ = ["CHECKS", "Check"]

#: Seconds of silence after which nothing more is expected.
_SILENCE = 1.0


@dataclass(frozen=True, slots=True)
class Check:
    """What a fault does; and whose method it is, "broker" or "proxy"."""

    owner: str
    fault: str
    run: Callable[[Broker, float], Awaitable[None]]

    @property
    def name(self) -> str:
        return self.run.__name__.removeprefix("_")


class Wire:
    """A bare connection to a broker: what it says to a greeting, and how it ends."""

    def __init__(self, broker: Broker, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._greeting = CLIENTS[type(broker)].greeting
        self._reader = reader
        self._writer = writer

    async def greet(self) -> None:
        self._writer.write(self._greeting)
        await self._writer.drain()

    async def hears(self, within: float) -> bytes:
        """Return the first bytes of the answer.

        :raises TimeoutError: when none came; ConnectionError, when the connection ended instead
        """
        got = await asyncio.wait_for(self._reader.read(65536), within)
        if not got:
            msg = "the connection ended"
            raise ConnectionAbortedError(msg)
        return got

    async def is_silent(self) -> None:
        """Fail when anything comes, be it the end."""
        try:
            got = await self.hears(_SILENCE)
        except TimeoutError:
            return
        except ConnectionError as error:
            msg = f"the connection should be open and silent, but {error}"
            raise AssertionError(msg) from error
        msg = f"nothing should come, but {got!r} did"
        raise AssertionError(msg)

    async def rest(self, within: float) -> tuple[bytes, bool]:
        """Return all that comes until the end, and whether that was a reset."""
        got = b""
        try:
            while more := await asyncio.wait_for(self._reader.read(65536), within):
                got += more
        except ConnectionResetError:
            return got, True
        return got, False


@asynccontextmanager
async def _wire(broker: Broker) -> AsyncGenerator[Wire]:
    address = broker.nodes[0].address
    reader, writer = await asyncio.open_connection(*address)
    try:
        yield Wire(broker, reader, writer)
    finally:
        writer.transport.abort()


@asynccontextmanager
async def _client(broker: Broker) -> AsyncGenerator[Client]:
    async with CLIENTS[type(broker)](broker) as client:
        yield client


async def _answers(broker: Broker, within: float) -> bool:
    try:
        async with _wire(broker) as wire:
            await wire.greet()
            await wire.hears(within)
    except (OSError, TimeoutError):
        return False
    return True


async def _stop_ends_it_and_keeps_what_it_holds(broker: Broker, patience: float) -> None:
    async with _client(broker) as client:
        await client.store(b"kept")
        before = await client.stored()
    await broker.stop()
    assert not any([await node.is_alive() for node in broker.nodes])
    assert not await _answers(broker, patience)
    await broker.start()
    async with _client(broker) as client:
        assert await client.stored() == before


async def _start_brings_it_back(broker: Broker, patience: float) -> None:
    await broker.kill()
    await broker.start()
    assert await _answers(broker, patience)


async def _kill_ends_it_at_once_and_it_keeps_what_it_confirmed(broker: Broker, patience: float) -> None:
    async with _client(broker) as client:
        before = await client.stored()
        for n in range(20):
            await client.store(f"confirmed {n}".encode())
        began = time.monotonic()
        await broker.kill()
        assert time.monotonic() - began < patience
        assert not any([await node.is_alive() for node in broker.nodes])
        assert not await _answers(broker, patience)
    await broker.start()
    async with _client(broker) as client:
        assert await client.stored() == before + 20


async def _pause_keeps_connections_open_and_silent(broker: Broker, patience: float) -> None:
    async with _wire(broker) as old:
        await broker.pause()
        try:
            async with _wire(broker) as new:
                await old.greet()
                await new.greet()
                await asyncio.gather(old.is_silent(), new.is_silent())
        finally:
            await broker.resume()
        assert await old.hears(patience)


async def _resume_lets_it_answer(broker: Broker, patience: float) -> None:
    async with _wire(broker) as wire:
        await broker.pause()
        await wire.greet()
        await broker.resume()
        assert await wire.hears(patience)


async def _cut_resets_connections(broker: Broker, patience: float) -> None:
    async with _wire(broker) as wire:
        await wire.greet()
        await wire.hears(patience)
        await broker.proxy.cut()
        assert (await wire.rest(patience))[1], "it ended, but by no reset"
    assert await _answers(broker, patience)


async def _cut_without_reset_ends_connections_in_order(broker: Broker, patience: float) -> None:
    async with _wire(broker) as wire:
        await wire.greet()
        await wire.hears(patience)
        await broker.proxy.cut(reset=False)
        assert not (await wire.rest(patience))[1], "it was reset"


async def _refuse_refuses_new_connections_and_leaves_the_old(broker: Broker, patience: float) -> None:
    async with _wire(broker) as old:
        await broker.proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            async with _wire(broker):
                pass
        await old.greet()
        assert await old.hears(patience)


async def _accept_takes_connections_again(broker: Broker, patience: float) -> None:
    await broker.proxy.refuse()
    await broker.proxy.accept()
    assert await _answers(broker, patience)


async def _black_hole_swallows_what_is_sent(broker: Broker, patience: float) -> None:
    async with _wire(broker) as old:
        await broker.proxy.black_hole()
        async with _wire(broker) as new:
            await old.greet()
            await new.greet()
            await asyncio.gather(old.is_silent(), new.is_silent())
            await broker.proxy.heal()
            for wire in (old, new):
                got, _ = await wire.rest(patience)
                assert got == b"", "a stream with a hole in it went on"


async def _black_hole_upwards_keeps_messages_from_it(broker: Broker, patience: float) -> None:
    del patience
    async with _unanswered(broker, Direction.UP) as (client, before):
        assert await client.stored() == before


async def _black_hole_downwards_keeps_its_confirms(broker: Broker, patience: float) -> None:
    async with _unanswered(broker, Direction.DOWN) as (client, before):
        until = time.monotonic() + patience
        while await client.stored() == before:
            assert time.monotonic() < until, "it did not get there"
            await asyncio.sleep(0.05)


@asynccontextmanager
async def _unanswered(broker: Broker, direction: Direction) -> AsyncGenerator[tuple[Client, int]]:
    """Store something that is not confirmed for a while, nor during the block."""
    async with _client(broker) as client:
        await client.store(b"warm")
        before = await client.stored()
        await broker.proxy.black_hole(direction)
        storing = asyncio.create_task(client.store(b"into the dark"))
        try:
            await asyncio.wait([storing], timeout=_SILENCE)
            yield client, before
            assert not storing.done(), "it was confirmed"
        finally:
            storing.cancel()
            # Nobody can say goodbye through a black hole.
            await broker.proxy.heal()
            await asyncio.wait([storing])


async def _hold_keeps_all_for_later(broker: Broker, patience: float) -> None:
    async with _client(broker) as client:
        await client.store(b"warm")
        before = await client.stored()
        await broker.proxy.hold()
        storing = asyncio.create_task(client.store(b"held"))
        done, _ = await asyncio.wait([storing], timeout=_SILENCE)
        await broker.proxy.heal()
        await asyncio.wait_for(storing, patience)
        assert not done, "it was confirmed while it should be held"
        assert await client.stored() == before + 1


async def _heal_ends_what_was_done(broker: Broker, patience: float) -> None:
    await broker.proxy.hold()
    async with _wire(broker) as wire:
        await wire.greet()
        await broker.proxy.heal()
        assert await wire.hears(patience)


async def _delay_makes_answers_late(broker: Broker, patience: float) -> None:
    async with _client(broker) as client:
        await client.store(b"warm")
        await broker.proxy.delay(1.0, Direction.DOWN)
        began = time.monotonic()
        await asyncio.wait_for(client.store(b"late"), patience + 1)
        assert time.monotonic() - began >= 1.0


async def _limit_makes_bytes_slow(broker: Broker, patience: float) -> None:
    async with _client(broker) as client:
        await client.store(b"warm")
        await broker.proxy.limit(64 * 1024, Direction.UP)
        began = time.monotonic()
        await asyncio.wait_for(client.store(bytes(128 * 1024)), patience + 2)
        assert time.monotonic() - began >= 1.0


async def _cut_after_cuts_in_the_middle_of_an_answer(broker: Broker, patience: float) -> None:
    async with _wire(broker) as wire:
        await broker.proxy.cut_after(3, Direction.DOWN)
        await wire.greet()
        got, reset = await wire.rest(patience)
        assert (len(got), reset) == (3, True)


async def _cut_after_cuts_in_the_middle_of_a_request(broker: Broker, patience: float) -> None:
    async with _wire(broker) as wire:
        await broker.proxy.cut_after(3, Direction.UP)
        await wire.greet()
        got, reset = await wire.rest(patience)
        assert (got, reset) == (b"", True)


CHECKS = (
    Check("broker", "stop", _stop_ends_it_and_keeps_what_it_holds),
    Check("broker", "start", _start_brings_it_back),
    Check("broker", "kill", _kill_ends_it_at_once_and_it_keeps_what_it_confirmed),
    Check("broker", "pause", _pause_keeps_connections_open_and_silent),
    Check("broker", "resume", _resume_lets_it_answer),
    Check("proxy", "cut", _cut_resets_connections),
    Check("proxy", "cut", _cut_without_reset_ends_connections_in_order),
    Check("proxy", "refuse", _refuse_refuses_new_connections_and_leaves_the_old),
    Check("proxy", "accept", _accept_takes_connections_again),
    Check("proxy", "black_hole", _black_hole_swallows_what_is_sent),
    Check("proxy", "black_hole", _black_hole_upwards_keeps_messages_from_it),
    Check("proxy", "black_hole", _black_hole_downwards_keeps_its_confirms),
    Check("proxy", "hold", _hold_keeps_all_for_later),
    Check("proxy", "heal", _heal_ends_what_was_done),
    Check("proxy", "delay", _delay_makes_answers_late),
    Check("proxy", "limit", _limit_makes_bytes_slow),
    Check("proxy", "cut_after", _cut_after_cuts_in_the_middle_of_an_answer),
    Check("proxy", "cut_after", _cut_after_cuts_in_the_middle_of_a_request),
)
