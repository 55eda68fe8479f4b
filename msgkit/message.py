"""What applications hold: a payload and what is said about it."""

from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Generic, Protocol, TypedDict, TypeVar, Unpack, cast

from msgkit.envelope import NO_HEADERS, Envelope, Kind, Receipt, new_id
from msgkit.errors import ConfigurationError
from msgkit.settlement import Settlement
from msgkit.values import Headers, Seconds

__all__ = ["Delivery", "Message", "SendOptions", "Settler", "check_send_options", "was_received"]

T_co = TypeVar("T_co", covariant=True)


class SendOptions(TypedDict, total=False):
    """What can be said about a message when it is sent."""

    headers: Headers
    key: str
    subject: str
    message_id: str
    correlation_id: str
    reply_to: str
    content_type: str
    ttl: Seconds
    delay: Seconds
    deliver_at: datetime
    priority: int
    require_route: bool
    timeout: Seconds


_SEND_OPTIONS = frozenset(SendOptions.__annotations__)


def check_send_options(options: SendOptions, where: str) -> None:
    """Refuse options that do not exist, for callers without a type checker."""
    if not _SEND_OPTIONS.issuperset(options):
        name = min(set(options) - _SEND_OPTIONS)
        msg = f"{where} has no option {name!r}; there are {', '.join(sorted(_SEND_OPTIONS))}"
        raise ConfigurationError(msg)


class Message(Generic[T_co]):
    """A payload with its headers, key, subject, ids and times; it does not change."""

    __slots__ = ("__weakref__", "_envelope", "_options", "_payload")

    def __init__(self, payload: T_co, **options: Unpack[SendOptions]) -> None:
        if options:
            check_send_options(options, "Message()")
        headers = MappingProxyType(dict(options["headers"])) if "headers" in options else NO_HEADERS
        if "headers" in options:
            # A copy, since the caller may go on to change his.
            options["headers"] = headers
        self._payload = payload
        self._options = options
        self._envelope = Envelope(
            body=b"",
            destination="",
            kind=Kind.QUEUE,
            message_id=options.get("message_id") or new_id(),
            headers=headers,
            key=options.get("key"),
            subject=options.get("subject"),
            content_type=options.get("content_type"),
            correlation_id=options.get("correlation_id"),
            reply_to=options.get("reply_to"),
        )

    @classmethod
    def received(cls, payload: Any, envelope: Envelope) -> "Message[Any]":
        """Return a message that came from a broker."""
        message = cls.__new__(cls)
        message._payload = payload  # noqa: SLF001 -- its own, on the way to being whole
        message._envelope = envelope  # noqa: SLF001 -- as above
        message._options = _NO_OPTIONS  # noqa: SLF001 -- as above
        return message

    @property
    def payload(self) -> T_co:
        return self._payload

    @property
    def headers(self) -> Headers:
        return MappingProxyType(self._envelope.headers)

    @property
    def key(self) -> str | None:
        return self._envelope.key

    @property
    def subject(self) -> str | None:
        return self._envelope.subject

    @property
    def id(self) -> str:
        return self._envelope.message_id

    @property
    def type(self) -> str | None:
        """The logical name of the payload's type, as its sender gave it."""
        return self._envelope.type

    @property
    def attempt(self) -> int:
        """Failures recorded, and one."""
        return self._envelope.attempt

    @property
    def correlation_id(self) -> str | None:
        return self._envelope.correlation_id

    @property
    def reply_to(self) -> str | None:
        return self._envelope.reply_to

    @property
    def content_type(self) -> str | None:
        return self._envelope.content_type

    @property
    def sent_at(self) -> datetime | None:
        at = self._envelope.sent_at
        return None if at is None else datetime.fromtimestamp(at, UTC)

    @property
    def expires_at(self) -> datetime | None:
        at = self._envelope.expires_at
        return None if at is None else datetime.fromtimestamp(at, UTC)

    @property
    def options(self) -> SendOptions:
        """What was given when the message was made here; empty for a received one."""
        return self._options.copy()

    def __repr__(self) -> str:
        # No payload and no headers: messages are logged, and both may hold secrets.
        return f"<{type(self).__name__} {self.id} of {type(self._payload).__name__}>"


#: This very object marks a message as received.
_NO_OPTIONS = SendOptions()


def was_received(message: Message[Any]) -> bool:
    """Did it come from a broker? Else it was made here."""
    return message._options is _NO_OPTIONS  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] -- a question to this module's own


class Settler(Protocol):
    """Who ends a delivery: the container, a receiver, a test."""

    async def settle(self, delivery: "Delivery[Any]", how: Settlement, /) -> None: ...
    async def extend(self, delivery: "Delivery[Any]", by: Seconds, /) -> None: ...
    async def reply(self, delivery: "Delivery[Any]", payload: object, /) -> Receipt: ...


class Delivery(Message[T_co]):
    """A message that its handler settles itself."""

    __slots__ = ("_settled", "_settler", "raw")

    raw: object
    _settler: Settler
    _settled: Settlement | None

    @classmethod
    def taken(cls, payload: Any, envelope: Envelope, settler: Settler, raw: object) -> "Delivery[Any]":
        """Return a delivery that `settler` will end."""
        delivery = cast("Delivery[Any]", cls.received(payload, envelope))
        delivery._settler = settler  # noqa: SLF001 -- its own, on the way to being whole
        delivery._settled = None  # noqa: SLF001 -- as above
        delivery.raw = raw
        return delivery

    @property
    def settler(self) -> Settler:
        """Who ends it."""
        return self._settler

    @property
    def settled(self) -> Settlement | None:
        """How it was ended, once it has been."""
        return self._settled

    async def settle(self, how: Settlement, /) -> None:
        """End the delivery, once.

        :raises AlreadySettled: when it has been ended before
        :raises DeliveryLost: when the broker took it back
        """
        await self._settler.settle(self, how)
        self._settled = how

    async def extend(self, by: Seconds, /) -> None:
        """Have so much longer from now until the handler's time is up."""
        await self._settler.extend(self, by)

    async def reply(self, payload: object, /) -> Receipt:
        """Answer whoever asked; the delivery stays open.

        :raises ConfigurationError: when the sender asked for no answer
        """
        return await self._settler.reply(self, payload)
