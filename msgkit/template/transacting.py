"""Sends that are seen all together or never, and messages that wait for a decision."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar, Unpack, cast, runtime_checkable

from msgkit.brokers import Link
from msgkit.envelope import Envelope, Receipt
from msgkit.errors import Closed, ConfigurationError
from msgkit.message import Delivery, Message, SendOptions
from msgkit.spi import Consumer, HalfMessage, RawDelivery, Transaction, Transactional
from msgkit.template.outgoing import check_common_options
from msgkit.template.session import Session
from msgkit.topology import Destination

__all__ = ["Enlisted", "HalfSent", "TransactionSender", "enlist"]

T = TypeVar("T")

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
        outgoing = await self._session.prepare(to)
        if outgoing.link is not self._link:
            msg = f"{to} is on broker {outgoing.link.broker.name!r}, the transaction on {self._link.broker.name!r}"
            raise ConfigurationError(msg)
        return await self._session.around(self._inner)(outgoing.envelope(payload, options))

    async def _inner(self, envelope: Envelope) -> Receipt:
        return await self._transaction.send(envelope)

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
        if source is None:
            await self._transaction.commit([])
            return
        consumer, raw, settled = source
        await self._transaction.commit([(consumer, raw)])
        settled()

    async def abort(self) -> None:
        self._open = False
        await self._transaction.abort()


class HalfSent:
    """A stored message that nobody sees until it is committed; decided once."""

    def __init__(self, half: HalfMessage) -> None:
        self._half = half
        self._receipt: Receipt | None = None
        self._rolled_back = False

    async def commit(self) -> Receipt:
        """Let it be seen; asking twice gives the same receipt. What was rolled back stays so."""
        if self._rolled_back:
            msg = "the message was rolled back; it cannot be committed any more"
            raise Closed(msg)
        if self._receipt is None:
            self._receipt = await self._half.commit()
        return self._receipt

    async def roll_back(self) -> None:
        if self._receipt is None and not self._rolled_back:
            await self._half.roll_back()
            self._rolled_back = True

    @property
    def decided(self) -> bool:
        return self._rolled_back or self._receipt is not None
