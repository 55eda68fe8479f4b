"""From a payload to an envelope: what is the same for all messages to one destination is found once."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeGuard

from msgkit.brokers import Link
from msgkit.clock import Clock
from msgkit.conversion import Conversion, Encoder, payload_kind
from msgkit.envelope import NO_HEADERS, Envelope, Kind, new_id
from msgkit.errors import ConfigurationError, InvalidMessage
from msgkit.message import Message, SendOptions, check_send_options, was_received
from msgkit.naming import Naming
from msgkit.spi import Power
from msgkit.topology import Destination, Exchange, Queue
from msgkit.values import (
    MAX_BODY,
    MAX_HEADERS,
    Headers,
    at_least_zero,
    check_body,
    check_headers,
    check_text,
    check_whole,
    epoch,
)

__all__ = [
    "Outgoing",
    "check_common_options",
    "check_destinations",
    "check_queue",
    "check_request_options",
    "no_destination",
]

#: Types may be made while a program runs: they may not fill the memory.
_MOST_TYPES = 64


class Outgoing:
    """One destination, ready to be sent to."""

    def __init__(
        self,
        destination: Destination[Any],
        *,
        link: Link,
        naming: Naming,
        conversion: Conversion,
        clock: Clock,
    ) -> None:
        self.link = link
        self.write = link.binding.send
        self._destination = destination
        self._declared_name = destination.name
        self._name = naming.name(destination)
        self._where = f"send({destination})"
        self._the_key, self._the_subject = f"the key for {destination}", f"the subject for {destination}"
        self._most_body = min(MAX_BODY, link.capabilities.max_body)
        self._most_headers = min(MAX_HEADERS, link.capabilities.max_headers)
        self._types = destination.types
        self._converter = destination.converter
        self._conversion = conversion
        self._now = clock.now
        self._encoders: dict[Any, Encoder] = {}
        self._is_queue = isinstance(destination, Queue)
        self._kind = Kind.QUEUE if self._is_queue else Kind.EXCHANGE
        self._key: Callable[[Any], str] | None = None
        self._subject: str | Callable[[Any], str] | None = None
        if isinstance(destination, Exchange):
            self._key, self._subject = destination.key, destination.subject

    def envelope(self, given: object, options: SendOptions) -> Envelope:
        """Return what is sent; everything that is wrong with it is raised here, before any I/O."""
        payload, encoder = given, self._encoders.get(type(given))
        if encoder is None or "content_type" in options:
            if _is_message(given):
                payload, options = _unwrapped(given, options)
            encoder = self._encoder(payload, options)
        body = encoder.encode(payload)
        check_body(body, self._declared_name, self._most_body)
        if options:
            return self._with_options(payload, body, encoder, options)
        return Envelope(
            body,
            self._name,
            self._kind,
            new_id(),
            NO_HEADERS if encoder.type_header is None else self._headers(NO_HEADERS, encoder),
            self._key_of(payload),
            self._subject_of(payload),
            encoder.content_type,
            encoder.type_name,
            self._now(),
        )

    def _encoder(self, payload: Any, options: SendOptions) -> Encoder:
        """Find how a payload is written; a class that is taken once always is, so that it is remembered."""
        kind = payload_kind(payload, self._types, self._declared_name)
        encoder = self._conversion.encoder(kind, self._converter, options.get("content_type"))
        if kind is type(payload) and "content_type" not in options and len(self._encoders) < _MOST_TYPES:
            self._encoders[kind] = encoder
        return encoder

    def _key_of(self, payload: Any) -> str | None:
        return None if self._key is None else check_text(self._key(payload), self._the_key)

    def _subject_of(self, payload: Any) -> str | None:
        subject = self._subject
        if subject is None or isinstance(subject, str):
            return subject
        return check_text(subject(payload), self._the_subject)

    def _with_options(self, payload: Any, body: bytes, encoder: Encoder, options: SendOptions) -> Envelope:
        check_send_options(options, self._where)
        now = self._now()
        expires_at = delay = deliver_at = None
        if not _TIMES.isdisjoint(options):
            expires_at, delay, deliver_at = self._times(options, now)
        return Envelope(
            body,
            self._name,
            self._kind,
            self._id(options) if "message_id" in options else new_id(),
            self._headers(options.get("headers", NO_HEADERS), encoder),
            self._text(options, "key") if "key" in options else self._key_of(payload),
            self._text(options, "subject") if "subject" in options else self._subject_of(payload),
            encoder.content_type,
            encoder.type_name,
            now,
            self._text(options, "correlation_id") if "correlation_id" in options else None,
            self._text(options, "reply_to") if "reply_to" in options else None,
            1,
            expires_at,
            delay,
            deliver_at,
            self._priority(options) if "priority" in options else None,
            self._require_route(options) if "require_route" in options else False,
        )

    def _text(self, options: Mapping[str, Any], name: str) -> str:
        return check_text(options[name], f"{self._where}: {name}=")

    def _id(self, options: Mapping[str, Any]) -> str:
        given = self._text(options, "message_id")
        if not given:
            msg = f"{self._where}: message_id= is empty; leave it out, and the message gets an id"
            raise InvalidMessage(msg)
        return given

    def _times(self, options: SendOptions, now: float) -> tuple[float | None, float | None, float | None]:
        """Return when the message expires, and after how long or when it is due."""
        due, delay, deliver_at = self._due(options, now)
        ttl = at_least_zero(options["ttl"], f"{self._where}: ttl=") if "ttl" in options else None
        return None if ttl is None else due + ttl, delay, deliver_at

    def _headers(self, headers: Headers, encoder: Encoder) -> Headers:
        if encoder.type_header is not None and encoder.type_name is not None:
            headers = {encoder.type_header: encoder.type_name, **headers}
        # A copy, since the caller may go on to change his; and nobody may change it on its way.
        return MappingProxyType(dict(check_headers(headers, self._most_headers))) if headers else NO_HEADERS

    def _due(self, options: SendOptions, now: float) -> tuple[float, float | None, float | None]:
        """Return when the message is due, as far as can be known here, and the two ways of saying so."""
        if "delay" in options and "deliver_at" in options:
            msg = f"{self._where}: delay= and deliver_at= exclude each other"
            raise InvalidMessage(msg)
        if "delay" in options:
            delay = at_least_zero(options["delay"], f"{self._where}: delay=")
            self._require(Power.DELAY, "delay=")
            self._check_delay(delay)
            return now + delay, delay or None, None
        if "deliver_at" in options:
            at = epoch(options["deliver_at"], f"{self._where}: deliver_at=")
            self._require(Power.DELIVER_AT, "deliver_at=")
            self._check_delay(at - now)
            return max(now, at), None, at
        return now, None, None

    def _check_delay(self, delay: float) -> None:
        longest = self.link.capabilities.delay.longest
        if longest is not None and delay > longest:
            broker = self.link.capabilities.broker
            msg = f"{self._where}: {broker} delays by {_seconds(longest)} at most, not by {_seconds(delay)}"
            raise InvalidMessage(msg)

    def _priority(self, options: SendOptions) -> int:
        priority = check_whole(options.get("priority"), f"{self._where}: priority=", least=0)
        self._require(Power.PRIORITY, "priority=")
        if isinstance(self._destination, Queue):
            highest = self._destination.priorities
            if highest is None or priority > highest:
                says = f"priorities={highest}" if highest is not None else "no priorities="
                msg = f"{self._where}: priority={priority}, but the queue was declared with {says}"
                raise InvalidMessage(msg)
        return priority

    def _require_route(self, options: SendOptions) -> bool:
        wanted = options.get("require_route", False)
        if wanted and not self._is_queue:
            self._require(Power.REQUIRE_ROUTE, "require_route=True")
        return wanted

    def _require(self, power: Power, what: str) -> None:
        self.link.capabilities.require(power, f"send({self._destination}, {what})")


#: Seconds that are written with all their digits.
_MANY = 100_000
#: The options that need to know the time; most messages have none.
_TIMES = frozenset({"ttl", "delay", "deliver_at"})


def _is_message(given: object) -> TypeGuard[Message[Any]]:
    return isinstance(given, Message)


def _unwrapped(message: Message[Any], options: SendOptions) -> tuple[Any, SendOptions]:
    """Take a message apart; one that was received is sent on as a new one, without what msgkit wrote on it."""
    if not was_received(message):
        mine = message.options
        mine["message_id"] = message.id
    else:
        mine = SendOptions(
            headers={name: value for name, value in message.headers.items() if not name.startswith("msgkit-")},
            correlation_id=message.correlation_id or message.id,
        )
        if message.key is not None:
            mine["key"] = message.key
        if message.subject is not None:
            mine["subject"] = message.subject
    headers = {**mine.get("headers", {}), **options.get("headers", {})}
    mine.update(options)
    if headers:
        mine["headers"] = headers
    return message.payload, mine


def no_destination(to: object) -> ConfigurationError:
    """Return the error for something that cannot be sent to."""
    return ConfigurationError(f"messages are sent to an Exchange or a Queue, not to {to!r}{_on_the_spot(to)}")


def check_destinations(destinations: Sequence[object], who: str) -> None:
    """Refuse to declare what is no destination, for callers without a type checker."""
    for each in destinations:
        if not isinstance(each, Destination):
            msg = f"{who} takes exchanges and queues, not {each!r}{_on_the_spot(each)}"
            raise ConfigurationError(msg)


def check_queue(queue: object, who: str) -> None:
    """Refuse to take messages from anything but a queue, for callers without a type checker."""
    if not isinstance(queue, Queue):
        is_exchange = issubclass(type(queue), Exchange)
        advice = "; an Exchange's messages are had by exchange.queue(name)" if is_exchange else _on_the_spot(queue)
        msg = f"{who} takes a Queue, not {queue!r}{advice}"
        raise ConfigurationError(msg)


def check_common_options(options: SendOptions) -> None:
    """Refuse options that several messages cannot have in common."""
    if "message_id" in options:
        msg = "send_many(message_id=) would give all one id; give each its own: Message(payload, message_id=...)"
        raise ConfigurationError(msg)


def check_request_options(payload: object, options: SendOptions) -> None:
    """Refuse options that are a request's own."""
    said = {**payload.options, **options} if isinstance(payload, Message) else options
    if not said.keys().isdisjoint(("reply_to", "ttl")):
        msg = "request() sets reply_to= and ttl= itself: the answer comes back here, and timeout= is its time to live"
        raise ConfigurationError(msg)


def _on_the_spot(to: object) -> str:
    return f"; make one on the spot: Queue({to!r}, YourType)" if isinstance(to, str) else ""


def _seconds(number: float) -> str:
    return f"{number:g} s" if number < _MANY else f"{number:,.0f} s"
