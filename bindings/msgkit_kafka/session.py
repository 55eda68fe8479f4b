"""A client's stay at a cluster: what is shared by all who send and consume, and whether all is well."""

import asyncio
import logging
import sys
from asyncio import Task
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from secrets import token_hex
from typing import Any, Literal, TypeVar

from msgkit.envelope import Envelope
from msgkit.errors import BrokerUnavailable, Closed, ConfigurationError, TopologyMismatch
from msgkit.spi import (
    BindingOptions,
    Depth,
    Down,
    Event,
    Plan,
    ProvisionMode,
    QueueSpec,
    Sink,
    Subscription,
    Topology,
)
from msgkit.spi.pauses import pause
from msgkit_kafka.address import KafkaSettings
from msgkit_kafka.agreeing import Disagrees
from msgkit_kafka.books import Books
from msgkit_kafka.consumer import KafkaConsumer
from msgkit_kafka.fetching import Fetcher
from msgkit_kafka.forwarding import Forwarder
from msgkit_kafka.groups import Groups
from msgkit_kafka.layout import group_of, own_topic
from msgkit_kafka.news import News
from msgkit_kafka.producing import Producer
from msgkit_kafka.provisioning import Provisioner
from msgkit_kafka.publisher import Publisher
from msgkit_kafka.replies import REPLIES, Replies
from msgkit_kafka.sources import sources_of
from msgkit_kafka.transacting import Producers
from msgkit_kafka.transactions import Transactions
from msgkit_kafka.wire.cluster import Cluster
from msgkit_kafka.wire.connection import Connection, Door
from msgkit_kafka.wire.errors import BrokerError, ConnectionLost, LoginRefused, WireError
from msgkit_kafka.wire.logs import LATEST
from msgkit_kafka.wire.subscriptions import Partition

__all__ = ["Session"]

_log = logging.getLogger("msgkit.kafka")
T = TypeVar("T")


class Session:
    """What all consumers of a client share, and whom they tell of trouble."""

    def __init__(self, settings: KafkaSettings, options: BindingOptions, on_event: Callable[[Event], None]) -> None:
        self.settings = settings
        self._options = options
        self._on_event = on_event
        self._loop = asyncio.get_running_loop()
        door = Door(
            client=settings.client_id or options.client,
            tls=settings.tls,
            server_hostname=settings.server_hostname,
            timeout=settings.request_timeout,
        )
        login = settings.login if settings.auth is not None else None
        self.cluster = Cluster(door, settings.servers, login, self._lost)
        self.fetcher = Fetcher(self.cluster, rack=settings.rack)
        self._producer = Producer(self.cluster, compression=settings.compression, linger=settings.linger)
        self.groups = Groups(self.cluster)
        self._books = Books(self.cluster, self.groups, self.fetcher, session=settings.session_timeout)
        self.provisioner = Provisioner(self.cluster, self.groups)
        self.publisher = Publisher(options.name, options.clock, self._producer, self._topic_of, self._make_delays)
        self.producers = Producers(self.cluster, f"{options.client}-{token_hex(8)}")
        self.transactions = Transactions(options.name, self.producers, self.publisher.place, self.spawn)
        self._own_topics: dict[str, str] = {}
        self._members: list[KafkaConsumer] = []
        #: Those that take part soon.
        self._opening: list[KafkaConsumer] = []
        self._tasks: set[Task[Any]] = set()
        self._forwarder: Forwarder | None = None
        self._forwarding: Task[None] | None = None
        self._replies: Replies | None = None
        self._answering = asyncio.Lock()
        self._news = News(self.cluster, self._tell, lambda: self._members, self._producer.wake)
        self._closed = False

    async def connect(self) -> None:
        """Reach the cluster.

        :raises BrokerUnavailable: when nobody answers in time
        :raises ConfigurationError: when it does not want us
        """
        where = ", ".join(str(server) for server in self.settings.servers)
        why, failures = "no answer", 0
        deadline = self._loop.time() + self._options.wait
        while True:
            try:
                async with asyncio.timeout_at(max(deadline, self._loop.time() + self.settings.request_timeout)):
                    await self.cluster.refresh([])
            except LoginRefused as error:
                await self.cluster.close()
                raise ConfigurationError(str(error)) from error
            except (WireError, TimeoutError) as error:
                why = str(error) or why
                failures += 1
                if failures in (1, 5):
                    _log.warning("no connection to Kafka at %s yet, trying on: %s", where, why)
                left = deadline - self._loop.time()
                if left <= 0:
                    await self.cluster.close()
                    msg = f"Kafka at {where} could not be reached within {self._options.wait:g} s: {why}"
                    raise BrokerUnavailable(msg) from error
                await asyncio.sleep(min(pause(failures), left))
            else:
                _log.info("Kafka is there: cluster %s at %s", self.cluster.cluster, where)
                return

    async def close(self, deadline: float) -> None:
        self._closed = True
        # Those that nobody has closed, or waits for. They begin before the time runs: it may be over already, and what
        # is cancelled before it has begun does nothing.
        closing = asyncio.gather(*(each.close() for each in (*self._members, *self._opening)), return_exceptions=True)
        try:
            async with asyncio.timeout(deadline):
                await closing
                await self.publisher.idle()
        except TimeoutError:
            pass
        finally:
            self.publisher.close()
            if self._forwarding is not None:
                self._forwarding.cancel()
                await asyncio.wait([self._forwarding])
            if self._forwarder is not None:
                await self._forwarder.close()
            await self._news.close()
            tasks = tuple(self._tasks)
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)
            await self._producer.close()
            await self.fetcher.close()
            await self.cluster.close()

    # -- what the binding asks

    async def provision(self, topology: Topology, mode: ProvisionMode) -> Plan:
        """Bring about a topology."""
        plan = await self._asked(lambda: self.provisioner.provision(topology, mode))
        for queue in topology.queues.values():
            if (own := own_topic(queue)) is not None:
                self._own_topics[queue.name] = own
        return plan

    async def subscribe(self, subscription: Subscription, sink: Sink) -> KafkaConsumer:
        """Return a consumer that takes part."""
        queue = subscription.queue
        await self._asked(lambda: self._books.partitions(queue))
        consumer = KafkaConsumer(self, subscription, sink, sources_of(queue))
        self._opening.append(consumer)
        try:
            if not queue.anonymous:
                # The first of all takes a while, for which what is to be tried again would wait.
                await self._asked(self.producers.warm)
                self._begin_forwarding()
            await self._asked(consumer.open)
            # It would hear of nothing any more.
            self._refuse_when_closed()
        except BaseException as error:
            await consumer.close()
            if isinstance(error, Disagrees):
                raise ConfigurationError(f"queue {queue.name!r}: {error}") from error
            raise
        finally:
            self._opening.remove(consumer)
        self._members.append(consumer)
        return consumer

    async def _asked(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask again while the cluster cannot be reached, for as long as is waited for it."""
        failures, deadline = 0, self._loop.time() + self._options.wait
        while True:
            self._refuse_when_closed()
            try:
                return await ask()
            except (ConnectionLost, TimeoutError) as error:
                why: Exception = error
            except BrokerError as error:
                if not error.passes:
                    raise TopologyMismatch(f"Kafka refuses it: {error}") from error
                why = error
            failures += 1
            if self._loop.time() > deadline:
                raise BrokerUnavailable(f"Kafka could not be asked within {self._options.wait:g} s: {why}") from why
            await asyncio.sleep(pause(failures))

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise Closed("the connection to Kafka is closed")

    async def listen_for_replies(self, on_reply: Callable[[Envelope], None]) -> str:
        """Return where answers are to be sent; the same when asked again."""
        async with self._answering:
            if self._replies is None:
                self._replies = await self._asked(lambda: self._listening(on_reply))
            return self._replies.address

    async def _listening(self, on_reply: Callable[[Envelope], None]) -> Replies:
        size = await self.provisioner.made(REPLIES)
        replies = Replies(self.fetcher, size, self._options.client, on_reply, lambda why: self._on_event(Down(why)))
        ends = await self.groups.ends([replies.partition], LATEST)
        replies.read(ends[replies.partition])
        return replies

    async def depth(self, queue: QueueSpec) -> Depth:
        return await self._asked(lambda: self._books.depth(queue))

    async def purge(self, queue: QueueSpec) -> int:
        return await self._asked(lambda: self._books.purge(queue))

    async def seek(self, queue: QueueSpec, to: Literal["earliest", "latest"] | datetime) -> int:
        return await self._asked(lambda: self._books.seek(queue, to))

    async def browse(self, queue: QueueSpec, limit: int | None) -> AsyncGenerator[Envelope]:
        """Yield what waits and what is in hand, oldest first."""
        stretches = await self._asked(lambda: self._books.waiting(queue))
        left = sys.maxsize if limit is None else limit
        try:
            async with aclosing(self._books.browse(queue, stretches)) as found:
                while left and (envelope := await anext(found, None)) is not None:
                    left -= 1
                    yield envelope
        except WireError as error:
            raise BrokerUnavailable(f"queue {queue.name!r} cannot be looked at: {error}") from error

    # -- delays

    def _topic_of(self, queue: str) -> str:
        return self._own_topics.get(queue, queue)

    async def _make_delays(self) -> None:
        await self._asked(self.provisioner.make_delays)
        self._begin_forwarding()

    def _begin_forwarding(self) -> None:
        if self._forwarding is None and not self._closed:
            self._forwarding = self._loop.create_task(self._forward())

    async def _forward(self) -> None:
        forwarder = Forwarder(
            self.cluster,
            self.fetcher,
            self._producer,
            self.producers,
            self._options.clock,
            session=self.settings.session_timeout,
        )
        self._forwarder = forwarder
        try:
            await forwarder.open()
        except WireError as error:
            _log.error("delayed messages are not moved on here: %s", error)

    # -- up and down

    def _lost(self, node: int, purpose: str, connection: Connection) -> None:
        if not self._closed:
            self._news.lost(node, purpose, connection)

    def _tell(self, event: Event) -> None:
        self._on_event(event)
        for member in list(self._members):
            member.event(event)

    # -- for consumers

    def group_of(self, queue: QueueSpec, /) -> str:
        return group_of(queue)

    def instance_in(self, group: str, /) -> str | None:
        beside = [each.membership for each in (*self._members, *self._opening)]
        is_taken = any(each is not None and each.group == group and each.instance is not None for each in beside)
        return None if is_taken else self.settings.instance

    async def begins(self, group: str, partitions: Sequence[Partition], /) -> Mapping[Partition, int]:
        return await self.provisioner.begins(group, partitions)

    def alarm(self, consumer: object, queue: str, why: str | None, /) -> None:
        self._news.alarm(consumer, queue, why)

    def leave(self, consumer: object, /) -> None:
        self._members = [member for member in self._members if member is not consumer]

    def spawn(self, work: Coroutine[Any, Any, T], /) -> Task[T]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("work in the background failed", exc_info=error)
