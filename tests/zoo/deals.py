"""Animals that break their word about transactions and half messages."""

from collections.abc import Awaitable, Sequence

from msgkit.envelope import Envelope, Receipt
from msgkit.settlement import ACCEPT
from msgkit.spi import (
    Checker,
    Consumer,
    HalfMessage,
    RawDelivery,
    Transaction,
)
from tests.zoo.animal import Animal, Deal, caught_by

__all__: list[str] = []


# -- transactions


class _Deals(Animal):
    async def begin(self) -> Transaction:
        return self.deal(await super().begin())

    def deal(self, transaction: Transaction) -> Transaction:
        return transaction


class _SeenAtOnce(Deal):
    async def send(self, envelope: Envelope, /) -> Receipt:
        return await self.animal.send(envelope)


@caught_by(
    "what_is_committed_is_seen_together_and_not_before",
    "what_is_aborted_is_never_seen",
    "transactions_side_by_side_do_not_mix",
)
class ShowsWhatIsNotCommitted(_Deals):
    """Makes what a transaction sends visible at once."""

    def deal(self, transaction: Transaction) -> Transaction:
        return _SeenAtOnce(self, transaction)


class _NeverAborted(Deal):
    async def abort(self) -> None:
        await self.commit(())


@caught_by(
    "what_is_aborted_is_never_seen",
    "a_transaction_with_one_bad_destination_is_nothing",
    "an_aborted_transaction_leaves_its_delivery_open",
)
class CommitsWhatIsAborted(_Deals):
    """Keeps what a transaction sent when it is taken back."""

    def deal(self, transaction: Transaction) -> Transaction:
        return _NeverAborted(self, transaction)


class _SettlesNothing(Deal):
    async def commit(self, settle: Sequence[tuple[Consumer, RawDelivery]], /) -> None:
        del settle
        await super().commit(())


@caught_by("a_transaction_settles_the_delivery_that_it_answers")
class CommitsWithoutSettling(_Deals):
    """Leaves the delivery unsettled that a transaction was to accept."""

    def deal(self, transaction: Transaction) -> Transaction:
        return _SettlesNothing(self, transaction)


class _Forgotten(Deal):
    async def commit(self, settle: Sequence[tuple[Consumer, RawDelivery]], /) -> None:
        await self.transaction.abort()
        for consumer, raw in settle:
            _settled = consumer.settle(raw, ACCEPT)


@caught_by("a_handler_may_answer_in_a_transaction", "a_connection_lost_in_a_transaction_leaves_all_or_nothing")
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


@caught_by("what_is_committed_is_seen_together_and_not_before")
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


@caught_by("a_half_message_is_seen_when_its_sender_is_done")
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


@caught_by("a_half_message_is_gone_when_its_sender_failed", "a_half_message_is_decided_once")
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


@caught_by("a_half_message_is_seen_when_its_sender_is_done")
class CommitsNoHalf(Animal):
    """Leaves a half message half when it is committed."""

    async def prepare(self, envelope: Envelope, check: str, /) -> HalfMessage:
        return _Lazy(await super().prepare(envelope, check), self.receipt(envelope))


@caught_by("a_half_message_for_nowhere_is_refused")
class PreparesForNowhere(Animal):
    """Takes half messages for destinations that are not there."""

    async def prepare(self, envelope: Envelope, check: str, /) -> HalfMessage:
        if envelope.destination not in self.broker.content.queues:
            return _Whole(self.receipt(envelope))
        return await super().prepare(envelope, check)


@caught_by("a_checker_decides_when_the_sender_went_silent")
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


@caught_by("a_checker_that_does_not_know_yet_is_asked_again")
class TakesNoAnswerForYes(_Asks):
    """Commits a half message of which nothing is known yet."""

    async def answer(self, asked: Awaitable[bool | None]) -> bool | None:
        return await asked is not False


@caught_by("a_checker_is_asked_about_its_own_half_messages_only")
class TakesNoForYes(_Asks):
    """Commits a half message that its check wants rolled back."""

    async def answer(self, asked: Awaitable[bool | None]) -> bool | None:
        return None if await asked is None else True


@caught_by("a_checker_is_asked_about_its_own_half_messages_only")
class AsksTheWrongOne(Animal):
    """Asks each checker about the half messages of all others."""

    def answer_checks(self, checker: Checker, names: Sequence[str], /) -> None:
        async def misled(_: str, envelope: Envelope) -> bool | None:
            return await checker(names[0], envelope)

        super().answer_checks(misled, names)
