"""Animals that lose something over a connection, come and go badly, or do not come back."""

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

from msgkit.envelope import Envelope
from msgkit.errors import Closed
from msgkit.spi import (
    BindingOptions,
    Capabilities,
    Consumer,
    Down,
    Event,
    Plan,
    ProvisionMode,
    Sink,
    Subscription,
    Topology,
    Up,
)
from msgkit_memory.server import Broker
from tests.zoo.animal import Animal, Line, caught_by

__all__: list[str] = []

_log = logging.getLogger("msgkit.zoo")


class _Lossy(Animal):
    """Does something when its connection is lost."""

    losses = 0

    def hear(self, tell: Callable[[Event], None], event: Event) -> None:
        if isinstance(event, Down):
            self.losses += 1
            with self.broker.lock:
                self.went_down()
        super().hear(tell, event)

    def went_down(self) -> None:
        raise NotImplementedError


@caught_by("the_seam_says_when_it_is_down_and_when_up_again")
class ComesBackNever(_Lossy):
    """Does not connect again."""

    def went_down(self) -> None:
        self._session.client.banned = True


@caught_by(
    "requests_are_answered_again_after_a_lost_connection", "connections_lost_again_and_again_lose_no_confirmed_message"
)
class ComesBackOnce(_Lossy):
    """Connects again only once."""

    def went_down(self) -> None:
        self._session.client.banned = self.losses > 2


@caught_by("an_application_recovers_again_and_again", "a_lost_connection_leaves_a_request_unknown")
class ComesBackWithoutConsumers(_Lossy):
    """Connects again, and consumes nothing any more."""

    def went_down(self) -> None:
        self._session.members.clear()


@caught_by(
    "what_waits_is_there_after_a_broker_restart", "what_was_being_handled_when_the_connection_was_lost_comes_again"
)
class LosesWhatWaits(_Lossy):
    """Keeps queues in memory, which a lost connection empties."""

    def went_down(self) -> None:
        for queue in self.broker.content.queues.values():
            queue.purge()


@caught_by("a_broker_killed_as_soon_as_a_queue_is_there_loses_no_confirmed_message")
class WritesQueuesDownLate(_Lossy):
    """Empties the queues that it made less than a second before it lost its connection."""

    def born(self) -> None:
        self.young: dict[str, float] = {}

    async def provision(self, topology: Topology, mode: ProvisionMode) -> Plan:
        plan = await super().provision(topology, mode)
        self.young |= dict.fromkeys(topology.queues, time.monotonic())
        return plan

    def went_down(self) -> None:
        for name, made in self.young.items():
            if time.monotonic() - made < 1:
                self.broker.content.queues[name].purge()


@caught_by(
    "an_anonymous_queue_that_was_away_too_long_reports_a_gap", "exchanges_queues_and_routes_are_there_after_a_restart"
)
class LosesItsRoutes(Animal):
    """Makes routes that end with the connection, and does not declare them again."""

    def hear(self, tell: Callable[[Event], None], event: Event) -> None:
        if isinstance(event, Up):
            with self.broker.lock:
                for exchange in self.broker.content.exchanges.values():
                    for name in self.broker.content.queues:
                        exchange.remove(name)
        super().hear(tell, event)


@caught_by("health_tells_of_a_broker_that_is_down")
class SaysNothing(Animal):
    """Does not tell that the connection is lost, or back."""

    def hear(self, tell: Callable[[Event], None], event: Event) -> None:
        if not isinstance(event, Down | Up):
            super().hear(tell, event)


@caught_by("the_seam_says_when_it_is_down_and_when_up_again", "an_application_recovers_again_and_again")
class ComesBackInSilence(Animal):
    """Does not tell that the connection is back."""

    def hear(self, tell: Callable[[Event], None], event: Event) -> None:
        if not isinstance(event, Up):
            super().hear(tell, event)


@caught_by("a_broker_that_is_down_at_start_is_waited_for")
class WaitsForNoBroker(Animal):
    """Fails at once when the broker is down, however long it may wait."""

    def __init__(self, options: BindingOptions) -> None:
        super().__init__(replace(options, wait=0.0))


@caught_by("a_broker_that_is_down_at_start_fails_at_once_where_that_is_asked")
class WaitsForEver(Animal):
    """Waits for a broker that is down when it was told not to."""

    def __init__(self, options: BindingOptions) -> None:
        super().__init__(replace(options, wait=3600.0))


@caught_by("a_password_is_told_to_nobody")
class TellsItsPassword(Animal):
    """Says in the log how it connects."""

    def __init__(self, options: BindingOptions) -> None:
        _log.info("connecting to %s", options.url)
        super().__init__(options)


@caught_by("no_log_tells_what_a_message_carries")
class TellsWhatItCarries(Animal):
    """Says in the log what it sends."""

    def out(self, envelope: Envelope) -> Envelope:
        _log.debug("sending %r to %s", envelope.body, envelope.destination)
        return envelope


@caught_by("an_option_of_the_broker_that_nobody_knows_is_refused")
class IgnoresItsOptions(Animal):
    """Reads nothing of a URL but the name."""

    def __init__(self, options: BindingOptions) -> None:
        super().__init__(replace(options, url=options.url.partition("?")[0], options={}))


@caught_by("the_password_in_use_is_told_to_nobody", "making_things_starts_nothing")
class BeginsWhenMade(Animal):
    """Has a task before anybody asked it to connect."""

    def born(self) -> None:
        self.begun = asyncio.ensure_future(_for_ever())

    async def connect(self, on_event: Callable[[Event], None]) -> Capabilities:
        self.begun.cancel()
        return await super().connect(on_event)


@caught_by("making_things_asks_for_no_broker")
class AsksWhenMade(Animal):
    """Waits for its broker before anybody asked it to connect."""

    def born(self) -> None:
        broker = Broker.at(self.options.url)
        until = time.monotonic() + 0.8
        while not broker.running and time.monotonic() < until:
            time.sleep(0.01)


@caught_by("an_application_can_run_again", "what_the_topology_asks_for_in_vain_is_refused_at_start")
class ServesAQueueOnce(Animal):
    """Gives nothing to a queue's second consumer when the first has left."""

    async def leave(self, line: Line) -> None:
        await super().leave(line)
        self.memory.add(line.queue.name)

    def credit(self, line: Line, n: int) -> None:
        if line.queue.name not in self.memory:
            super().credit(line, n)


# -- leaving


@caught_by("a_drained_consumer_is_given_nothing_and_settles_what_it_has")
class DeliversWhenDrained(Animal):
    """Goes on delivering to a consumer that said it would take no more."""

    async def drain(self, line: Line) -> None:
        """Go on."""


@caught_by("what_is_being_handled_at_stop_is_finished", "a_thread_at_work_is_waited_for", "nothing_begins_after_stop")
class SettlesNothingWhenDrained(Animal):
    """Takes what a drained consumer has away from it."""

    async def drain(self, line: Line) -> None:
        await super().drain(line)
        await line.consumer.close()


@caught_by(
    "what_a_paused_consumer_had_goes_to_another",
    "a_paused_queue_begins_nothing_until_it_is_resumed",
    "pausing_one_queue_stops_no_other",
)
class StaysSubscribed(Animal):
    """Goes on delivering to a consumer that has left."""

    async def drain(self, line: Line) -> None:
        """Go on."""

    async def leave(self, line: Line) -> None:
        """Stay."""


@caught_by("what_a_paused_consumer_had_goes_to_another")
class KeepsWhatItHas(Animal):
    """Gives back what a consumer had only when its whole application ends."""

    async def leave(self, line: Line) -> None:
        """Keep it."""


@caught_by("making_things_starts_nothing")
class ClosesNever(Animal):
    """Hangs when it is closed."""

    async def close(self, deadline: float) -> None:
        await super().close(deadline)
        await asyncio.Event().wait()


@caught_by("a_queue_that_does_not_start_by_itself_waits_for_resume")
class LeavesNever(Animal):
    """Hangs when a consumer leaves."""

    async def leave(self, line: Line) -> None:
        await super().leave(line)
        await asyncio.Event().wait()


@caught_by(
    "an_application_can_be_stopped_while_the_broker_is_frozen", "an_application_can_be_stopped_while_the_broker_is_down"
)
class ClosesOnlyWhenConnected(Animal):
    """Waits for the broker when it is closed."""

    async def close(self, deadline: float) -> None:
        # Whatever is asked of a broker waits for it.
        await self._session.wire.request(lambda: None)
        await super().close(deadline)


@caught_by("closing_twice_is_harmless")
class ClosesOnce(Animal):
    """Fails when it is closed a second time."""

    closed = False

    async def close(self, deadline: float) -> None:
        if self.closed:
            raise Closed("closed already")
        self.closed = True
        await super().close(deadline)


@caught_by(
    "a_stop_with_nothing_to_do_takes_no_time", "what_does_not_finish_in_time_is_cancelled_and_goes_back_uncounted"
)
class TakesItsTimeToLeave(Animal):
    """Lets every stop take as long as it may."""

    async def leave(self, line: Line) -> None:
        await asyncio.sleep(1.5)
        await super().leave(line)


@caught_by("leaving_by_an_error_closes_too")
class LeavesATask(Animal):
    """Has a task for each consumer, and forgets to end it."""

    def born(self) -> None:
        self.tasks: list[asyncio.Future[None]] = []

    async def subscribe(self, subscription: Subscription, sink: Sink) -> Consumer:
        # Kept, since what nobody refers to may end at any time.
        self.tasks.append(asyncio.ensure_future(_for_ever()))
        return await super().subscribe(subscription, sink)


async def _for_ever() -> None:
    await asyncio.Event().wait()


@caught_by("an_application_that_cannot_start_leaves_nothing_running")
class LeavesAThread(Animal):
    """Has a thread for each connection, and forgets it."""

    async def connect(self, on_event: Callable[[Event], None]) -> Capabilities:
        # In the end it goes, or nobody could run all animals in one process.
        threading.Thread(target=threading.Event().wait, args=(5,), daemon=True).start()
        return await super().connect(on_event)


@caught_by("nothing_is_missed_from_when_an_application_has_started")
class BindsLate(Animal):
    """Says that a queue has its routes a little before it has them."""

    async def provision(self, topology: Topology, mode: ProvisionMode) -> Plan:
        make = super().provision
        if mode is not ProvisionMode.CREATE:
            return await make(topology, mode)
        plan = await make(topology, ProvisionMode.PLAN)
        bare = {name: replace(queue, routes=()) for name, queue in topology.queues.items()}
        await make(Topology(topology.exchanges, bare), mode)
        self._session.spawn(_after(0.05, lambda: make(topology, mode)))
        return plan


async def _after(pause: float, then: Callable[[], Awaitable[object]]) -> None:
    await asyncio.sleep(pause)
    await then()
