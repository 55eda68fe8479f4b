"""A client's stay at the broker: two connections, what was declared, and who takes part."""

import asyncio
import logging
from asyncio import Task
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from msgkit.envelope import Envelope, Kind
from msgkit.errors import BrokerUnavailable, Closed, ConfigurationError, SendRefused, TopologyMismatch
from msgkit.spi import BindingOptions, Event, Gap, Plan, ProvisionMode, Sink, Subscription, Topology
from msgkit.spi.pauses import pause
from msgkit.spi.returns import Returns
from msgkit_rabbitmq.address import RabbitSettings
from msgkit_rabbitmq.capabilities import version_of
from msgkit_rabbitmq.comeback import Comeback
from msgkit_rabbitmq.consumer import RabbitConsumer
from msgkit_rabbitmq.desk import Desks
from msgkit_rabbitmq.home import Guest
from msgkit_rabbitmq.homeless import send_home
from msgkit_rabbitmq.link import Link
from msgkit_rabbitmq.management import NoPage
from msgkit_rabbitmq.news import News
from msgkit_rabbitmq.provisioning import Provisioner, Restored
from msgkit_rabbitmq.publisher import Publisher
from msgkit_rabbitmq.reach import reached
from msgkit_rabbitmq.replies import listen_for_replies
from msgkit_rabbitmq.wire import Channel, Connection, ConnectionLost, WireError

__all__ = ["Session"]

_log = logging.getLogger("msgkit.rabbitmq")
#: Connections lost while declaring before that is given up.
_LOSSES = 3
#: Seconds in which a broker that ends has closed all.
_MOMENT = 3.0


class Session:
    """Publishing and declaring go over one connection; consuming, once there is a consumer, over another."""

    def __init__(self, settings: RabbitSettings, options: BindingOptions, on_event: Callable[[Event], None]) -> None:
        self._settings = settings
        self._options = options
        self._on_event = on_event
        self._loop = asyncio.get_running_loop()
        self._members: list[RabbitConsumer] = []
        self._tasks: set[Task[None]] = set()
        self._opening: Task[None] | None = None
        self._closed = False
        self._provisioner: Provisioner | None = None
        self._answering = asyncio.Lock()
        self._on_reply: Callable[[Envelope], None] | None = None
        self._answered_at: str | None = None
        self._answered_over: Connection | None = None
        self._desks = Desks()
        self._sent_home_over: Connection | None = None
        self._is_reaching = False
        self._news = News(self._tell, lambda: self._comeback.away)
        self.returns = Returns()
        self.publisher = Publisher(options.name, options.clock, self._bind_due, self._is_heard)
        self._publishing = Link(
            settings,
            purpose="publishing",
            client=options.client,
            on_up=self._publishing_up,
            on_down=self._publishing_down,
            on_blocked=self.publisher.blocked,
        )
        self._consuming = self._new_consuming()
        self._comeback = Comeback(
            up=self._up_for_consuming,
            declare=self._declare_again,
            spawn=self.spawn,
            is_wanted=lambda consumer: consumer in self._members,
            on_alarm=self._news.alarm,
            on_back=self._news.tell_if_well,
        )

    def _new_consuming(self) -> Link:
        return Link(
            self._settings,
            purpose="consuming",
            client=self._options.client,
            on_up=self._consuming_up,
            on_down=partial(self._news.went_down, "consuming", always=False),
        )

    async def _up_for_consuming(self) -> Connection:
        return await self._consuming.up()

    async def connect(self) -> None:
        """Reach the broker.

        :raises BrokerUnavailable: when it does not answer in time
        :raises ConfigurationError: when it does not want us
        """
        await self._publishing.open(self._options.wait)

    async def close(self, deadline: float) -> None:
        self._closed = True
        until = self._loop.time() + deadline
        leaving = [self._loop.create_task(member.close()) for member in self._members]
        try:
            # However little time there is, each begins to leave, and so lets go of what it has.
            await asyncio.sleep(0)
            async with asyncio.timeout_at(until):
                await asyncio.gather(*leaving)
                await self.publisher.idle()
        except TimeoutError:
            pass
        finally:
            for task in (*self._tasks, *([self._opening] if self._opening is not None else [])):
                task.cancel()
            left = max(0.0, until - self._loop.time())
            try:
                await asyncio.gather(self._consuming.close(left), self._publishing.close(left))
            finally:
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
        losses, began = 0, self._loop.time()
        while True:
            connection = await self._up(self._publishing)
            try:
                plan = await reached(
                    partial(self.provisioner.provision, connection, topology, mode), self._options.wait
                )
            except WireError as error:
                losses += 1
                is_told = isinstance(error, ConnectionLost) and error.is_our_doing
                if connection.is_open or (is_told and losses >= _LOSSES):
                    raise TopologyMismatch(f"the broker refused to declare: {error}") from error
                # Whoever loses it each time for no reason that is told may lose it for what he declares.
                if losses >= _LOSSES and self._loop.time() - began > self._options.wait:
                    raise BrokerUnavailable(
                        f"the connection was lost {losses} times while declaring: {error}"
                    ) from error
            except NoPage:
                losses += 1
                # A broker that ends takes its page away a moment before its connections.
                if losses == _LOSSES or not await connection.ends(_MOMENT):
                    raise
            else:
                if mode is not ProvisionMode.PLAN:
                    self._send_home(connection)
                return plan

    def _send_home(self, connection: Connection) -> None:
        if connection is not self._sent_home_over:
            self._sent_home_over = connection
            self.spawn(send_home(connection, self._options.wait))

    async def subscribe(self, subscription: Subscription, sink: Sink) -> RabbitConsumer:
        """Return a consumer that takes part."""
        await self._open_consuming()
        consumer = RabbitConsumer(self, subscription, sink)
        while True:
            connection = await self._up(self._consuming)
            try:
                await reached(partial(consumer.attach, connection), self._options.wait)
            except WireError as error:
                if connection.is_open:
                    raise TopologyMismatch(f"queue {subscription.queue.name!r} cannot be consumed: {error}") from error
            else:
                if self._closed:
                    # It would hear of nothing any more. Who is up now says so.
                    await consumer.close()
                    continue
                self._members.append(consumer)
                return consumer

    async def _open_consuming(self) -> None:
        opening = self._opening
        if opening is None:
            opening = self._opening = self._loop.create_task(self._consuming.open(self._options.wait))
        await asyncio.wait([opening])
        if self._closed or opening.cancelled():
            raise Closed("the connection to RabbitMQ is closed")
        if opening.exception() is not None and self._opening is opening:
            # The next one tries anew.
            self._opening, self._consuming = None, self._new_consuming()
        await opening

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
            async with asyncio.timeout(self._options.wait):
                return await link.up()
        except TimeoutError:
            raise BrokerUnavailable(f"RabbitMQ could not be reached within {self._options.wait:g} s") from None

    # -- up and down

    async def _publishing_up(self, connection: Connection) -> None:
        version = version_of(connection.server)
        if self._provisioner is None:
            self._provisioner = Provisioner(self._settings, version)
        else:
            restored = await self._provisioner.again(connection)
            self._tell_restored(restored, "it was removed while the connection was lost")
            self._send_home(connection)
        self.publisher.went_up(connection)
        if self._on_reply is not None:
            # Not waited for: under an alarm the broker lets nothing be sent, and those who consume would wait.
            self.spawn(self._listen_again(connection))
        self._news.came_up("publishing")

    def _tell_restored(self, restored: Restored, why_gone: str) -> None:
        # What was bound to where delayed messages come due may have been another queue.
        self.publisher.forget_bindings()
        for queue in restored.gone:
            self._tell(Gap(queue, why_gone))
        self._news.found(restored.wrong)
        if restored.away is not None and not self._is_reaching:
            self._is_reaching = True
            self.spawn(self._reach(restored.away))

    async def _reach(self, away: str) -> None:
        """Declare again until nothing is out of reach: a broker that starts serves its queues one after the other."""
        _log.warning("not all that was declared can be reached, trying on: %s", away)
        failures = 0
        while not await self._declare_again():
            failures += 1
            await asyncio.sleep(pause(failures))
        self._is_reaching = False
        _log.info("all that was declared can be reached again")
        # What came due meanwhile found some of it missing.
        self.spawn(send_home(await self._publishing.up(), self._options.wait))

    async def _listen_again(self, connection: Connection) -> None:
        async with self._answering:
            try:
                await self._listen_for_replies(connection)
            except WireError as error:
                if connection.is_open:
                    _log.error("nobody can answer us any more: %s", error)

    async def _consuming_up(self, connection: Connection) -> None:
        # Consumers find their queues declared again.
        await self._publishing.up()
        members = tuple(self._members)
        results = await asyncio.gather(*(member.attach(connection) for member in members), return_exceptions=True)
        if not connection.is_open:
            raise ConnectionLost("it was lost before all consumers were back")
        for member, result in zip(members, results, strict=True):
            if isinstance(result, BaseException):
                self.bring_back(member, str(result))
            else:
                self._comeback.came_back(member)
        self._news.came_up("consuming")

    def _publishing_down(self, reason: str) -> None:
        self.publisher.went_down()
        # Whoever waits for an answer hears of each loss of the connection that it would come over.
        self._news.went_down("publishing", reason, always=True)

    def _tell(self, event: Event) -> None:
        self._on_event(event)
        for member in list(self._members):
            if not isinstance(event, Gap) or event.queue == member.queue_name:
                member.event(event)

    # -- for consumers

    def bring_back(self, consumer: Guest, reason: str, /) -> None:
        self._news.is_away()
        self._comeback.of(consumer, reason)

    async def _declare_again(self) -> bool:
        """Tell whether all of it could be."""
        connection = await self._publishing.up()
        try:
            restored = await self.provisioner.again(connection)
        except Exception as error:  # noqa: BLE001 -- whoever is brought back is tried again, whatever it is
            _log.warning("what is missing cannot be declared: %s", error)
            return False
        self._tell_restored(restored, "it was removed")
        return restored.away is None

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
        async with self._desks.one(await self._publishing.up()) as asked:
            return await asked.hears(address)

    async def _bind_due(self, kind: Kind, destination: str) -> None:
        while True:
            connection = await self._publishing.up()
            try:
                bound = partial(self.provisioner.bind_due, connection, kind, destination)
                await reached(bound, self._options.wait)
            except (BrokerUnavailable, WireError) as error:
                if isinstance(error, BrokerUnavailable) or connection.is_open:
                    raise SendRefused(f"{kind.value} {destination!r} cannot be sent to later: {error}") from error
            else:
                return
