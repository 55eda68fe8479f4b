"""Animals that claim powers which they do not have, or use them badly."""

import asyncio
from asyncio import Future
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType
from typing import Literal, TypeVar, cast

from msgkit.envelope import Envelope, Kind, Receipt
from msgkit.errors import UnsupportedCapability
from msgkit.settlement import ACCEPT
from msgkit.spi import (
    NATIVE,
    Capabilities,
    Checker,
    Consumer,
    Depth,
    HalfMessage,
    Power,
    QueueSpec,
    RawDelivery,
    Refused,
    Shared,
    Support,
    Transaction,
)
from tests.zoo.animal import Animal, Deal, caught_by, ignore

__all__: list[str] = []

T = TypeVar("T")


# -- requests


@caught_by()
class AnswersEverybody(Animal):
    """Gives each reply to all who wait for one."""

    def send(self, envelope: Envelope) -> "Future[Receipt]":
        if envelope.kind is Kind.REPLY:
            for address in list(self.broker.content.replies):
                if address != envelope.destination:
                    ignore(super().send(envelope._replace(destination=address)))
        return super().send(envelope)


@caught_by()
class AnswersTheWrongOne(Animal):
    """Gives a reply to whoever asked first."""

    def out(self, envelope: Envelope) -> Envelope:
        if envelope.kind is not Kind.REPLY:
            return envelope
        first = next(iter(self.broker.content.replies), envelope.destination)
        return envelope._replace(destination=first)


@caught_by()
class AnswersTwice(Animal):
    """Gives each reply twice."""

    async def listen_for_replies(self, on_reply: Callable[[Envelope], None], /) -> str:
        def twice(envelope: Envelope) -> None:
            on_reply(envelope)
            on_reply(envelope)

        return await super().listen_for_replies(twice)


@caught_by()
class AnswersNobody(Animal):
    """Confirms replies, and loses them."""

    def send(self, envelope: Envelope) -> "Future[Receipt]":
        return self.confirm(envelope) if envelope.kind is Kind.REPLY else super().send(envelope)


@caught_by()
class ChangesItsAddress(Animal):
    """Has another address for replies each time that it is asked."""

    async def listen_for_replies(self, on_reply: Callable[[Envelope], None], /) -> str:
        self._session.client.address = None
        return await super().listen_for_replies(on_reply)


# -- transactions


class _Deals(Animal):
    async def begin(self) -> Transaction:
        return self.deal(await super().begin())

    def deal(self, transaction: Transaction) -> Transaction:
        return transaction


class _SeenAtOnce(Deal):
    async def send(self, envelope: Envelope, /) -> Receipt:
        return await self.animal.send(envelope)


@caught_by()
class ShowsWhatIsNotCommitted(_Deals):
    """Makes what a transaction sends visible at once."""

    def deal(self, transaction: Transaction) -> Transaction:
        return _SeenAtOnce(self, transaction)


class _NeverAborted(Deal):
    async def abort(self) -> None:
        await self.commit(())


@caught_by()
class CommitsWhatIsAborted(_Deals):
    """Keeps what a transaction sent when it is taken back."""

    def deal(self, transaction: Transaction) -> Transaction:
        return _NeverAborted(self, transaction)


class _SettlesNothing(Deal):
    async def commit(self, settle: Sequence[tuple[Consumer, RawDelivery]], /) -> None:
        del settle
        await super().commit(())


@caught_by()
class CommitsWithoutSettling(_Deals):
    """Leaves the delivery unsettled that a transaction was to accept."""

    def deal(self, transaction: Transaction) -> Transaction:
        return _SettlesNothing(self, transaction)


class _Forgotten(Deal):
    async def commit(self, settle: Sequence[tuple[Consumer, RawDelivery]], /) -> None:
        await self.transaction.abort()
        for consumer, raw in settle:
            _settled = consumer.settle(raw, ACCEPT)


@caught_by()
class CommitsNothing(_Deals):
    """Loses what a transaction sent."""

    def deal(self, transaction: Transaction) -> Transaction:
        return _Forgotten(self, transaction)


class _Half(Deal):
    number = 0

    async def send(self, envelope: Envelope, /) -> Receipt:
        self.number += 1
        if self.number % 2:
            return await super().send(envelope)
        return await self.animal.send(envelope)


@caught_by()
class CommitsHalf(_Deals):
    """Has every second message of a transaction be outside of it."""

    def deal(self, transaction: Transaction) -> Transaction:
        return _Half(self, transaction)


# -- half messages


class _Halves(Animal):
    async def prepare(self, envelope: Envelope, check: str, /) -> HalfMessage:
        return self.half(await super().prepare(envelope, check))

    def half(self, half: HalfMessage) -> HalfMessage:
        return half


class _Whole:
    def __init__(self, receipt: Receipt) -> None:
        self._receipt = receipt

    async def commit(self) -> Receipt:
        return self._receipt

    async def roll_back(self) -> None:
        """Too late."""


@caught_by()
class ShowsHalfMessages(Animal):
    """Sends at once what was to wait for its commit."""

    async def prepare(self, envelope: Envelope, check: str, /) -> HalfMessage:
        del check
        return _Whole(await self.send(envelope))


class _Stubborn:
    def __init__(self, half: HalfMessage) -> None:
        self._half = half

    async def commit(self) -> Receipt:
        return await self._half.commit()

    async def roll_back(self) -> None:
        await self._half.commit()


@caught_by()
class DeliversWhatIsRolledBack(_Halves):
    """Makes a message of every half one."""

    def half(self, half: HalfMessage) -> HalfMessage:
        return _Stubborn(half)


class _Lazy(_Stubborn):
    def __init__(self, half: HalfMessage, receipt: Receipt) -> None:
        super().__init__(half)
        self._receipt = receipt

    async def commit(self) -> Receipt:
        return self._receipt

    async def roll_back(self) -> None:
        await self._half.roll_back()


@caught_by()
class CommitsNoHalf(Animal):
    """Leaves a half message half when it is committed."""

    async def prepare(self, envelope: Envelope, check: str, /) -> HalfMessage:
        return _Lazy(await super().prepare(envelope, check), self.receipt(envelope))


@caught_by()
class PreparesForNowhere(Animal):
    """Takes half messages for destinations that are not there."""

    async def prepare(self, envelope: Envelope, check: str, /) -> HalfMessage:
        if envelope.destination not in self.broker.content.queues:
            return _Whole(self.receipt(envelope))
        return await super().prepare(envelope, check)


@caught_by()
class AsksNobody(Animal):
    """Never asks what became of a half message."""

    def answer_checks(self, checker: Checker, names: Sequence[str], /) -> None:
        """Be left in peace."""


class _Asks(Animal):
    def answer_checks(self, checker: Checker, names: Sequence[str], /) -> None:
        async def changed(name: str, envelope: Envelope) -> bool | None:
            return await self.answer(checker(name, envelope))

        super().answer_checks(changed, names)

    async def answer(self, asked: Awaitable[bool | None]) -> bool | None:
        return await asked


@caught_by()
class TakesNoAnswerForYes(_Asks):
    """Commits a half message of which nothing is known yet."""

    async def answer(self, asked: Awaitable[bool | None]) -> bool | None:
        return await asked is not False


@caught_by()
class TakesNoForYes(_Asks):
    """Commits a half message that its check wants rolled back."""

    async def answer(self, asked: Awaitable[bool | None]) -> bool | None:
        return None if await asked is None else True


@caught_by()
class AsksTheWrongOne(Animal):
    """Asks each checker about the half messages of all others."""

    def answer_checks(self, checker: Checker, names: Sequence[str], /) -> None:
        async def misled(_: str, envelope: Envelope) -> bool | None:
            return await checker(names[0], envelope)

        super().answer_checks(misled, names)


# -- looking, replaying


@caught_by()
class BrowsesByTaking(Animal):
    """Takes what it was only to look at."""

    async def browse(self, queue: QueueSpec, limit: int | None, /) -> AsyncIterator[Envelope]:
        async for envelope in super().browse(queue, limit):
            yield envelope
        await self.purge(queue)


@caught_by()
class BrowsesForEver(Animal):
    """Waits for more when it has shown all there is."""

    async def browse(self, queue: QueueSpec, limit: int | None, /) -> AsyncIterator[Envelope]:
        async for envelope in super().browse(queue, limit):
            yield envelope
        await asyncio.Event().wait()


@caught_by()
class LendsAnything(Animal):
    """Lends itself for whatever is asked for."""

    def native(self, kind: type[T], /) -> AbstractAsyncContextManager[T]:
        del kind
        return nullcontext(cast("T", self))


@caught_by()
class BrowsesBackwards(Animal):
    """Shows the newest first."""

    async def browse(self, queue: QueueSpec, limit: int | None, /) -> AsyncIterator[Envelope]:
        found = [envelope async for envelope in super().browse(queue, None)]
        for envelope in found[::-1][:limit]:
            yield envelope


@caught_by()
class BrowsesWithoutLimit(Animal):
    """Shows more than was asked for."""

    async def browse(self, queue: QueueSpec, limit: int | None, /) -> AsyncIterator[Envelope]:
        del limit
        async for envelope in super().browse(queue, None):
            yield envelope


@caught_by()
class PurgesNothing(Animal):
    """Says how much it has dropped, and keeps it."""

    async def purge(self, queue: QueueSpec, /) -> int:
        return (await self.depth(queue)).ready


@caught_by()
class PurgesTooMuch(Animal):
    """Drops all queues instead of one."""

    async def purge(self, queue: QueueSpec, /) -> int:
        number = await super().purge(queue)
        with self.broker.lock:
            for each in self.broker.content.queues.values():
                each.purge()
        return number


@caught_by()
class CountsWrongly(Animal):
    """Says of every queue that it is empty."""

    async def depth(self, queue: QueueSpec, /) -> Depth:
        del queue
        return Depth(ready=0, unsettled=0)


@caught_by()
class CountsOnlyWhatWaits(Animal):
    """Says nothing of what consumers have."""

    async def depth(self, queue: QueueSpec, /) -> Depth:
        return replace(await super().depth(queue), unsettled=0)


@caught_by()
class GoesBackNowhere(Animal):
    """Says that a queue receives again, and leaves it as it is."""

    async def seek(self, queue: QueueSpec, to: Literal["earliest", "latest"] | datetime, /) -> int:
        del queue, to
        return 0


@caught_by()
class GoesBackAllTheWay(Animal):
    """Goes to the beginning, wherever it was sent."""

    async def seek(self, queue: QueueSpec, to: Literal["earliest", "latest"] | datetime, /) -> int:
        del to
        return await super().seek(queue, "earliest")


# -- claims


def _claiming(keeps: Capabilities, power: Power, support: Support) -> Capabilities:
    return replace(keeps, powers=MappingProxyType({**keeps.powers, power: support}))


@caught_by()
class ClaimsTransactions(Animal):
    """Says that it has transactions, and has none."""

    async def begin(self) -> Transaction:
        raise UnsupportedCapability("memory has no transactions")


@caught_by()
class ClaimsHalfMessages(Animal):
    """Says that it has half messages, and has none."""

    async def prepare(self, envelope: Envelope, check: str, /) -> HalfMessage:
        raise UnsupportedCapability(f"memory has no half messages: {envelope.message_id}, {check}")


@caught_by()
class ClaimsToBrowse(Animal):
    """Says that it shows what waits, and does not."""

    async def browse(self, queue: QueueSpec, limit: int | None, /) -> AsyncIterator[Envelope]:
        raise UnsupportedCapability(f"memory cannot show {limit} of {queue.name}")
        yield  # the function is a generator, as it has to be


@caught_by()
class ClaimsToAnswer(Animal):
    """Says that it brings answers, and does not."""

    async def listen_for_replies(self, on_reply: Callable[[Envelope], None], /) -> str:
        raise UnsupportedCapability(f"memory has no replies for {on_reply}")


@caught_by()
class ClaimsToLast(Animal):
    """Says that it outlives its process."""

    def claims(self, keeps: Capabilities) -> Capabilities:
        return replace(keeps, durable=True, shared=Shared.PROCESS)


@caught_by()
class ClaimsNothing(Animal):
    """Says of a power that it has it not, without a reason."""

    def claims(self, keeps: Capabilities) -> Capabilities:
        return _claiming(keeps, Power.DELAY, Refused(""))


@caught_by()
class ClaimsToReplay(Animal):
    """Says that it can replay, and keeps nothing."""

    def claims(self, keeps: Capabilities) -> Capabilities:
        keeps = _claiming(keeps, Power.START, NATIVE)
        return _claiming(keeps, Power.REPLAY, NATIVE)

    async def seek(self, queue: QueueSpec, to: Literal["earliest", "latest"] | datetime, /) -> int:
        raise UnsupportedCapability(f"memory cannot go back to {to} in {queue.name}")
