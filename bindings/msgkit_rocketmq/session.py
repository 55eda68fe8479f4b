"""A client's stay at a cluster: what is shared by all who send and consume, and whether all is well."""

import asyncio
import logging
import os
from asyncio import Task
from collections.abc import Awaitable, Callable, Coroutine
from secrets import token_hex
from typing import Any, TypeVar

from msgkit.envelope import Kind
from msgkit.errors import BrokerUnavailable, Closed, ConfigurationError, TopologyMismatch
from msgkit.reaching import Address
from msgkit.spi import (
    BindingOptions,
    Capabilities,
    Down,
    Event,
    Fatal,
    Gap,
    Plan,
    ProvisionMode,
    QueueSpec,
    Sink,
    Subscription,
    Topology,
    Up,
)
from msgkit.spi.pauses import pause
from msgkit.spi.returns import Returns
from msgkit_rocketmq.address import RocketSettings
from msgkit_rocketmq.books import Books
from msgkit_rocketmq.capabilities import capabilities
from msgkit_rocketmq.client import brokers
from msgkit_rocketmq.client.cluster import Cluster
from msgkit_rocketmq.client.codes import Response
from msgkit_rocketmq.client.errors import ClientError, Refused, Unfit
from msgkit_rocketmq.client.popping import Popping
from msgkit_rocketmq.consumer import RocketConsumer
from msgkit_rocketmq.halves import Halves
from msgkit_rocketmq.layout import Layout
from msgkit_rocketmq.lending import door_of
from msgkit_rocketmq.provisioning import Provisioner
from msgkit_rocketmq.publisher import Publisher
from msgkit_rocketmq.replies import Replies
from msgkit_rocketmq.sweeping import sweep

__all__ = ["Session"]

_log = logging.getLogger("msgkit.rocketmq")
T = TypeVar("T")


class Session:
    """What all consumers of a client share, and whom they tell of trouble."""

    def __init__(self, settings: RocketSettings, options: BindingOptions, on_event: Callable[[Event], None]) -> None:
        self.settings = settings
        self._options = options
        self._on_event = on_event
        self._loop = asyncio.get_running_loop()
        client = f"{options.client}@{os.getpid()}@{token_hex(8)}"
        self.cluster = Cluster(door_of(settings), settings.servers, client=client, on_lost=self._lost)
        self.layout = Layout(settings.namespace)
        self._provisioner = Provisioner(self.cluster, self.layout)
        self.publisher = Publisher(
            options.name, options.clock, self.cluster, self._topic_of, within=settings.request_timeout
        )
        within = settings.request_timeout
        self.replies = Replies(options.name, options.clock, self.cluster, within=within)
        self.halves = Halves(options.name, self.cluster, self.layout, self._topic_of, within=within)
        self.books = Books(self.cluster, self.layout)
        self._declared = Topology({}, {})
        #: The topics of queues that are declared here.
        self._own_topics: dict[str, str] = {}
        self.popping = Popping(self.cluster)
        self.returns = Returns()
        self.has_newer_returns = False
        self._members: list[RocketConsumer] = []
        self._tasks: set[Task[None]] = set()
        self._recovering: Task[None] | None = None
        self._sweeps = self._closed = False

    async def connect(self) -> Capabilities:
        """Reach the cluster, and return what it keeps.

        :raises BrokerUnavailable: when nobody answers in time
        :raises ConfigurationError: when it does not want us, or is of no use
        """
        try:
            settings = await self.asked(self._settings_of_all)
            found = capabilities(settings)
        except BaseException:
            await self.close(0)
            raise
        self.has_newer_returns = all(each.newer_retry_topics for each in settings)
        self.publisher.longest_delay = found.delay.longest or 0.0
        where = ", ".join(str(server) for server in self.settings.servers)
        _log.info("RocketMQ is there: its name servers are %s", where)
        return found

    async def subscribe(self, subscription: Subscription, sink: Sink) -> RocketConsumer:
        """Return a consumer that takes part."""
        await self.asked(lambda: self._provisioner.begin(subscription.queue))
        consumer = RocketConsumer(self, subscription, sink)
        try:
            await self.asked(consumer.open)
        except BaseException:
            await consumer.close()
            raise
        self._members.append(consumer)
        return consumer

    async def _settings_of_all(self) -> list[brokers.Settings]:
        masters = await brokers.masters(self.cluster)
        return list(await asyncio.gather(*(brokers.settings(self.cluster, each) for each in masters)))

    async def close(self, deadline: float) -> None:
        self._closed = True
        try:
            async with asyncio.timeout(deadline):
                # Those that nobody has closed, or waits for.
                await asyncio.gather(*(member.close() for member in self._members), return_exceptions=True)
                await self.publisher.idle()
        except TimeoutError:
            pass
        await self.publisher.close()
        await self.replies.close()
        await self.popping.close()
        tasks = [*self._tasks, *([self._recovering] if self._recovering is not None else [])]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self.cluster.close()

    # -- what the binding asks

    async def provision(self, topology: Topology, mode: ProvisionMode) -> Plan:
        """Bring about a topology."""
        together = Topology(
            {**self._declared.exchanges, **topology.exchanges}, {**self._declared.queues, **topology.queues}
        )
        self.layout.check(together)
        plan = await self.asked(lambda: self._provisioner.provision(topology, mode))
        if mode is not ProvisionMode.PLAN:
            self._declared = together
        for queue in topology.queues.values():
            if (own := self.layout.own_topic(queue)) is not None:
                self._own_topics[queue.name] = own
        if not self._sweeps and any(queue.anonymous for queue in topology.queues.values()):
            self._sweeps = True
            _ = self.spawn(self._sweep())
        return plan

    async def _sweep(self) -> None:
        try:
            for group in await sweep(self.cluster, self.layout.anonymous):
                _log.info("the anonymous queue %r was left behind, and is taken away", group)
        except ClientError as error:
            _log.debug("what anonymous queues left behind stays: %s", error)

    def _topic_of(self, kind: Kind, destination: str) -> str:
        if kind is Kind.EXCHANGE:
            return self.layout.exchange_topic(destination)
        return self._own_topics.get(destination) or self.layout.queue_topic(destination)

    async def asked(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask again while the cluster cannot be reached, for as long as is waited for it."""
        failures, deadline = 0, self._loop.time() + self._options.wait
        while True:
            if self._closed:
                raise Closed("the connection to RocketMQ is closed")
            try:
                return await ask()
            except Unfit as error:
                raise ConfigurationError(f"RocketMQ cannot be used: {error}") from error
            except Refused as error:
                if not error.passes:
                    raise _refused(error) from error
                why: ClientError = error
            except ClientError as error:
                why = error
            failures += 1
            left = deadline - self._loop.time()
            if left <= 0:
                msg = f"RocketMQ could not be reached within {self._options.wait:g} s: {_explained(why)}"
                raise BrokerUnavailable(msg) from why
            if failures in (1, 5):
                _log.warning("RocketMQ cannot be reached yet, trying on: %s", why)
            await asyncio.sleep(min(pause(failures), left))

    def reread(self, queue: str) -> None:
        """Hear that what was accepted of a queue is wanted again."""
        for member in self._members:
            if member.queue_name == queue:
                member.memory.clear()

    # -- up and down

    def _lost(self, address: Address, why: str) -> None:
        for member in self._members:
            member.trouble()
        if self._closed or self._recovering is not None:
            return
        what = f"the connection to the broker at {address} was lost: {why}"
        _log.warning("%s; connecting again", what)
        self._tell(Down(what))
        self._recovering = self._loop.create_task(self._recover())

    async def _recover(self) -> None:
        began, failures = self._loop.time(), 0
        try:
            while True:
                try:
                    await self.cluster.masters(fresh=True)
                    await self._settings_of_all()
                except ClientError as error:
                    if failures in (1, 5) or failures % 20 == 0:
                        _log.warning("RocketMQ is not back yet, trying on: %s", error)
                else:
                    break
                failures += 1
                await asyncio.sleep(pause(min(failures, 4)))
        finally:
            self._recovering = None
        _log.info("RocketMQ is back, after %.1f s and %d tries", self._loop.time() - began, failures + 1)
        self._tell(Up())

    def _tell(self, event: Event) -> None:
        self._on_event(event)
        for member in list(self._members):
            if not isinstance(event, Gap) or event.queue == member.queue_name:
                member.event(event)

    # -- for consumers

    def alarm(self, queue: str, why: str, /) -> None:
        _log.error("queue %r: %s", queue, why)
        self._tell(Fatal(f"queue {queue!r}: {why}"))

    async def revive(self, queue: QueueSpec, /) -> None:
        if await self._provisioner.revive(queue):
            self._tell(Gap(queue.name, "nobody was there for so long that it was taken away"))

    async def leave(self, queue: QueueSpec, consumer: object, /) -> None:
        self._members = [member for member in self._members if member is not consumer]
        if any(member.queue_name == queue.name for member in self._members):
            return
        try:
            await self.cluster.presence.leave(self.layout.group_of(queue))
            if queue.anonymous:
                await self._provisioner.remove(queue)
        except ClientError as error:
            _log.warning("the brokers did not hear that nobody here takes from %r any more: %s", queue.name, error)

    def spawn(self, work: Coroutine[Any, Any, None], /) -> Task[None]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("work in the background failed", exc_info=error)


def _refused(error: Refused) -> ConfigurationError:
    if error.code is Response.NO_PERMISSION:
        return ConfigurationError(f"RocketMQ does not let us: {error}")
    return TopologyMismatch(f"RocketMQ refuses it: {error}")


def _explained(error: ClientError) -> str:
    return f"{error}; brokers are reached where the name server says, which is their brokerIP1 and listenPort"
