"""One client on its loop: connected, lost, connected again."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from logging import getLogger
from random import uniform
from typing import Any, Protocol

from msgkit.clock import Timer
from msgkit.envelope import Envelope, new_id
from msgkit.errors import BrokerUnavailable, Closed, MessagingError
from msgkit.spi import (
    BindingOptions,
    Checker,
    Down,
    Event,
    ExchangeSpec,
    Gap,
    Plan,
    ProvisionMode,
    QueueSpec,
    Topology,
    Up,
)
from msgkit_memory.clients import Answer, Client
from msgkit_memory.options import ANONYMOUS_SURVIVES
from msgkit_memory.provisioning import make, provision
from msgkit_memory.server import Broker
from msgkit_memory.wire import Wire

__all__ = ["Member", "Session"]

_log = getLogger("msgkit.memory")
_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 1.0


class Member(Protocol):
    """A consumer, as its session knows it."""

    @property
    def queue_name(self) -> str: ...
    def join(self) -> None:
        """Take part, for the first time or again. Called under the lock."""
        ...

    def event(self, event: Event, /) -> None: ...


class Session:
    """What a binding has while it is connected."""

    def __init__(self, broker: Broker, options: BindingOptions, on_event: Callable[[Event], None]) -> None:
        self.broker = broker
        self.loop = asyncio.get_running_loop()
        self.client = Client(options.client, self.loop, self)
        self.wire = Wire(self.client, broker, self.loop)
        self.members: list[Member] = []
        self._options = options
        self._on_event = on_event
        self._exchanges: dict[str, ExchangeSpec] = {}
        self._queues: dict[str, QueueSpec] = {}
        self._on_reply: Callable[[Envelope], None] | None = None
        self._checker: Checker | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: Timer | None = None
        self._armed_for: float | None = None
        self._reconnecting: Timer | None = None
        self._closed = False

    async def connect(self) -> None:
        """Reach the broker.

        :raises BrokerUnavailable: when it does not answer in time
        """
        clock = self.broker.clock
        until = clock.now() + self._options.wait
        attempt = 0
        while not self._attach():
            left = until - clock.now()
            if left <= 0:
                raise BrokerUnavailable(f"memory://{self.broker.name} did not answer for {self._options.wait:g} s")
            await clock.sleep(min(_pause(attempt), left))
            attempt += 1
        self.wire.flush()

    async def close(self, deadline: float) -> None:
        """Wait for answers, and leave."""
        try:
            async with asyncio.timeout(deadline):
                await self.wire.idle()
        except TimeoutError:
            pass
        finally:
            self._leave()

    def _leave(self) -> None:
        self._closed = True
        for timer in (self._timer, self._reconnecting):
            if timer is not None:
                timer.cancel()
        with self.broker.lock:
            self.broker.leave(self.client)
        self.wire.close(self._closed_error)
        for task in self._tasks:
            task.cancel()

    def _closed_error(self) -> MessagingError:
        return Closed(f"the connection to memory://{self.broker.name} is closed")

    def _attach(self) -> bool:
        with self.broker.lock:
            return self.broker.attach(self.client)

    # -- what the server tells

    def went_down(self, reason: str, /) -> None:
        if self._closed:
            return
        self._tell(Down(reason))
        self.wire.went_down()
        self._try_again(0)

    def calmed(self) -> None:
        self.wire.flush()

    def arm(self) -> None:
        """Have one timer, for what the server has to do first."""
        self.client.arming = False
        with self.broker.lock:
            when = self.broker.next_due()
        if when == self._armed_for or self._closed:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._armed_for = when
        if when is not None:
            clock = self.broker.clock
            self._timer = clock.call_later(max(0.0, when - clock.now()), self._tick)

    def replied(self) -> None:
        with self.broker.lock:
            if self.broker.faults.paused:
                return
            replies, self.client.replies = self.client.replies, []
        if self._on_reply is not None:
            for reply in replies:
                self._on_reply(reply)

    def asked(self, check: str, envelope: Envelope, answer: Answer, /) -> None:
        if self._checker is not None:
            self.spawn(self._find_out(self._checker, check, envelope, answer))

    async def _find_out(self, checker: Checker, check: str, envelope: Envelope, answer: Answer) -> None:
        outcome = await checker(check, envelope)
        await self.wire.request(partial(answer, outcome))

    def _tick(self) -> None:
        self._timer = self._armed_for = None
        with self.broker.lock:
            self.broker.run_due()
        self.arm()

    # -- reconnecting

    def _try_again(self, attempt: int) -> None:
        again = partial(self._reconnect, attempt + 1)
        self._reconnecting = self.broker.clock.call_later(_pause(attempt), again)

    def _reconnect(self, attempt: int) -> None:
        with self.broker.lock:
            back = self.broker.attach(self.client)
            gaps = self._restore() if back else []
        if not back:
            self._try_again(attempt)
            return
        for gap in gaps:
            self._tell(gap)
        self._tell(Up())
        self.wire.flush()

    def _restore(self) -> list[Gap]:
        content = self.broker.content
        reason = f"it was removed {ANONYMOUS_SURVIVES:g} s after the connection was lost"
        gone = sorted(name for name in self.client.anonymous if name not in content.queues)
        make(content, Topology(self._exchanges, self._queues))
        for member in self.members:
            member.join()
        return [Gap(name, reason) for name in gone]

    def _tell(self, event: Event) -> None:
        self._on_event(event)
        for member in list(self.members):
            if not isinstance(event, Gap) or event.queue == member.queue_name:
                member.event(event)

    # -- what the binding asks

    def provision(self, topology: Topology, mode: ProvisionMode) -> Plan:
        """Bring about a topology, and remember what to bring about again. Called under the lock."""
        plan = provision(self.broker.content, topology, mode)
        if mode is ProvisionMode.PLAN:
            return plan
        ours = topology.queues
        self.client.anonymous.update(name for name, spec in ours.items() if spec.anonymous)
        if mode not in (ProvisionMode.CREATE, ProvisionMode.PRUNE):
            ours = {name: spec for name, spec in ours.items() if spec.anonymous}
        else:
            self._exchanges.update(topology.exchanges)
        self._queues.update(ours)
        return plan

    def listen_for_replies(self, on_reply: Callable[[Envelope], None]) -> str:
        """Return this client's address. Called under the lock."""
        self._on_reply = on_reply
        if self.client.address is None:
            self.client.address = f"{self._options.client}.{new_id()}"
        self.broker.content.replies[self.client.address] = self.client
        return self.client.address

    def answer_checks(self, checker: Checker, names: tuple[str, ...]) -> None:
        """Be asked about half messages from now on."""
        self._checker = checker
        with self.broker.lock:
            self.client.checks = names
            self.broker.halves.offered(names)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something that ends with this session at the latest."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            _log.error("a callback of the application failed", exc_info=error)


def _pause(attempt: int) -> float:
    longest = min(_FIRST_PAUSE * 2 ** min(attempt, 16), _LONGEST_PAUSE)
    return uniform(longest / 2, longest)  # noqa: S311 -- jitter keeps no secret
