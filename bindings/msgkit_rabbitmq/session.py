"""A client's stay at the broker: two connections, what was declared, and who takes part."""

import asyncio
import logging
from asyncio import Task
from collections.abc import Callable, Coroutine
from functools import partial
from random import uniform
from typing import Any

from msgkit.envelope import Envelope, Kind
from msgkit.errors import BrokerUnavailable, Closed, ConfigurationError, MessagingError, TopologyMismatch, Unroutable
from msgkit.spi import BindingOptions, Down, Event, Fatal, Gap, Plan, ProvisionMode, Sink, Subscription, Topology, Up
from msgkit_rabbitmq.address import RabbitSettings
from msgkit_rabbitmq.capabilities import Version, version_of
from msgkit_rabbitmq.consumer import RabbitConsumer
from msgkit_rabbitmq.desk import desk
from msgkit_rabbitmq.home import Guest
from msgkit_rabbitmq.link import Link
from msgkit_rabbitmq.provisioning import Provisioner
from msgkit_rabbitmq.publisher import Publisher
from msgkit_rabbitmq.replies import listen_for_replies
from msgkit_rabbitmq.returns import Returns
from msgkit_rabbitmq.wire import Channel, Connection, WireError

__all__ = ["Session"]

_log = logging.getLogger("msgkit.rabbitmq")
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
#: Tries to bring a consumer back before somebody is told that it does not come back.
_PATIENCE = 5
#: Connections lost while declaring before that is given up.
_LOSSES = 3


class Session:
    """Publishing and declaring go over one connection; consuming, once there is a consumer, over another."""

    def __init__(self, settings: RabbitSettings, options: BindingOptions, on_event: Callable[[Event], None]) -> None:
        self._settings = settings
        self._options = options
        self._on_event = on_event
        self._loop = asyncio.get_running_loop()
        self._members: list[RabbitConsumer] = []
        #: Those that lost their channel, and are being brought back.
        self._absent: list[Guest] = []
        self._tasks: set[Task[None]] = set()
        self._opening: Task[None] | None = None
        self._down: set[str] = set()
        self._closed = False
        self._provisioner: Provisioner | None = None
        self._version: Version = (0, 0)
        self._answering = asyncio.Lock()
        self._on_reply: Callable[[Envelope], None] | None = None
        self._answered_at: str | None = None
        self._answered_over: Connection | None = None
        self.returns = Returns()
        self.publisher = Publisher(options.name, options.clock, self._bind_due, self._is_heard)
        self._publishing = Link(
            settings,
            purpose="publishing",
            client=options.client,
            on_up=self._publishing_up,
            on_down=partial(self._went_down, "publishing"),
            on_blocked=self.publisher.blocked,
        )
        self._consuming = Link(
            settings,
            purpose="consuming",
            client=options.client,
            on_up=self._consuming_up,
            on_down=partial(self._went_down, "consuming"),
        )

    async def connect(self) -> None:
        """Reach the broker.

        :raises BrokerUnavailable: when it does not answer in time
        :raises ConfigurationError: when it does not want us
        """
        await self._publishing.open(self._options.wait)

    async def close(self, deadline: float) -> None:
        self._closed = True
        try:
            async with asyncio.timeout(deadline):
                await self.publisher.idle()
        except TimeoutError:
            pass
        finally:
            for task in (*self._tasks, *([self._opening] if self._opening is not None else [])):
                task.cancel()
            await asyncio.gather(self._consuming.close(deadline), self._publishing.close(deadline))
            self.publisher.close()

    # -- what the binding asks

    @property
    def provisioner(self) -> Provisioner:
        if self._provisioner is None:
            raise Closed("connect() comes first")
        return self._provisioner

    async def channel(self) -> Channel:
        """Return a channel for questions; whoever asked closes it."""
        connection = await self._up(self._publishing)
        return await connection.channel()

    async def provision(self, topology: Topology, mode: ProvisionMode) -> Plan:
        """Bring about a topology, and remember what to bring about again."""
        losses = 0
        while True:
            connection = await self._up(self._publishing)
            try:
                return await self.provisioner.provision(connection, topology, mode)
            except WireError as error:
                losses += 1
                # Who loses the connection each time that he declares this, declares what it does not survive.
                if connection.is_open or losses == _LOSSES:
                    raise TopologyMismatch(f"the broker refused to declare: {error}") from error

    async def subscribe(self, subscription: Subscription, sink: Sink) -> RabbitConsumer:
        """Return a consumer that takes part."""
        if self._opening is None:
            self._opening = self._loop.create_task(self._consuming.open(self._options.wait))
        await asyncio.shield(self._opening)
        consumer = RabbitConsumer(self, subscription, sink)
        while True:
            connection = await self._up(self._consuming)
            try:
                await consumer.attach(connection)
            except WireError as error:
                if connection.is_open:
                    msg = f"queue {subscription.queue.name!r} cannot be consumed: {error}"
                    raise TopologyMismatch(msg) from error
            else:
                self._members.append(consumer)
                return consumer

    async def listen_for_replies(self, on_reply: Callable[[Envelope], None]) -> str:
        """Return where answers are to be sent; the same when asked again."""
        while True:
            connection = await self._up(self._publishing)
            async with self._answering:
                if self._answered_at is not None and self._answered_over is connection:
                    return self._answered_at
                self._on_reply = on_reply
                try:
                    await self._listen_for_replies(connection)
                except WireError as error:
                    if connection.is_open:
                        raise ConfigurationError(f"RabbitMQ lets nobody answer us: {error}") from error

    async def _listen_for_replies(self, connection: Connection) -> None:
        if self._on_reply is not None:
            address = await listen_for_replies(connection, self._on_reply)
            self._answered_at, self._answered_over = self.publisher.answered_at(address), connection

    async def _up(self, link: Link) -> Connection:
        if self._closed:
            raise Closed("the connection to RabbitMQ is closed")
        try:
            async with asyncio.timeout(self._options.wait or None):
                return await link.up()
        except TimeoutError:
            raise BrokerUnavailable(f"RabbitMQ could not be reached within {self._options.wait:g} s") from None

    # -- up and down

    async def _publishing_up(self, connection: Connection) -> None:
        self._version = version_of(connection.server)
        if self._provisioner is None:
            self._provisioner = Provisioner(self._settings, self._version)
            self.publisher.went_up(connection)
            return
        gaps: list[str] = []
        try:
            gaps = await self._provisioner.again(connection)
        except TopologyMismatch as error:
            _log.error("what was declared before the connection was lost is not what is there now: %s", error)
            self._tell(Fatal(str(error)))
        for queue in gaps:
            self._tell(Gap(queue, "it was removed while the connection was lost"))
        await self._listen_for_replies(connection)
        self.publisher.went_up(connection)
        self._came_up("publishing")

    async def _consuming_up(self, connection: Connection) -> None:
        if not self._members:
            self._came_up("consuming")
            return
        # Consumers find their queues declared again.
        await self._publishing.up()
        results = await asyncio.gather(*(member.attach(connection) for member in self._members), return_exceptions=True)
        if not connection.is_open:
            raise next(each for each in results if isinstance(each, WireError))
        for member, result in zip(tuple(self._members), results, strict=True):
            if isinstance(result, BaseException):
                self.bring_back(member, str(result))
        self._came_up("consuming")

    def _went_down(self, which: str, reason: str) -> None:
        if which == "publishing":
            self.publisher.went_down()
        first = not self._down
        self._down.add(which)
        if first:
            self._tell(Down(reason))

    def _came_up(self, which: str) -> None:
        if which in self._down:
            self._down.discard(which)
            if not self._down:
                self._tell(Up())

    def _tell(self, event: Event) -> None:
        self._on_event(event)
        for member in list(self._members):
            if not isinstance(event, Gap) or event.queue == member.queue_name:
                member.event(event)

    # -- for consumers

    def bring_back(self, consumer: Guest, reason: str, /) -> None:
        if consumer not in self._absent:
            self._absent.append(consumer)
            _log.warning("queue %r is not consumed any more: %s; trying again", consumer.queue_name, reason)
            self.spawn(self._bring_back(consumer))

    async def _bring_back(self, consumer: Guest) -> None:
        try:
            await self._try_to_bring_back(consumer)
        finally:
            self._absent.remove(consumer)

    async def _try_to_bring_back(self, consumer: Guest) -> None:
        failures = 0
        while consumer in self._members and not consumer.is_attached:
            connection = await self._consuming.up()
            try:
                await consumer.attach(connection)
            except (WireError, MessagingError) as error:
                failures += 1
                if failures == _PATIENCE:
                    self._give_alarm(consumer, error)
                await asyncio.sleep(_pause(failures))
                await self._declare_again()
            else:
                _log.info("queue %r is consumed again", consumer.queue_name)
                if failures >= _PATIENCE:
                    self._tell(Up())

    def _give_alarm(self, consumer: Guest, error: Exception) -> None:
        _log.error("queue %r cannot be consumed: %s", consumer.queue_name, error)
        self._tell(Fatal(f"queue {consumer.queue_name!r} cannot be consumed: {error}"))

    async def _declare_again(self) -> None:
        connection = await self._publishing.up()
        try:
            for queue in await self.provisioner.again(connection):
                self._tell(Gap(queue, "it was removed"))
        except (WireError, MessagingError) as error:
            _log.warning("what is missing cannot be declared: %s", error)

    def leave(self, consumer: Guest, /) -> None:
        self._members = [member for member in self._members if member is not consumer]

    def spawn(self, work: Coroutine[Any, Any, None], /) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("work in the background failed", exc_info=error)

    # -- for the publisher

    async def _is_heard(self, address: str) -> bool:
        async with desk(await self._publishing.up()) as asked:
            return await asked.hears(address)

    async def _bind_due(self, kind: Kind, destination: str) -> None:
        connection = await self._publishing.up()
        try:
            await self.provisioner.bind_due(connection, kind, destination)
        except WireError as error:
            raise Unroutable(f"{kind.value} {destination!r} cannot be sent to later: {error}") from error


def _pause(failures: int) -> float:
    longest = min(_FIRST_PAUSE * 2 ** min(failures, 16), _LONGEST_PAUSE)
    return uniform(longest / 2, longest)  # noqa: S311 -- jitter keeps no secret
