"""The Spring program: what it can be ordered to do, and what it tells."""

from base64 import b64decode
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from tests.interop import Inbox, JavaFailed, JavaProgram

__all__ = ["JavaRecord", "Spring"]

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class JavaRecord:
    """A record as Java reads it."""

    key: bytes | None
    #: Bytes; or what a typed listener was handed, as JSON has it.
    value: Any
    headers: Sequence[tuple[str, bytes]]
    partition: int
    offset: int
    #: The class of what a typed listener was handed.
    kind: str | None

    @classmethod
    def told(cls, line: Mapping[str, Any]) -> Self:
        value, kind = line["value"], line.get("class")
        return cls(
            key=None if line["key"] is None else b64decode(line["key"]),
            value=b64decode(value) if kind is None and value is not None else value,
            headers=[(name, b64decode(data)) for name, data in line["headers"]],
            partition=line["partition"],
            offset=line["offset"],
            kind=kind,
        )

    def said(self, name: str) -> str:
        """Return the one header of a name, which is text."""
        (value,) = [value for each, value in self.headers if each == name]
        return value.decode()


class Spring:
    """One JVM with a KafkaTemplate, listeners and members of groups, for as long as a block.

    Payloads are of the records in `shop`: OrderPlaced, OrderCancelled, QuoteRequest, Quote; or of any class that
    Jackson can make, by its full name.
    """

    def __init__(self, url: str) -> None:
        servers = url.removeprefix("kafka://")
        self._program = JavaProgram("spring-kafka", Path(__file__).parent, servers, on_told=self._told)
        self._order = self._program.order
        self._readers: dict[str, Callable[[JavaRecord], None]] = {}
        self._shares: dict[str, Inbox[int]] = {}

    async def __aenter__(self) -> Self:
        """Start it.

        :raises Unavailable: when there is no Java or no Maven here
        """
        await self._program.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._program.__aexit__(*exc)

    def _told(self, told: Mapping[str, Any]) -> None:
        name = told["to"]
        if "error" in told:
            raise JavaFailed(f"{name}: {told['error']}")
        if "partitions" in told:
            self._shares[name].put(told["partitions"])
        else:
            self._readers[name](JavaRecord.told(told))

    # -- Spring: sending

    async def send(
        self,
        topic: str,
        payload: object,
        *,
        kind: str = "shop.OrderPlaced",
        key: str | None = None,
        headers: Mapping[str, Any] = _NOTHING,
    ) -> None:
        """Return when the broker has confirmed the record, whose value a JsonSerializer has written."""
        await self._order("send", topic=topic, payload=payload, type=kind, key=key, headers=dict(headers))

    async def request(
        self, topic: str, payload: object, *, answers: str, partitions: Sequence[int], binary: bool
    ) -> tuple[Any, Mapping[str, str]]:
        """Return the answer that a ReplyingKafkaTemplate was given, and its headers; it reads these partitions.

        :raises JavaFailed: when there was none
        """
        answer = await self._order(
            "request",
            topic=topic,
            payload=payload,
            type="shop.QuoteRequest",
            answers=answers,
            partitions=list(partitions),
            binary=binary,
        )
        return answer["payload"], answer["headers"]

    # -- Spring: listening, until the program ends, each in a group of its own

    async def listen(self, topic: str) -> Inbox[JavaRecord]:
        return await self._listen("listen", topic)

    async def listen_typed(self, topic: str) -> Inbox[JavaRecord]:
        """Listen with a deserializer of OrderPlaced, whatever type the record names."""
        return await self._listen("listen-typed", topic)

    async def listen_by_type(self, topic: str) -> Inbox[JavaRecord]:
        """Listen with a deserializer of the type of the shop that the record names."""
        return await self._listen("listen-by-type", topic)

    async def answer(self, topic: str) -> None:
        """Answer each QuoteRequest with a Quote: 20 for each piece."""
        await self._order("answer", topic=topic, group=f"{topic}.spring")

    async def _listen(self, do: str, topic: str) -> Inbox[JavaRecord]:
        inbox = Inbox[JavaRecord]()
        self._readers[topic] = inbox.put
        await self._order(do, topic=topic, group=f"{topic}.spring")
        return inbox

    # -- Java's own client

    async def partitions(self, keys: Sequence[str], count: int) -> Sequence[int]:
        """Return the partitions that a producer chooses, of so many."""
        found: list[int] = await self._order("partitions", keys=list(keys), count=count)
        return found

    @asynccontextmanager
    async def member(
        self,
        name: str,
        topic: str,
        group: str,
        on_record: Callable[[JavaRecord], None],
        *,
        metadata: str = "",
        settings: Mapping[str, str] = _NOTHING,
    ) -> AsyncGenerator[Inbox[int]]:
        """Be a member of a group that commits what it is handed; `settings` that are empty are left out.

        Yield how many partitions it has, whenever that changes. When it has left, all that it was handed is told.
        """
        shares = self._shares[name] = Inbox[int]()
        self._readers[name] = on_record
        await self._order("join", name=name, topic=topic, group=group, metadata=metadata, settings=dict(settings))
        try:
            yield shares
        finally:
            await self._order("leave", name=name)
