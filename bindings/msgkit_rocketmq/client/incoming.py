"""What brokers ask of their clients: to look after a half message, to take an answer, to say how they are."""

import asyncio
import logging
from asyncio import Task
from collections.abc import Awaitable, Callable

from msgkit.reaching import Address
from msgkit_rocketmq.client.codes import Request, Response
from msgkit_rocketmq.client.connection import Connection
from msgkit_rocketmq.client.frames import Frame

__all__ = ["Handler", "Incoming"]

_log = logging.getLogger("msgkit.rocketmq")
#: Is given the address of a broker, and what that asks.
Handler = Callable[[Address, Frame], Awaitable[None]]


class Incoming:
    def __init__(self) -> None:
        self._handlers: dict[int, Handler] = {}
        self._tasks: set[Task[None]] = set()

    def on(self, request: Request, handler: Handler) -> None:
        self._handlers[request] = handler

    def take(self, connection: Connection, asked: Frame) -> None:
        handler = self._handlers.get(asked.code)
        if handler is None:
            connection.answer(asked, Response.REQUEST_CODE_NOT_SUPPORTED, f"request {asked.code} is not supported")
            return
        task = asyncio.get_running_loop().create_task(_handled(handler, connection, asked))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        tasks = tuple(self._tasks)
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _handled(handler: Handler, connection: Connection, asked: Frame) -> None:
    try:
        await handler(connection.address, asked)
    except Exception as error:  # noqa: BLE001 -- whatever a handler raises, the broker hears that it failed
        _log.exception("what the broker at %s asked (%d) failed", connection.address, asked.code)
        connection.answer(asked, Response.SYSTEM_ERROR, type(error).__name__)
    else:
        connection.answer(asked)
