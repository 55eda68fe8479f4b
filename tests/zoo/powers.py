"""Animals that claim powers which they do not have, or use them badly."""

import asyncio
from asyncio import Future
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType
from typing import Literal, TypeVar, cast

from msgkit.envelope import Envelope, Kind, Receipt
from msgkit.errors import UnsupportedCapability
from msgkit.spi import (
    NATIVE,
    Capabilities,
    Depth,
    HalfMessage,
    Power,
    QueueSpec,
    Refused,
    Shared,
    Support,
    Transaction,
)
from tests.zoo.animal import Animal, caught_by, ignore

__all__: list[str] = []

T = TypeVar("T")


# -- requests


@caught_by("askers_of_one_name_get_their_own_answers")
class AnswersEverybody(Animal):
    """Gives each reply to all who wait for one."""

    def send(self, envelope: Envelope) -> "Future[Receipt]":
        if envelope.kind is Kind.REPLY:
            for address in list(self.broker.content.replies):
                if address != envelope.destination:
                    ignore(super().send(envelope._replace(destination=address)))
        return super().send(envelope)


@caught_by("each_of_many_requests_gets_its_own_answer")
class AnswersTheWrongOne(Animal):
    """Gives a reply to whoever asked first."""

    def out(self, envelope: Envelope) -> Envelope:
        if envelope.kind is not Kind.REPLY:
            return envelope
        first = next(iter(self.broker.content.replies), envelope.destination)
        return envelope._replace(destination=first)


@caught_by(
    "the_first_answer_wins_and_the_next_is_counted",
    "an_answer_that_comes_too_late_is_counted_and_no_other_request_gets_it",
)
class AnswersTwice(Animal):
    """Gives each reply twice."""

    async def listen_for_replies(self, on_reply: Callable[[Envelope], None], /) -> str:
        def twice(envelope: Envelope) -> None:
            on_reply(envelope)
            on_reply(envelope)

        return await super().listen_for_replies(twice)


@caught_by("a_request_through_an_exchange_is_answered")
class AnswersNobody(Animal):
    """Confirms replies, and loses them."""

    def send(self, envelope: Envelope) -> "Future[Receipt]":
        return self.confirm(envelope) if envelope.kind is Kind.REPLY else super().send(envelope)


@caught_by("others_may_ask_with_an_address_of_their_own")
class ChangesItsAddress(Animal):
    """Has another address for replies each time that it is asked."""

    async def listen_for_replies(self, on_reply: Callable[[Envelope], None], /) -> str:
        self._session.client.address = None
        return await super().listen_for_replies(on_reply)


# -- looking, replaying


@caught_by("browsing_shows_what_waits_and_takes_nothing", "browsing_shows_dead_letters")
class BrowsesByTaking(Animal):
    """Takes what it was only to look at."""

    async def browse(self, queue: QueueSpec, limit: int | None, /) -> AsyncIterator[Envelope]:
        async for envelope in super().browse(queue, limit):
            yield envelope
        await self.purge(queue)


@caught_by("browsing_an_empty_queue_ends")
class BrowsesForEver(Animal):
    """Waits for more when it has shown all there is."""

    async def browse(self, queue: QueueSpec, limit: int | None, /) -> AsyncIterator[Envelope]:
        async for envelope in super().browse(queue, limit):
            yield envelope
        await asyncio.Event().wait()


@caught_by("what_no_client_library_has_is_not_lent")
class LendsAnything(Animal):
    """Lends itself for whatever is asked for."""

    def native(self, kind: type[T], /) -> AbstractAsyncContextManager[T]:
        del kind
        return nullcontext(cast("T", self))


@caught_by("browsing_shows_what_waits_and_takes_nothing")
class BrowsesBackwards(Animal):
    """Shows the newest first."""

    async def browse(self, queue: QueueSpec, limit: int | None, /) -> AsyncIterator[Envelope]:
        found = [envelope async for envelope in super().browse(queue, None)]
        for envelope in found[::-1][:limit]:
            yield envelope


@caught_by("browsing_shows_what_waits_and_takes_nothing")
class BrowsesWithoutLimit(Animal):
    """Shows more than was asked for."""

    async def browse(self, queue: QueueSpec, limit: int | None, /) -> AsyncIterator[Envelope]:
        del limit
        async for envelope in super().browse(queue, None):
            yield envelope


@caught_by("purging_empties_a_queue_and_nothing_else")
class PurgesNothing(Animal):
    """Says how much it has dropped, and keeps it."""

    async def purge(self, queue: QueueSpec, /) -> int:
        return (await self.depth(queue)).ready


@caught_by("purging_empties_a_queue_and_nothing_else")
class PurgesTooMuch(Animal):
    """Drops all queues instead of one."""

    async def purge(self, queue: QueueSpec, /) -> int:
        number = await super().purge(queue)
        with self.broker.lock:
            for each in self.broker.content.queues.values():
                each.purge()
        return number


@caught_by("depth_counts_what_waits_and_what_is_in_hand")
class CountsWrongly(Animal):
    """Says of every queue that it is empty."""

    async def depth(self, queue: QueueSpec, /) -> Depth:
        del queue
        return Depth(ready=0, unsettled=0)


@caught_by("what_is_kept_open_stays_unsettled_until_it_is_settled")
class CountsOnlyWhatWaits(Animal):
    """Says nothing of what consumers have."""

    async def depth(self, queue: QueueSpec, /) -> Depth:
        return replace(await super().depth(queue), unsettled=0)


@caught_by("a_queue_can_skip_what_waits")
class GoesBackNowhere(Animal):
    """Says that a queue receives again, and leaves it as it is."""

    async def seek(self, queue: QueueSpec, to: Literal["earliest", "latest"] | datetime, /) -> int:
        del queue, to
        return 0


@caught_by("a_queue_can_be_read_again_from_a_moment_on")
class GoesBackAllTheWay(Animal):
    """Goes to the beginning, wherever it was sent."""

    async def seek(self, queue: QueueSpec, to: Literal["earliest", "latest"] | datetime, /) -> int:
        del to
        return await super().seek(queue, "earliest")


# -- claims


def _claiming(keeps: Capabilities, power: Power, support: Support) -> Capabilities:
    return replace(keeps, powers=MappingProxyType({**keeps.powers, power: support}))


@caught_by("a_transaction_that_has_ended_takes_no_more")
class ClaimsTransactions(Animal):
    """Says that it has transactions, and has none."""

    async def begin(self) -> Transaction:
        raise UnsupportedCapability("memory has no transactions")


@caught_by("a_half_message_is_seen_when_its_sender_is_done", "a_checker_decides_when_the_sender_went_silent")
class ClaimsHalfMessages(Animal):
    """Says that it has half messages, and has none."""

    async def prepare(self, envelope: Envelope, check: str, /) -> HalfMessage:
        raise UnsupportedCapability(f"memory has no half messages: {envelope.message_id}, {check}")


@caught_by("browsing_an_empty_queue_ends", "browsing_shows_dead_letters")
class ClaimsToBrowse(Animal):
    """Says that it shows what waits, and does not."""

    async def browse(self, queue: QueueSpec, limit: int | None, /) -> AsyncIterator[Envelope]:
        raise UnsupportedCapability(f"memory cannot show {limit} of {queue.name}")
        yield  # the function is a generator, as it has to be


@caught_by(
    "a_request_that_nobody_answers_times_out",
    "a_request_to_nowhere_is_refused_at_once",
    "an_answer_that_cannot_be_delivered_is_no_second_run",
    "a_failure_tells_the_asker_its_type_and_nothing_more",
)
class ClaimsToAnswer(Animal):
    """Says that it brings answers, and does not."""

    async def listen_for_replies(self, on_reply: Callable[[Envelope], None], /) -> str:
        raise UnsupportedCapability(f"memory has no replies for {on_reply}")


@caught_by("where_a_broker_is_shared_is_declared")
class ClaimsToLast(Animal):
    """Says that it outlives its process."""

    def claims(self, keeps: Capabilities) -> Capabilities:
        return replace(keeps, durable=True, shared=Shared.PROCESS)


@caught_by(
    "what_was_being_handled_when_the_connection_was_lost_comes_again", "a_lost_connection_cancels_what_is_being_handled"
)
class ClaimsLeases(Animal):
    """Says that what is in hand outlives its connection."""

    def claims(self, keeps: Capabilities) -> Capabilities:
        return replace(keeps, leases=True)


@caught_by("a_slow_consumer_starves_no_other")
class ClaimsParts(Animal):
    """Says that each consumer has a part of its own."""

    def claims(self, keeps: Capabilities) -> Capabilities:
        return replace(keeps, parted=True)


@caught_by("what_is_declared_is_offered_and_said_in_words")
class ClaimsNothing(Animal):
    """Says of a power that it has it not, without a reason."""

    def claims(self, keeps: Capabilities) -> Capabilities:
        return _claiming(keeps, Power.DELAY, Refused(""))


@caught_by(
    "a_queue_can_be_read_again_from_its_beginning",
    "a_queue_can_be_read_again_from_a_moment_on",
    "a_queue_can_be_read_again_while_it_is_consumed",
)
class RefusesInSilence(Animal):
    """Says that it cannot replay, and seems to do it all the same."""

    def claims(self, keeps: Capabilities) -> Capabilities:
        return _claiming(keeps, Power.REPLAY, Refused("nothing is kept"))

    async def seek(self, queue: QueueSpec, to: Literal["earliest", "latest"] | datetime, /) -> int:
        del queue, to
        return 0


@caught_by("a_queue_can_skip_what_waits")
class ClaimsToReplay(Animal):
    """Says that it can replay, and keeps nothing."""

    def claims(self, keeps: Capabilities) -> Capabilities:
        keeps = _claiming(keeps, Power.START, NATIVE)
        return _claiming(keeps, Power.REPLAY, NATIVE)

    async def seek(self, queue: QueueSpec, to: Literal["earliest", "latest"] | datetime, /) -> int:
        raise UnsupportedCapability(f"memory cannot go back to {to} in {queue.name}")
