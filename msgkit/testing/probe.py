"""What an application does in a test: on a broker of its own, in time that stands still, or on a real one."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, TypeVar

from msgkit.application import Application
from msgkit.conversion import Conversion
from msgkit.envelope import Envelope, Kind, Receipt
from msgkit.errors import ConfigurationError
from msgkit.interception import Send
from msgkit.message import Message
from msgkit.naming import Naming
from msgkit.settings import Settings
from msgkit.template import MessageTemplate, payload_type
from msgkit.testing.looking import Looker
from msgkit.testing.real_time import RealTime
from msgkit.testing.records import Records, plain
from msgkit.testing.stage import StageSettings, Time, private
from msgkit.topology import Destination, Queue
from msgkit.values import at_least_zero

__all__ = ["Probe", "probe"]

T = TypeVar("T")


class Probe:
    """What an application did: what it sent, handled and gave up."""

    def __init__(self, app: Application, naming: Naming, *, records: Records, time: Time) -> None:
        self.template: MessageTemplate = app.template
        self._app = app
        self._naming = naming
        self._records = records
        self._time = time

    # -- what happened

    def sent(self, to: Destination[T], /) -> list[Message[T]]:
        """Return what was sent to a destination and confirmed, by the test and by the application, oldest first."""
        name = self._naming.name(to)
        kinds: Any = payload_type(to) if isinstance(to, Queue) else _kinds(to)
        decode = Conversion.installed().decoder(kinds, to.converter)
        kind = Kind.QUEUE if isinstance(to, Queue) else Kind.EXCHANGE
        sent = [envelope for envelope in self._records.sent if (envelope.kind, envelope.destination) == (kind, name)]
        return [Message.received(decode(envelope), envelope) for envelope in sent]

    def handled(self, by: Callable[..., object], /) -> list[Message[Any]]:
        """Return what a listener handled without raising, oldest first.

        :raises ConfigurationError: when it is no listener of the application
        """
        wanted = plain(by)
        if wanted not in (plain(handler) for handler in self._app.handlers):
            msg = f"{by!r} is no listener of the application that is probed"
            raise ConfigurationError(msg)
        return [message for handler, message in self._records.handlings if handler is wanted]

    def dead(self, queue: Queue[Any], /) -> list[Message[bytes]]:
        """Return what was sent to a queue's dead letters, oldest first.

        :raises ConfigurationError: when the application does not listen to the queue
        """
        known = [each.name for each in self._app.queues]
        if queue.name not in known:
            msg = f"nothing listens to {queue} in the application that is probed; its queues are {', '.join(known)}"
            raise ConfigurationError(msg)
        name = self._naming.name(queue)
        return [Message.received(envelope.body, envelope) for of, envelope in self._records.letters if of == name]

    # -- letting it happen

    async def idle(self, timeout: float | None = None) -> None:
        """Return when nothing is left to do at this time, in any application that shares the settings.

        What waits for a later time is not, nor a delivery that its handler keeps, to settle it later.
        On a real broker that is so when no queue has anything to do, as far as the broker tells, and
        nothing has changed for a while: 0.3 s, or 2 s where the broker does not tell everything.

        :param timeout: seconds; 5 unless given, 30 on a real broker
        :raises TimeoutError: naming the queues that were busy to the end
        """
        await self._time.idle(self._time.patience if timeout is None else timeout)

    async def advance(self, by: float | timedelta) -> None:
        """Let so much time pass: retries, delays and expiries come about in their order.

        On a real broker that takes as long as it says, and as much longer as the broker may be late
        with what is due.
        """
        await self._time.advance(at_least_zero(by, "advance(by)"))

    # -- seen by the core

    async def record(self, envelope: Envelope, proceed: Send) -> Receipt:
        """Note what was confirmed, as an interceptor."""
        receipt = await proceed(envelope)
        self._records.sent.append(envelope)
        if envelope.delay is not None or envelope.deliver_at is not None:
            self._records.due.append(self._due(envelope))
        if envelope.kind is Kind.REPLY:
            self._time.answered(envelope)
        elif envelope.reply_to is not None:
            self._time.asked(envelope, self._asking())
        return receipt

    def _due(self, envelope: Envelope) -> float:
        wait = envelope.delay or 0.0
        if envelope.deliver_at is not None:
            wait = envelope.deliver_at - self._time.clock.now()
        return asyncio.get_running_loop().time() + max(wait, 0.0)

    def _asking(self) -> str | None:
        """Return the queue whose handler this is, if it is one: workers are called after theirs."""
        task = asyncio.current_task()
        worker, _, _ = task.get_name().rpartition(":") if task else ("", "", "")
        names = {f"msgkit:{self._naming.name(queue)}": queue.name for queue in self._app.queues}
        return names.get(worker)


@asynccontextmanager
async def probe(app: Application, settings: Settings | None = None) -> AsyncGenerator[Probe]:
    """Run an application on `memory://`, in virtual time, whatever the environment says.

    With the plugin's `messaging_settings` it runs on the broker that the test is run for. With other
    settings it runs on theirs, in real time.
    """
    given = private() if settings is None else settings
    time: Time = RealTime()
    if isinstance(given, StageSettings):
        given, time = given.of(app), given.time
    naming, records = Naming(given), Records()
    looker = Looker(app, naming, records)
    probed = Probe(app, naming, records=records, time=time)
    async with app.running(given, clock=time.clock, observer=records, sending=(probed.record,)):
        time.join(looker)
        try:
            yield probed
        finally:
            await time.leave(looker)


def _kinds(to: Destination[Any]) -> Any:
    kinds: Any = to.types[0] if to.types else object
    for kind in to.types[1:]:
        kinds = kinds | kind
    return kinds
