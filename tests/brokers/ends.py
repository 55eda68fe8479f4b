"""Both ends of connections through a proxy, byte by byte; whatever is waited for has a deadline."""

import asyncio
import socket
import struct
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, closing, suppress
from typing import Literal, Self

from msgkit.testing.proxy import FaultProxy

#: Seconds of silence after which nothing more is expected.
SILENCE = 0.1
LOOPBACK = "127.0.0.1"

__all__ = ["LOOPBACK", "SILENCE", "End", "Ending", "Scene", "both_ways", "scene"]

Ending = Literal["fin", "reset"]


class End:
    """One end of a connection."""

    def __init__(self, plain: socket.socket, patience: float) -> None:
        self.plain = plain
        self.patience = patience
        self._loop = asyncio.get_running_loop()
        plain.settimeout(0)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    async def send(self, data: bytes) -> None:
        async with asyncio.timeout(self.patience):
            await self._loop.sock_sendall(self.plain, data)

    async def receive(self, n: int) -> bytes:
        """Return exactly so many bytes."""
        got = bytearray()
        async with asyncio.timeout(self.patience):
            while len(got) < n:
                chunk = await self._loop.sock_recv(self.plain, n - len(got))
                assert chunk, f"the stream ended after {len(got)} of {n} bytes"
                got += chunk
        return bytes(got)

    async def rest(self) -> tuple[bytes, Ending]:
        """Return what comes until the stream ends, and how that is."""
        got = bytearray()
        async with asyncio.timeout(self.patience):
            while True:
                try:
                    chunk = await self._loop.sock_recv(self.plain, 1 << 20)
                except ConnectionResetError:
                    return bytes(got), "reset"
                if not chunk:
                    return bytes(got), "fin"
                got += chunk

    async def hears_nothing(self) -> None:
        """Check that neither bytes nor an end come for a while."""
        heard = "a reset"
        with suppress(ConnectionResetError):
            try:
                async with asyncio.timeout(SILENCE):
                    heard = repr((await self._loop.sock_recv(self.plain, 1 << 20))[:20])
            except TimeoutError:
                return
        msg = f"heard {heard}"
        raise AssertionError(msg)

    async def read_up(self) -> bytes:
        """Return what comes until it is silent for a while."""
        got = bytearray()
        while True:
            try:
                async with asyncio.timeout(SILENCE):
                    got += await self._loop.sock_recv(self.plain, 1 << 20)
            except TimeoutError:
                return bytes(got)

    async def fill(self, most: int) -> int:
        """Send until nothing more is taken for a while, or so much is; return how much was."""
        sent, chunk = 0, bytes(1 << 20)
        while sent < most:
            try:
                sent += self.plain.send(chunk)
            except BlockingIOError:
                if not await self._takes_more():
                    break
        return sent

    async def _takes_more(self) -> bool:
        writable = asyncio.Event()
        self._loop.add_writer(self.plain, writable.set)
        try:
            async with asyncio.timeout(SILENCE):
                await writable.wait()
        except TimeoutError:
            return False
        finally:
            self._loop.remove_writer(self.plain)
        return True

    async def keep_sending(self) -> None:
        """Send until that fails."""
        async with asyncio.timeout(self.patience):
            while True:
                await self._loop.sock_sendall(self.plain, b"anybody there?")
                await asyncio.sleep(0)

    def finish(self) -> None:
        self.plain.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        self.plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.plain.close()


class Scene:
    """A proxy, what listens behind it, and the clients in front."""

    def __init__(self, proxy: FaultProxy, patience: float) -> None:
        self.proxy = proxy
        self.patience = patience
        self._sockets = ExitStack()
        self.listen_again((LOOPBACK, 0))

    def listen_again(self, address: tuple[str, int]) -> None:
        self.broker = self._sockets.enter_context(socket.create_server(address))
        self.broker.settimeout(0)

    @property
    def upstream(self) -> tuple[str, int]:
        host, port = self.broker.getsockname()
        return host, port

    async def client(self, door: tuple[str, int] | None = None) -> End:
        plain = self._sockets.enter_context(closing(socket.socket()))
        plain.settimeout(0)
        try:
            async with asyncio.timeout(self.patience):
                await asyncio.get_running_loop().sock_connect(plain, door or self.proxy.addresses[0])
        except ConnectionResetError:
            msg = "reset before it knew that it was connected"
            raise AssertionError(msg) from None
        return End(plain, self.patience)

    def hasty_client(self) -> End:
        """Return a client that the proxy has had no time to take note of."""
        address = self.proxy.addresses[0]
        plain = self._sockets.enter_context(closing(socket.create_connection(address, self.patience)))
        return End(plain, self.patience)

    async def pair(self, door: tuple[str, int] | None = None) -> tuple[End, End]:
        """Return a new client, and the broker's end of its connection."""
        client = await self.client(door)
        return client, await self.accepted()

    async def accepted(self) -> End:
        # Whom `sock_accept` lets in just when its time is up, nobody has, and nobody closes.
        loop, there = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self.broker, there.set)
        try:
            async with asyncio.timeout(self.patience):
                await there.wait()
        finally:
            loop.remove_reader(self.broker)
        plain = self._sockets.enter_context(closing(self.broker.accept()[0]))
        return End(plain, self.patience)

    async def refuses(self, door: tuple[str, int] | None = None) -> bool:
        try:
            await self.client(door)
        except ConnectionRefusedError:
            return True
        return False

    async def resets(self) -> bool:
        try:
            client = await self.client()
        except AssertionError:
            return True
        return await client.rest() == (b"", "reset")

    async def fill_up(self) -> None:
        """Let so many wait at the broker that nobody is let in any more, and nobody turned away."""
        self.broker.listen(0)
        patience, self.patience = self.patience, SILENCE
        with suppress(TimeoutError):
            while True:
                await self.client(self.upstream)
        self.patience = patience

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return when what another thread brings about is so."""
        async with asyncio.timeout(self.patience):
            while not condition():  # noqa: ASYNC110 -- the thread has no event for it
                await asyncio.sleep(0.001)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._sockets.close()


@asynccontextmanager
async def scene(kind: type[FaultProxy] = FaultProxy, *, patience: float = 5.0) -> AsyncGenerator[Scene]:
    """Set up a proxy of a kind, with one door and a broker behind it."""
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(kind())
        # What a kind leaves undone is done by the real one in the end.
        stack.push_async_callback(FaultProxy.close, proxy)
        made = await stack.enter_async_context(Scene(proxy, patience))
        await proxy.open(made.upstream)
        yield made


async def both_ways(client: End, broker: End) -> None:
    """Check that a connection carries bytes up and down."""
    await client.send(b"up")
    assert await broker.receive(2) == b"up"
    await broker.send(b"down")
    assert await client.receive(4) == b"down"
