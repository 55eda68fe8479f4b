"""The sending side: envelopes become messages of topics, and what the broker says becomes what became of a send."""

import asyncio
from asyncio import Future
from collections.abc import Callable
from functools import partial

from msgkit.clock import Clock
from msgkit.envelope import Envelope, Kind, Receipt
from msgkit.errors import Closed, ConfigurationError, MessagingError, SendRefused, SendUnknown, Unroutable
from msgkit_rocketmq.client.cluster import Cluster
from msgkit_rocketmq.client.sending import after, at
from msgkit_rocketmq.lines import Stored, Waiting
from msgkit_rocketmq.mapping import encoded
from msgkit_rocketmq.outcomes import failure
from msgkit_rocketmq.outlets import Outlet

__all__ = ["Publisher"]

#: So many messages that are not confirmed do not pile up yet.
_ENOUGH = 4096


class Publisher:
    """Sends go out in call order, for each destination and key."""

    def __init__(
        self, broker: str, clock: Clock, cluster: Cluster, topic_of: Callable[[Kind, str], str], *, within: float
    ) -> None:
        """Send; `topic_of` tells the topic of a destination."""
        self._broker = broker
        self._clock = clock
        self._cluster = cluster
        self._topic_of = topic_of
        self._within = within
        #: Seconds; it is a setting of the brokers, who are asked when there is a connection.
        self.longest_delay = 0.0
        self._loop = asyncio.get_running_loop()
        self._outlets: dict[str, Outlet] = {}
        #: What is under way.
        self._waiting: dict[Future[Receipt], Waiting] = {}
        self._room: Future[None] | None = None
        self._closed = False

    def send(self, envelope: Envelope, *, is_copy: bool = False, origin: str | None = None) -> "Future[Receipt]":
        """Send; see `Binding.send`.

        :param is_copy: is it one that is to take the place of its original?
        :param origin: the address of that, if the copy is to tell it
        """
        future: Future[Receipt] = self._loop.create_future()
        try:
            waiting = self._written(envelope, is_copy=is_copy, origin=origin)
        except MessagingError as error:
            future.set_exception(error)
            return future
        self._waiting[future] = waiting
        future.add_done_callback(self._ended)
        waiting.stored.add_done_callback(partial(self._came_of_it, envelope, future))
        return future

    def _written(self, envelope: Envelope, *, is_copy: bool, origin: str | None) -> Waiting:
        if self._closed:
            raise Closed("the connection to RocketMQ is closed")
        try:
            topic = self._topic_of(envelope.kind, envelope.destination)
        except ConfigurationError as error:
            raise Unroutable(f"{envelope.kind.value} {envelope.destination!r} cannot be there: {error}") from error
        message = encoded(envelope, is_copy=is_copy, origin=origin)
        if (due := self._due(envelope)) is not None:
            message = message._replace(properties={**message.properties, **due})
        outlet = self._outlets.get(topic)
        if outlet is None:
            outlet = self._outlets[topic] = Outlet(self._cluster, topic, self._within)
        return outlet.write(message, envelope.key, is_plain=due is None)

    def _due(self, envelope: Envelope) -> dict[str, str] | None:
        """Return what says when a message is due, if it is not at once."""
        delay = envelope.delay or 0.0
        if envelope.deliver_at is not None:
            delay = envelope.deliver_at - self._clock.now()
        if delay <= 0:
            return None
        if delay > self.longest_delay:
            msg = f"a delay of {delay:.0f} s is too long; at most {self.longest_delay:.0f} s can be waited"
            raise SendRefused(msg)
        return after(delay) if envelope.deliver_at is None else at(envelope.deliver_at)

    def _came_of_it(self, envelope: Envelope, future: "Future[Receipt]", stored: "Future[Stored]") -> None:
        if future.done() or stored.cancelled():
            return
        if (error := stored.exception()) is not None:
            future.set_exception(failure(envelope, error))
            return
        place, sent = stored.result()
        position = f"{place.topic}/{place.broker.name}/{sent.queue}/{sent.offset}"
        future.set_result(Receipt(envelope.message_id, envelope.destination, self._broker, position))

    # -- waiting, and giving up

    def abandon(self, future: "Future[Receipt]") -> bool:
        """Take back what the broker cannot have; tell whether it was taken back."""
        waiting = self._waiting.get(future)
        if waiting is None or waiting.left or waiting.stored.done():
            return False
        return waiting.stored.cancel()

    async def writable(self) -> None:
        while len(self._waiting) >= _ENOUGH and not self._closed:
            if self._room is None:
                self._room = self._loop.create_future()
            await asyncio.shield(self._room)

    def _ended(self, future: "Future[Receipt]") -> None:
        waiting = self._waiting.pop(future)
        if not waiting.left:
            # Nobody waits for it any more.
            waiting.stored.cancel()
        if self._room is not None and len(self._waiting) < _ENOUGH:
            room, self._room = self._room, None
            room.set_result(None)

    async def idle(self) -> None:
        """Return when all is confirmed or given up."""
        while self._waiting:
            await asyncio.wait(tuple(self._waiting))

    async def close(self) -> None:
        """Fail what is left: as refused if the broker cannot have it."""
        self._closed = True
        for future in [each for each in self._waiting if not each.done()]:
            is_unsent = self.abandon(future)
            text = "the connection was closed before it was " + ("sent" if is_unsent else "confirmed")
            future.set_exception(SendRefused(text) if is_unsent else SendUnknown(text))
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        await asyncio.gather(*(outlet.close() for outlet in self._outlets.values()))
