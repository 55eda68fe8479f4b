"""Half messages: stored, and seen when their sender says so, or else somebody who knows what became of his work."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from itertools import count

from msgkit.envelope import Envelope, Kind, Receipt
from msgkit.errors import ConfigurationError, SendUnknown, Unroutable, UnsupportedCapability
from msgkit.reaching import Address
from msgkit.spi import Checker
from msgkit.spi.addresses import address
from msgkit.spi.partitioning import partition_of
from msgkit.spi.pauses import pause
from msgkit_rocketmq.client.brokers import Settings
from msgkit_rocketmq.client.brokers import settings as settings_of
from msgkit_rocketmq.client.cluster import Cluster
from msgkit_rocketmq.client.codes import Request, Response
from msgkit_rocketmq.client.errors import ClientError, NotWritten, Refused
from msgkit_rocketmq.client.frames import Frame
from msgkit_rocketmq.client.places import Broker, Place
from msgkit_rocketmq.client.properties import escaped, unescaped
from msgkit_rocketmq.client.sending import Outgoing
from msgkit_rocketmq.client.transactions import Check, Half, Verdict, checked, end, prepare
from msgkit_rocketmq.layout import Layout
from msgkit_rocketmq.mapping import CHECK, Addressee, encoded, understood
from msgkit_rocketmq.outcomes import failure, helps_to_try

__all__ = ["Halves", "RocketHalf", "time_to_answer", "time_to_decide"]

_log = logging.getLogger("msgkit.rocketmq")
#: Seconds by which clocks may differ, and answers be on their way; less of it where a broker asks very soon.
_MARGIN, _PART = 1.0, 0.2
#: Of so many it is remembered that they are decided.
_MOST = 100_000


def _margin(settings: Settings) -> float:
    return min(_MARGIN, _PART * settings.asks_after)


def time_to_decide(settings: Settings) -> float:
    """Return for how many seconds a sender may decide.

    A broker that asks makes a copy first, of which it does not know that it is one. What is decided by then must be
    written down, or somebody who is asked decides about the copy as well.
    """
    return settings.asks_after - settings.notes_every - _margin(settings)


def time_to_answer(settings: Settings) -> float:
    """Return how many seconds an answer may take. Later, the broker may have asked another, about another copy."""
    return (settings.asks_every - settings.notes_every) / 2


class Halves:
    """Half messages of one client, and the questions that come to it about anybody's."""

    def __init__(
        self, broker: str, cluster: Cluster, layout: Layout, topic_of: Callable[[Kind, str], str], *, within: float
    ) -> None:
        """Store half messages; `topic_of` tells the topic of a destination."""
        self.broker = broker
        self._cluster = cluster
        self._layout = layout
        self._topic_of = topic_of
        self._within = within
        self._loop = asyncio.get_running_loop()
        self._turns = count()
        self._settings: dict[Broker, Settings] = {}
        self._checkers: dict[str, Checker] = {}
        #: By their names: those that are their sender's to decide, and those about which somebody is asked.
        self._open: set[str] = set()
        self._asking: set[str] = set()
        #: Those that are decided, oldest first.
        self._decided: dict[str, None] = {}
        cluster.on(Request.CHECK_TRANSACTION_STATE, self._asked)

    # -- the sender's side

    async def prepare(self, envelope: Envelope, check: str) -> "RocketHalf":
        """Store one; see `TwoPhase.prepare`.

        :raises UnsupportedCapability: when it is to be delayed
        :raises SendRefused: when it is not stored
        :raises SendUnknown: when it may be stored
        """
        if envelope.delay or envelope.deliver_at is not None:
            msg = f"prepare({envelope.destination}): RocketMQ delays no half messages; delay what follows from it"
            raise UnsupportedCapability(msg)
        message = encoded(envelope, origin=address(envelope.kind, envelope.destination))
        message = message._replace(properties={**message.properties, CHECK: escaped(check)})
        until, failures = self._loop.time() + self._within, 0
        while True:
            try:
                return await self._stored(envelope, message, self._layout.checkers(check))
            except ClientError as error:
                failures += 1
                if not helps_to_try(error) or self._loop.time() >= until:
                    raise failure(envelope, error) from error
            await asyncio.sleep(pause(failures))

    async def _stored(self, envelope: Envelope, message: Outgoing, group: str) -> "RocketHalf":
        place = await self._place(envelope)
        settings = await self._settings_of(place.broker)
        until = self._loop.time() + time_to_decide(settings)
        self._open.add(envelope.message_id)
        try:
            half = await prepare(
                self._cluster, place, message, group=group, ahead=_margin(settings) / 2, within=self._within
            )
        except BaseException:
            self._open.discard(envelope.message_id)
            raise
        position = f"{place.topic}/{place.broker.name}/{place.queue}"
        receipt = Receipt(envelope.message_id, envelope.destination, self.broker, position)
        return RocketHalf(self, place.broker, half, group, until, receipt)

    async def _place(self, envelope: Envelope) -> Place:
        try:
            topic = self._topic_of(envelope.kind, envelope.destination)
        except ConfigurationError as error:
            raise Unroutable(f"{envelope.kind.value} {envelope.destination!r} cannot be there: {error}") from error
        places = (await self._cluster.route(topic)).to_write
        if not places:
            raise Refused(Response.NO_PERMISSION, f"nobody may write topic {topic}")
        if envelope.key is None:
            return places[next(self._turns) % len(places)]
        return places[partition_of(envelope.key.encode(), len(places))]

    async def _settings_of(self, broker: Broker) -> Settings:
        if broker not in self._settings:
            self._settings[broker] = await settings_of(self._cluster, broker)
        return self._settings[broker]

    async def decide(self, half: "RocketHalf", verdict: Verdict) -> None:
        """Tell the broker, once.

        :raises SendUnknown: when it does not hear of it, or may not: then it asks
        """
        try:
            while (left := half.until - self._loop.time()) > 0:
                try:
                    await self._tell(half.broker, half.half, verdict, half.group, within=left)
                except NotWritten as error:
                    _log.debug("%s cannot be told yet: %s", half.broker.name, error)
                    await asyncio.sleep(pause(1))
                except ClientError as error:
                    raise SendUnknown(f"{half}: it is asked what became of it, since {error}") from error
                else:
                    return
            raise SendUnknown(f"{half}: it is asked what became of it, since that was not told in time")
        finally:
            self._open.discard(half.half.key)

    async def _tell(self, broker: Broker, half: Half, verdict: Verdict, group: str, *, within: float) -> None:
        await end(self._cluster, broker, half, verdict, group=group, within=within)
        self._note(half.key)

    def _note(self, key: str) -> None:
        self._decided[key] = None
        if len(self._decided) > _MOST:
            del self._decided[next(iter(self._decided))]

    # -- whom brokers ask

    async def answer(self, checker: Checker, names: Sequence[str]) -> None:
        """Be asked about half messages of those names.

        :raises ClientError: when brokers cannot be told now; they are when they are there
        """
        self._checkers.update(dict.fromkeys(names, checker))
        for name in names:
            await self._cluster.presence.produce(self._layout.checkers(name))

    async def _asked(self, at: Address, question: Frame) -> None:
        check = checked(question)
        key = check.half.key
        if key in self._open or key in self._asking:
            return
        self._asking.add(key)
        try:
            await self._answer(at, check)
        except ClientError as error:
            _log.warning(
                "the broker at %s is not told what became of half message %s, and asks again: %s", at, key, error
            )
        finally:
            self._asking.discard(key)

    async def _answer(self, at: Address, check: Check) -> None:
        names = {address: name for name, address in (await self._cluster.masters()).items()}
        broker = Broker(names.get(at, ""), at)
        name = unescaped(check.record.properties.get(CHECK, ""))
        # It is decided: what is asked about is the copy that was made to ask about it.
        verdict = Verdict.ROLLBACK if check.half.key in self._decided else await self._verdict(broker, name, check)
        if verdict is not Verdict.UNKNOWN:
            group = self._layout.checkers(name)
            await end(self._cluster, broker, check.half, verdict, group=group, asked=True)
            self._note(check.half.key)

    async def _verdict(self, broker: Broker, name: str, check: Check) -> Verdict:
        checker = self._checkers.get(name)
        if checker is None:
            return Verdict.UNKNOWN
        envelope = understood(check.record, Addressee(Kind.QUEUE, check.record.topic))
        try:
            async with asyncio.timeout(time_to_answer(await self._settings_of(broker))):
                is_done = await checker(name, envelope)
        except TimeoutError:
            _log.warning("@checker(%r) took too long over half message %s; it is asked again", name, check.half.key)
            return Verdict.UNKNOWN
        match is_done:
            case None:
                return Verdict.UNKNOWN
            case True:
                return Verdict.COMMIT
            case False:
                return Verdict.ROLLBACK


class RocketHalf:
    """A half message of ours, and until when, by the loop's clock, it is for us to decide."""

    def __init__(self, halves: Halves, broker: Broker, half: Half, group: str, until: float, receipt: Receipt) -> None:
        self._halves = halves
        self.broker = broker
        self.half = half
        self.group = group
        self.until = until
        self._receipt = receipt

    def __str__(self) -> str:
        return f"half message {self.half.key}"

    async def commit(self) -> Receipt:
        await self._halves.decide(self, Verdict.COMMIT)
        return self._receipt

    async def roll_back(self) -> None:
        await self._halves.decide(self, Verdict.ROLLBACK)
