"""The program in Java: what it can be ordered to do, and what it tells."""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Self

from tests.interop import Inbox, JavaProgram

__all__ = ["Java", "JavaMessage"]

_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class JavaMessage:
    """A message as Java's client hands it to a listener."""

    body: bytes
    properties: Mapping[str, str]
    id: str | None
    queue: int | None

    @classmethod
    def told(cls, line: Mapping[str, Any]) -> Self:
        return cls(
            body=b64decode(line["body"]),
            properties=line["properties"],
            id=line.get("message"),
            queue=line.get("queue"),
        )


class Java:
    """One JVM with producers and consumers, for as long as a block."""

    def __init__(self, url: str) -> None:
        names = url.removeprefix("rocketmq://").replace(",", ";")
        self._program = JavaProgram("rocketmq", Path(__file__).parent, names, on_told=self._told)
        self._order = self._program.order
        self._inboxes: dict[str, Inbox[JavaMessage]] = {}

    async def __aenter__(self) -> Self:
        """Start it.

        :raises Unavailable: when there is no Java or no Maven here
        """
        await self._program.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._program.__aexit__(*exc)

    def _told(self, told: Mapping[str, Any]) -> None:
        self._inboxes[told["to"]].put(JavaMessage.told(told))

    # -- sending, until the broker has it; each returns the id that the message has for Java

    async def send(
        self,
        topic: str,
        body: bytes,
        *,
        tag: str | None = None,
        keys: str | None = None,
        properties: Mapping[str, str] = _NOTHING,
    ) -> str:
        """Send a message, whose body is packed when it has more than 4 KiB."""
        return await self._sent("send", topic, body, tag=tag, keys=keys, properties=properties)

    async def send_ordered(self, topic: str, body: bytes, *, by: str) -> str:
        """Send to the queue that Java's hash of `by` chooses."""
        return await self._sent("send-ordered", topic, body, by=by)

    async def send_delayed(self, topic: str, body: bytes, *, seconds: float) -> str:
        return await self._sent("send-delayed", topic, body, delay=int(seconds * 1000))

    async def send_by_level(self, topic: str, body: bytes, *, level: int) -> str:
        """Send what waits for one of RocketMQ's 18 levels; the first is a second."""
        return await self._sent("send-later", topic, body, level=level)

    async def send_in_transaction(
        self, topic: str, body: bytes, *, decide: Literal["commit", "rollback", "when asked"]
    ) -> str:
        """Send a half message, and decide; when it is asked, it is committed."""
        return await self._sent("send-in-transaction", topic, body, decide=decide)

    async def request(self, topic: str, body: bytes) -> JavaMessage:
        """Return the answer.

        :raises JavaFailed: when there was none
        """
        return JavaMessage.told(await self._asked("request", topic, body))

    async def _sent(
        self, do: str, topic: str, body: bytes, *, properties: Mapping[str, str] = _NOTHING, **more: object
    ) -> str:
        return str(await self._asked(do, topic, body, properties=properties, **more))

    async def _asked(
        self, do: str, topic: str, body: bytes, *, properties: Mapping[str, str] = _NOTHING, **more: object
    ) -> Any:
        return await self._order(do, topic=topic, body=b64encode(body).decode(), properties=dict(properties), **more)

    # -- listening, until the program ends, each in a group of its own

    async def listen(self, topic: str, *, tags: str = "*") -> Inbox[JavaMessage]:
        """Listen to what has one of these tags, as in `a || b`."""
        return await self._listen("listen", topic, tags=tags)

    async def listen_in_order(self, topic: str) -> Inbox[JavaMessage]:
        return await self._listen("listen-in-order", topic)

    async def answer(self, topic: str) -> None:
        """Answer each QuoteRequest with a Quote: 20 for each piece."""
        await self._order("answer", topic=topic, group=f"{topic}-java")

    async def _listen(self, do: str, topic: str, **more: object) -> Inbox[JavaMessage]:
        inbox = self._inboxes[topic] = Inbox[JavaMessage]()
        await self._order(do, topic=topic, group=f"{topic}-java", **more)
        return inbox
