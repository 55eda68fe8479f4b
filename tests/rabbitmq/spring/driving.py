"""Driving the Spring program: orders by lines of JSON, answers and messages by lines of JSON."""

import asyncio
import json
import tempfile
from asyncio.subprocess import PIPE, Process
from base64 import b64decode
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from types import MappingProxyType
from typing import IO, Any, Self
from urllib.parse import unquote, urlsplit

from tests.rabbitmq.inbox import Inbox
from tests.rabbitmq.spring.building import command

__all__ = ["Spring", "SpringFailed", "SpringMessage"]

_NOTHING: Mapping[str, Any] = MappingProxyType({})
#: Seconds for one order, and for the program to end.
_PATIENCE = 20.0
_LONGEST_LINE = 16 * 1024 * 1024


class SpringFailed(Exception):
    """What Spring raised while it carried out an order, or what it wrote before it ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpringMessage:
    """A message as Spring hands it to a listener."""

    body: bytes
    properties: Mapping[str, Any]
    headers: Mapping[str, Any]
    #: The Java class of each header, which JSON does not tell.
    classes: Mapping[str, str]
    #: What the body was converted to, for a typed listener.
    payload: Any = None

    @classmethod
    def told(cls, line: Mapping[str, Any]) -> Self:
        return cls(
            body=b64decode(line["body"]),
            properties=line["properties"],
            headers=line["headers"],
            classes=line["classes"],
            payload=line.get("payload"),
        )


class Spring:
    """One JVM with a RabbitTemplate and listeners, for as long as a block.

    Payloads are of the records in `shop`: OrderPlaced, OrderCancelled, QuoteRequest, Quote; or of
    any class that Jackson can make, by its full name.
    """

    _process: Process
    _reading: "asyncio.Task[None]"
    _log: IO[bytes]

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._arguments = (
            parts.hostname or "",
            str(parts.port),
            unquote(parts.path[1:]) or "/",
            unquote(parts.username or "guest"),
            unquote(parts.password or "guest"),
        )
        self._ids = count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._inboxes: dict[str, Inbox[SpringMessage]] = {}

    async def __aenter__(self) -> Self:
        """Start it.

        :raises Unavailable: when there is no Java or no Maven here
        """
        words = await asyncio.to_thread(command)
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 -- closed with the block
        self._process = await asyncio.create_subprocess_exec(
            *words, *self._arguments, stdin=PIPE, stdout=PIPE, stderr=self._log, limit=_LONGEST_LINE
        )
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._reading
        self._log.close()

    # -- topology, as a company may have it already

    async def declare_exchange(
        self, name: str, *, kind: str = "topic", arguments: Mapping[str, Any] = _NOTHING
    ) -> None:
        await self._order("declare-exchange", name=name, kind=kind, arguments=dict(arguments))

    async def declare_queue(self, name: str, *, arguments: Mapping[str, Any] = _NOTHING) -> None:
        """Declare a durable queue, which is a classic one unless its arguments say otherwise."""
        await self._order("declare-queue", name=name, arguments=dict(arguments))

    async def bind(self, queue: str, exchange: str, key: str) -> None:
        await self._order("declare-binding", queue=queue, exchange=exchange, key=key)

    # -- sending

    async def send(
        self,
        exchange: str,
        key: str,
        payload: object,
        *,
        kind: str = "shop.OrderPlaced",
        headers: Mapping[str, Any] = _NOTHING,
        classes: Mapping[str, str] = _NOTHING,
        properties: Mapping[str, Any] = _NOTHING,
    ) -> None:
        """Return when the broker has confirmed the message, and a queue has it.

        :param classes: the Java classes of headers whose JSON would not tell
        :raises SpringFailed: when it was returned, or not confirmed
        """
        await self._order(
            "send",
            exchange=exchange,
            key=key,
            payload=payload,
            type=kind,
            headers=dict(headers),
            classes=dict(classes),
            properties=dict(properties),
        )

    async def request(
        self, exchange: str, key: str, payload: object, *, kind: str = "shop.QuoteRequest", into: str | None = None
    ) -> tuple[str, Any]:
        """Return the class and the value of the answer, converted to what is asked for or else to what it says itself.

        :raises SpringFailed: when there was none
        """
        answer = await self._order("request", exchange=exchange, key=key, payload=payload, type=kind, into=into)
        return answer["class"], answer["payload"]

    async def request_plain(
        self, exchange: str, key: str, payload: object, *, kind: str = "shop.QuoteRequest"
    ) -> SpringMessage:
        """Return the answer as it came.

        :raises SpringFailed: when there was none
        """
        answer = await self._order("request-plain", exchange=exchange, key=key, payload=payload, type=kind)
        return SpringMessage.told(answer)

    # -- listening, until the program ends

    async def listen(self, queue: str) -> Inbox[SpringMessage]:
        return await self._listen("listen", queue)

    async def listen_typed(self, queue: str) -> Inbox[SpringMessage]:
        """Listen by a method that takes an OrderPlaced, whatever type the message names."""
        return await self._listen("listen-typed", queue)

    async def answer(self, queue: str) -> None:
        """Answer each QuoteRequest with a Quote: 20 for each piece."""
        await self._order("answer", queue=queue)

    async def _listen(self, do: str, queue: str) -> Inbox[SpringMessage]:
        inbox = self._inboxes[queue] = Inbox[SpringMessage]()
        await self._order(do, queue=queue)
        return inbox

    # -- the two ends of the program

    async def _order(self, do: str, **what: object) -> Any:
        number = next(self._ids)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        assert self._process.stdin is not None
        # That the program has ended, its reader tells.
        with suppress(BrokenPipeError, ConnectionResetError):
            self._process.stdin.write(json.dumps({"id": number, "do": do, **what}).encode() + b"\n")
            await self._process.stdin.drain()
        if self._reading.done():
            self._give_up()
        async with asyncio.timeout(_PATIENCE):
            return await answer

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            told = json.loads(line)
            if "queue" in told:
                self._inboxes[told["queue"]].put(SpringMessage.told(told))
            else:
                _settle(self._answers.pop(told["id"]), told)
        self._give_up()

    def _give_up(self) -> None:
        self._log.seek(0)
        why = f"the program has ended:\n{self._log.read().decode(errors='replace')}"
        while self._answers:
            _settle(self._answers.popitem()[1], {"error": why})


def _settle(answer: "asyncio.Future[Any]", told: Mapping[str, Any]) -> None:
    if answer.done():
        return
    if "error" in told:
        answer.set_exception(SpringFailed(told["error"]))
    else:
        answer.set_result(told["ok"])
