"""Unit tests of services: an application on a broker of its own, in time that stands still."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, TypeVar, cast

from msgkit.application import Application, label
from msgkit.clock import SYSTEM, Clock
from msgkit.container import QueueRunner
from msgkit.conversion import Conversion
from msgkit.dispatch import Handler
from msgkit.envelope import Envelope, Kind, Receipt, new_id
from msgkit.errors import AlreadySettled, Closed, ConfigurationError, DeliveryLost, MessagingError
from msgkit.interception import Send
from msgkit.message import Delivery, Message
from msgkit.naming import Naming
from msgkit.settings import Settings
from msgkit.spi import Inspectable
from msgkit.template import MessageTemplate, payload_type
from msgkit.testing.clock import VirtualClock
from msgkit.topology import Destination, Queue
from msgkit.values import at_least_zero

__all__ = ["Probe", "probe"]

T = TypeVar("T")

#: Turns of the loop without any change, after which nothing is left to do.
_QUIET_TURNS = 5


class Probe:
    """What an application did: what it sent, handled and gave up."""

    def __init__(self, app: Application, settings: Settings, clock: Clock) -> None:
        self.template: MessageTemplate = app.template
        self._app = app
        self._naming = Naming(settings)
        self._clock = clock
        self._sent: list[Envelope] = []
        self._handled: list[tuple[Callable[..., object], Message[Any]]] = []
        self._dead: list[tuple[str, Envelope]] = []
        self._kept: dict[str, list[Delivery[Any]]] = {}

    # -- what happened

    def sent(self, to: Destination[T], /) -> list[Message[T]]:
        """Return what was sent to a destination and confirmed, by the test and by the application, oldest first."""
        name = self._naming.name(to)
        kinds: Any = payload_type(to) if isinstance(to, Queue) else _kinds(to)
        decode = Conversion.installed().decoder(kinds, to.converter)
        kind = Kind.QUEUE if isinstance(to, Queue) else Kind.EXCHANGE
        sent = [envelope for envelope in self._sent if (envelope.kind, envelope.destination) == (kind, name)]
        return [Message.received(decode(envelope), envelope) for envelope in sent]

    def handled(self, by: Callable[..., object], /) -> list[Message[Any]]:
        """Return what a listener handled without raising, oldest first.

        :raises ConfigurationError: when it is no listener of the application
        """
        wanted = _plain(by)
        if wanted not in (_plain(handler) for handler in self._app.handlers):
            msg = f"{by!r} is no listener of the application that is probed"
            raise ConfigurationError(msg)
        return [message for handler, message in self._handled if handler is wanted]

    def dead(self, queue: Queue[Any], /) -> list[Message[bytes]]:
        """Return what was sent to a queue's dead letters, oldest first.

        :raises ConfigurationError: when the application does not listen to the queue
        """
        known = [each.name for each in self._app.queues]
        if queue.name not in known:
            msg = f"nothing listens to {queue} in the application that is probed; its queues are {', '.join(known)}"
            raise ConfigurationError(msg)
        name = self._naming.name(queue)
        return [Message.received(envelope.body, envelope) for of, envelope in self._dead if of == name]

    # -- letting it happen

    async def idle(self, timeout: float = 5) -> None:
        """Return when nothing is left to do at this time.

        What waits for a later time is not, nor a delivery that its handler keeps, to settle it later.

        :raises TimeoutError: naming the queues that were busy to the end
        """
        until = asyncio.get_running_loop().time() + timeout
        quiet = 0
        while quiet < _QUIET_TURNS:
            if isinstance(self._clock, VirtualClock):
                # What is due at this very time is not for later: a retry after no pause at all.
                self._clock.advance_to(self._clock.now())
            busy = await self._busy()
            quiet = 0 if busy else quiet + 1
            if busy and asyncio.get_running_loop().time() > until:
                msg = f"not idle within {timeout:g} s: {', '.join(busy)}"
                raise TimeoutError(msg)
            # Handlers in threads take real time; turns of the loop alone would spin.
            await asyncio.sleep(0 if not busy else 0.001)

    async def advance(self, by: float | timedelta) -> None:
        """Let so much time pass: retries, delays and expiries come about in their order.

        :raises MessagingError: on a real broker, whose time cannot be turned
        """
        clock = self._clock
        if not isinstance(clock, VirtualClock):
            msg = "the time of a real broker cannot be advanced; wait for what you expect with idle()"
            raise MessagingError(msg)
        end = clock.now() + at_least_zero(by, "advance(by)")
        await self.idle()
        while (due := clock.next_due) is not None and due <= end:
            clock.advance_to(due)
            await self.idle()
        clock.advance_to(end)
        await self.idle()

    async def _busy(self) -> list[str]:
        health = await self._app.health()
        queues = cast("Mapping[str, Mapping[str, object]]", health["queues"])
        return [queue.name for queue in self._app.queues if await self._is_busy(queue, queues[label(queue)])]

    async def _is_busy(self, queue: Queue[Any], health: Mapping[str, object]) -> bool:
        runner = self._keeper(label(queue))
        if not health["idle"] and (runner is None or runner.running()):
            return True
        if runner is not None and (queue.ordered or runner.in_flight >= runner.options.max_in_flight):
            # What waits at the broker waits for what is kept here.
            return False
        return bool(health["consuming"]) and await self._waiting(queue) > 0

    def _keeper(self, queue: str) -> QueueRunner | None:
        """Return who waits for deliveries of a queue that its handlers keep, to settle them later; None if none is."""
        kept = [(delivery, runner) for delivery in self._kept.get(queue, ()) if (runner := _runner_of(delivery))]
        self._kept[queue] = [delivery for delivery, _ in kept]
        return kept[0][1] if kept else None

    async def _waiting(self, queue: Queue[Any]) -> int:
        session = await self.template.session()
        link = await session.link_of(queue)
        if not isinstance(link.binding, Inspectable):
            return 0
        return (await link.binding.depth(self._naming.queue_spec(queue))).ready

    # -- seen by the core

    async def record(self, envelope: Envelope, proceed: Send) -> Receipt:
        """Note what was confirmed, as an interceptor."""
        receipt = await proceed(envelope)
        self._sent.append(envelope)
        return receipt

    def handled_by(self, handler: Handler, message: Message[Any], /) -> None:
        self._handled.append((_plain(handler.bound.handler), message))
        if isinstance(message, Delivery):
            self._kept.setdefault(label(handler.bound.spec.queue), []).append(message)

    def died(self, queue: str, copy: Envelope, /) -> None:
        self._dead.append((queue, copy))


class _Observer:
    """The probe, as the container sees it."""

    def __init__(self, probe: Probe) -> None:
        self.handled = probe.handled_by
        self.dead = probe.died


@asynccontextmanager
async def probe(app: Application, settings: Settings | None = None) -> AsyncGenerator[Probe]:
    """Run an application on `memory://`, in virtual time, whatever the environment says.

    With settings it runs on their brokers instead, in real time.
    """
    clock: Clock = SYSTEM
    if settings is None:
        settings, clock = _private(app), VirtualClock()
    probed = Probe(app, settings, clock)
    async with app.running(settings, clock=clock, observer=_Observer(probed), sending=(probed.record,)):
        yield probed


def _private(app: Application) -> Settings:
    """Return settings with a broker of its own under each name that the application uses."""
    test = new_id()
    names = {destination.broker for destination in app.destinations} - {"default"}
    return Settings(
        url=f"memory://probe-{test}?transient=true",
        drain=1,
        brokers={name: {"url": f"memory://probe-{test}-{name}?transient=true"} for name in names},
    )


def _plain(function: Callable[..., object]) -> Callable[..., object]:
    return getattr(function, "__func__", function)


def _runner_of(delivery: Delivery[Any]) -> QueueRunner | None:
    """Return who a delivery can be settled with, while it can be."""
    runner = delivery.settler
    if not isinstance(runner, QueueRunner):
        return None
    try:
        runner.enlist(delivery)
    except (AlreadySettled, DeliveryLost, Closed):
        return None
    return runner


def _kinds(to: Destination[Any]) -> Any:
    kinds: Any = to.types[0] if to.types else object
    for kind in to.types[1:]:
        kinds = kinds | kind
    return kinds
