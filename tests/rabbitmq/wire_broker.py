"""A broker that is a script: it lets in whoever comes, says yes to all, and no where it was told to."""

import asyncio
from asyncio import IncompleteReadError, Task
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from pamqp import commands
from pamqp.commands import Basic, Channel, Confirm, Exchange, Queue
from pamqp.frame import FrameTypes
from pamqp.header import ContentHeader
from pamqp.heartbeat import Heartbeat

from tests.rabbitmq.wire_peer import Line, Peer, content, listening
from tests.waiting import until

__all__ = ["Broker", "at", "serving"]

_START = commands.Connection.Start(0, 9, {"product": "RabbitMQ", "version": "4.0.5"}, "PLAIN", "en_US")
_YES: dict[type[FrameTypes], FrameTypes] = {
    Heartbeat: Heartbeat(),
    commands.Connection.Close: commands.Connection.CloseOk(),
    Channel.Open: Channel.OpenOk(),
    Channel.Close: Channel.CloseOk(),
    Confirm.Select: Confirm.SelectOk(),
    Exchange.Declare: Exchange.DeclareOk(),
    Exchange.Bind: Exchange.BindOk(),
    Queue.Bind: Queue.BindOk(),
    Queue.Delete: Queue.DeleteOk(0),
    Basic.Qos: Basic.QosOk(),
}

#: How, which, and whether all before it are meant, too.
Settled = tuple[type[Basic.Ack | Basic.Nack], int, bool]
Refusal = tuple[int, str]


@dataclass(eq=False)
class Broker:
    """What it has, what it refuses, and what it heard."""

    peer: Peer
    #: Bodies that lie in queues until somebody consumes these.
    lying: dict[str, list[bytes]] = field(default_factory=dict[str, list[bytes]])
    #: What it says when a queue is looked for or declared, as often as it stands there: a code and a text.
    refusals: dict[str, list[Refusal]] = field(default_factory=dict[str, list[Refusal]])
    #: The same, when a queue is consumed.
    refused_consumers: dict[str, list[Refusal]] = field(default_factory=dict[str, list[Refusal]])
    #: The same, when a queue is bound to an exchange.
    refused_bindings: dict[str, list[Refusal]] = field(default_factory=dict[str, list[Refusal]])
    #: How often queues were bound, by exchange.
    bound: Counter[str] = field(default_factory=Counter[str])
    #: What it says whenever a queue is declared that is there otherwise.
    otherwise: dict[str, Refusal] = field(default_factory=dict[str, Refusal])
    #: Queues of which it says nothing when they are looked for or declared, until it `tells`.
    silent_on: set[str] = field(default_factory=set[str])
    #: Does it confirm what is sent, or not until it `tells`?
    confirms: bool = True
    #: Does it answer those who leave a channel?
    says_goodbye: bool = True
    #: How often it was asked of a queue.
    asked: Counter[str] = field(default_factory=Counter[str])
    consumed: list[str] = field(default_factory=list[str])
    #: Where messages were sent.
    published: list[str] = field(default_factory=list[str])
    settled: asyncio.Queue[Settled] = field(default_factory=asyncio.Queue[Settled])
    lines: list[Line] = field(default_factory=list[Line])
    #: The channels that nobody has closed, and the queues that each was used for.
    channels: dict[tuple[Line, int], set[str]] = field(default_factory=dict[tuple[Line, int], set[str]])
    _unsaid: list[tuple[Line, int, FrameTypes]] = field(default_factory=list[tuple[Line, int, FrameTypes]])

    async def serve(self) -> None:
        async with asyncio.TaskGroup() as serving:
            while True:
                line = await self.peer.lines.get()
                self.lines.append(line)
                serving.create_task(self._talk(line))

    async def _talk(self, line: Line) -> None:
        sent = Counter[int]()
        try:
            await line.lets_in(start=_START)
            while True:
                channel, heard = await line.next()
                self._answer(line, channel, heard, sent)
        except (IncompleteReadError, ConnectionError, TimeoutError):
            line.hangs_up()

    def _answer(self, line: Line, channel: int, heard: FrameTypes, sent: Counter[int]) -> None:
        self._note(line, channel, heard)
        if (refusal := self._refusal(heard)) is not None:
            line.says(Channel.Close(*refusal, 0, 0), channel=channel)
            self.channels.pop((line, channel), None)
            return
        match heard:
            case Queue.Declare():
                number = len(self.lying.get(heard.queue, ()))
                is_told = heard.queue not in self.silent_on
                self._say(Queue.DeclareOk(heard.queue, number, 1), line, channel, now=is_told)
            case Basic.Consume():
                line.says(Basic.ConsumeOk(heard.consumer_tag), channel=channel)
                self.consumed.append(heard.queue)
                for tag, body in enumerate(self.lying.pop(heard.queue, ()), 1):
                    given = Basic.Deliver(heard.consumer_tag, tag, exchange="", routing_key=heard.queue)
                    line.says(*content(given, body), channel=channel)
            case Basic.Publish():
                self.published.append(heard.exchange)
            case ContentHeader():
                sent[channel] += 1
                self._say(Basic.Ack(sent[channel]), line, channel, now=self.confirms)
            case Basic.Ack() | Basic.Nack():
                self.settled.put_nowait((type(heard), heard.delivery_tag, heard.multiple))
            case Channel.Close() if not self.says_goodbye:
                pass
            case _:
                if (yes := _YES.get(type(heard))) is not None:
                    line.says(yes, channel=channel)

    def _note(self, line: Line, channel: int, heard: FrameTypes) -> None:
        match heard:
            case Channel.Open():
                self.channels[line, channel] = set()
            case Channel.Close():
                self.channels.pop((line, channel), None)
            case Queue.Bind():
                self.bound[heard.exchange] += 1
            case Queue.Declare():
                self.asked[heard.queue] += 1
                self.channels.setdefault((line, channel), set()).add(heard.queue)
            case _:
                pass

    def _say(self, answer: FrameTypes, line: Line, channel: int, *, now: bool) -> None:
        if now:
            line.says(answer, channel=channel)
        else:
            self._unsaid.append((line, channel, answer))

    def tells(self) -> None:
        """Say what it has kept to itself, and nothing less from now on."""
        self.silent_on, self.confirms = set(), True
        unsaid, self._unsaid = self._unsaid, []
        for line, channel, answer in unsaid:
            line.says(answer, channel=channel)

    def _refusal(self, heard: FrameTypes) -> Refusal | None:
        match heard:
            case Queue.Declare() if self.refusals.get(heard.queue):
                return self.refusals[heard.queue].pop(0)
            case Queue.Declare() if not heard.passive:
                return self.otherwise.get(heard.queue)
            case Queue.Bind() if self.refused_bindings.get(heard.exchange):
                return self.refused_bindings[heard.exchange].pop(0)
            case Basic.Consume() if self.refused_consumers.get(heard.queue):
                return self.refused_consumers[heard.queue].pop(0)
            case _:
                return None

    def hangs_up(self) -> None:
        """Lose all connections, as a broker does that is restarted."""
        lines, self.lines = self.lines, []
        self.channels.clear()
        for line in lines:
            line.hangs_up()

    async def until_asked(self, queue: str, times: int) -> None:
        async def is_asked() -> bool:
            return self.asked[queue] >= times

        await until(is_asked)

    async def until_published(self, number: int) -> None:
        async def is_published() -> bool:
            return len(self.published) >= number

        await until(is_published)

    async def until_left(self, queue: str) -> None:
        """Return when all channels are closed that were used for a queue."""

        async def is_left() -> bool:
            return not any(queue in used for used in self.channels.values())

        await until(is_left)

    async def until_consumed(self, queue: str) -> None:
        async def is_consumed() -> bool:
            return queue in self.consumed

        await until(is_consumed)


@asynccontextmanager
async def serving() -> AsyncGenerator[Broker]:
    async with listening() as peer:
        broker = Broker(peer)
        task: Task[None] = asyncio.create_task(broker.serve())
        try:
            yield broker
        finally:
            task.cancel()
            await asyncio.wait([task])


def at(broker: Broker) -> str:
    return f"amqp://app:pw@127.0.0.1:{broker.peer.port}/"
