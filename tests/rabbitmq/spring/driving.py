"""The Spring program: what it can be ordered to do, and what it tells."""

from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from tests.interop import Inbox, JavaProgram

__all__ = ["Spring", "SpringMessage"]

_NOTHING: Mapping[str, Any] = MappingProxyType({})


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

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._program = JavaProgram(
            "spring",
            Path(__file__).parent,
            parts.hostname or "",
            str(parts.port),
            unquote(parts.path[1:]) or "/",
            unquote(parts.username or "guest"),
            unquote(parts.password or "guest"),
            on_told=lambda told: self._inboxes[told["queue"]].put(SpringMessage.told(told)),
        )
        self._order = self._program.order
        self._inboxes: dict[str, Inbox[SpringMessage]] = {}

    async def __aenter__(self) -> Self:
        """Start it.

        :raises Unavailable: when there is no Java or no Maven here
        """
        await self._program.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._program.__aexit__(*exc)

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
        :raises JavaFailed: when it was returned, or not confirmed
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

        :raises JavaFailed: when there was none
        """
        answer = await self._order("request", exchange=exchange, key=key, payload=payload, type=kind, into=into)
        return answer["class"], answer["payload"]

    async def request_plain(
        self, exchange: str, key: str, payload: object, *, kind: str = "shop.QuoteRequest"
    ) -> SpringMessage:
        """Return the answer as it came.

        :raises JavaFailed: when there was none
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
