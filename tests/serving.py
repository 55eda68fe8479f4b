"""Peers that say what a test has them say."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

__all__ = ["Peer", "served"]

Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def served(serve: Peer, tls: ssl.SSLContext | None = None) -> AsyncGenerator[int]:
    """Have a peer serve each who connects, and yield the port of this machine that it does so at."""
    tasks: set[asyncio.Task[None]] = set()

    def come(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def work() -> None:
            try:
                await serve(reader, writer)
            finally:
                writer.close()

        tasks.add(asyncio.ensure_future(work()))

    server = await asyncio.start_server(come, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
