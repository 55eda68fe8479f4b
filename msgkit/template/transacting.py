"""Sends that are seen all together or never, and messages that wait for a decision."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol, TypeVar, Unpack, cast, runtime_checkable

from msgkit.brokers import Link
from msgkit.envelope import Envelope, Receipt
from msgkit.errors import Closed, ConfigurationError, SendRefused, SendUnknown
from msgkit.message import Delivery, Message, SendOptions
from msgkit.spi import Consumer, HalfMessage, RawDelivery, Transaction, Transactional, TwoPhase
from msgkit.template.confirming import DEFAULT_TIMEOUT, ended, time_for
from msgkit.template.outgoing import Outgoing, check_common_options
from msgkit.template.session import Session
from msgkit.topology import Destination

__all__ = ["Enlisted", "HalfSent", "TransactionSender", "enlist", "prepare_half"]

T = TypeVar("T")

#: Seconds that a broker is given to hear that everything is taken back.
_TAKING_BACK = 2.0

#: A delivery that a transaction settles: whose, which, and whom to tell.
Enlisted = tuple[Consumer, RawDelivery, Callable[[], None]]


@runtime_checkable
class _Enlists(Protocol):
    def enlist(self, delivery: Delivery[Any], /) -> Enlisted: ...


def enlist(source: Delivery[Any]) -> Enlisted:
    """Return what a transaction needs to settle a delivery.

    :raises ConfigurationError: when it did not come from a broker
    """
    if not isinstance(source.settler, _Enlists):
        msg = f"transaction(source=): message {source.id} did not come from a broker"
        raise ConfigurationError(msg)
    return source.settler.enlist(source)


class TransactionSender:
    """Sends within a transaction; its messages are on one broker."""

    def __init__(self, session: Session, link: Link, transaction: Transaction) -> None:
        self._session = session
        self._link = link
        self._transaction = transaction
        self._open = True

    @classmethod
    async def begin(cls, session: Session, link: Link) -> "TransactionSender":
        return cls(session, link, await cast("Transactional", link.binding).begin())

    async def send(self, to: Destination[T], payload: T | Message[T], /, **options: Unpack[SendOptions]) -> Receipt:
        if not self._open:
            msg = "the transaction has ended; send inside its `async with`"
            raise Closed(msg)
        outgoing, timeout = await self._session.reach(to, time_for(to, payload, options))
        if outgoing.link is not self._link:
            msg = f"{to} is on broker {outgoing.link.broker.name!r}, the transaction on {self._link.broker.name!r}"
            raise ConfigurationError(msg)

        async def inner(envelope: Envelope) -> Receipt:
            what = f"message {envelope.message_id} in a transaction"
            return await ended(self._transaction.send(envelope), what, timeout)

        return await self._session.around(inner)(outgoing.envelope(payload, options))

    async def send_many(
        self,
        to: Destination[T],
        payloads: Sequence[T | Message[T]],
        /,
        **options: Unpack[SendOptions],
    ) -> list[Receipt]:
        check_common_options(options)
        return [await self.send(to, payload, **options) for payload in payloads]

    async def commit(self, source: Enlisted | None) -> None:
        self._open = False
        settles = [] if source is None else [(source[0], source[1])]
        await ended(self._transaction.commit(settles), "the transaction may be committed", DEFAULT_TIMEOUT)
        if source is not None:
            source[2]()

    async def abort(self) -> None:
        """Take everything back; what a broker does not hear of, it takes back when it misses its client."""
        self._open = False
        with suppress(SendUnknown):
            await ended(self._transaction.abort(), "the transaction", _TAKING_BACK)


async def prepare_half(
    session: Session, outgoing: Outgoing, envelope: Envelope, *, check: str, timeout: float
) -> "HalfSent":
    """Store a half message, through the interceptors.

    :raises SendRefused: when an interceptor kept it
    :raises SendUnknown: when the broker does not answer: it asks the checker, if it has it
    """
    binding, stored = cast("TwoPhase", outgoing.link.binding), list[HalfMessage]()

    async def inner(envelope: Envelope) -> Receipt:
        what = f"half message {envelope.message_id}"
        stored.append(await ended(binding.prepare(envelope, check), what, timeout))
        return Receipt(envelope.message_id, envelope.destination, outgoing.link.broker.name)

    await session.around(inner)(envelope)
    if not stored:
        msg = f"half message {envelope.message_id} was kept by an interceptor"
        raise SendRefused(msg)
    return HalfSent(stored[-1], timeout)


class HalfSent:
    """A stored message that nobody sees until it is committed; decided once."""

    def __init__(self, half: HalfMessage, timeout: float) -> None:
        self._half = half
        self._timeout = timeout
        self._receipt: Receipt | None = None
        self._rolled_back = False

    async def commit(self) -> Receipt:
        """Let it be seen; asking twice gives the same receipt. What was rolled back stays so."""
        if self._rolled_back:
            msg = "the message was rolled back; it cannot be committed any more"
            raise Closed(msg)
        if self._receipt is None:
            self._receipt = await ended(self._half.commit(), "the message may be committed", self._timeout)
        return self._receipt

    async def roll_back(self) -> None:
        if self._receipt is None and not self._rolled_back:
            await ended(self._half.roll_back(), "the message may be rolled back", self._timeout)
            self._rolled_back = True

    @property
    def decided(self) -> bool:
        return self._rolled_back or self._receipt is not None
