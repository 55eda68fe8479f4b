"""The brokers themselves: which there are, how they are set, and what they are busy with."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass

from msgkit_rocketmq.client.cluster import Cluster
from msgkit_rocketmq.client.codes import Request
from msgkit_rocketmq.client.documents import read, texts
from msgkit_rocketmq.client.errors import Unanswered, Unreadable
from msgkit_rocketmq.client.places import Broker

__all__ = ["Settings", "caught_up", "masters", "runtime", "settings", "settings_of", "written_down"]

_WITHIN = 5.0
#: Seconds until a broker is asked again how far it is.
_PAUSE = 0.01
#: Seconds after its start at which a broker writes down for the first time how far groups have come, at the latest.
_FIRST_WRITING = 12.0
#: How much longer than the time between two writings one may take.
_LONGER = 1.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a broker is set to, as far as anything here depends on it. What it does not tell is as RocketMQ has it."""

    cluster: str
    #: Bytes, of a body and its properties.
    largest_message: int
    #: Seconds.
    longest_delay: int
    #: Does it keep what was lent where it finds it at once? Then what was given back comes sooner.
    keeps_leases: bool
    #: Does it filter what is pulled by SQL92?
    filters_pulled: bool
    #: Does it lend at all?
    lends: bool
    #: Does it make topics, and groups, that nobody has declared?
    makes_topics: bool
    makes_groups: bool
    #: Has what came back newer names?
    newer_retry_topics: bool
    #: Does it move groups that are taking messages?
    moves_groups: bool
    #: Seconds between two times that it writes down how far groups have come: what it was told since then it forgets
    #: when it is killed.
    writes_every: float
    #: Seconds after which it asks about a half message, at the next of its rounds, and between those.
    asks_after: float
    asks_every: float
    #: Seconds until it has written down what became of one, about which it asks if it comes to that before.
    notes_every: float


async def masters(cluster: Cluster) -> list[Broker]:
    """Return the brokers that take messages, of which there is one at least."""
    return [Broker(name, address) for name, address in (await cluster.masters()).items()]


async def settings(cluster: Cluster, broker: Broker, *, within: float = _WITHIN) -> Settings:
    answer = await cluster.ask(broker.address, Request.GET_BROKER_CONFIG, within=within)
    lines = (line.partition("=") for line in answer.body.decode(errors="replace").splitlines())
    return settings_of({name: value for name, _, value in lines})


def settings_of(told: Mapping[str, str]) -> Settings:
    """Return what a broker's own words for its settings say; without any, what RocketMQ comes with.

    :raises Unreadable: when a number is none
    """

    def flag(name: str, *, default: bool = False) -> bool:
        return told.get(name, str(default)).lower() == "true"

    def number(name: str, default: int) -> int:
        try:
            return int(told.get(name, default))
        except ValueError:
            raise Unreadable(f"the broker's {name} is no number: {told[name]}") from None

    return Settings(
        cluster=told.get("brokerClusterName", "DefaultCluster"),
        largest_message=number("maxMessageSize", 4 * 1024 * 1024),
        longest_delay=number("timerMaxDelaySec", 3 * 24 * 3600),
        keeps_leases=flag("popConsumerKVServiceEnable"),
        filters_pulled=flag("enablePropertyFilter"),
        lends=flag("timerWheelEnable", default=True),
        makes_topics=flag("autoCreateTopicEnable", default=True),
        makes_groups=flag("autoCreateSubscriptionGroup", default=True),
        newer_retry_topics=flag("enableRetryTopicV2"),
        moves_groups=flag("useServerSideResetOffset"),
        writes_every=number("flushConsumerOffsetInterval", 5000) / 1000,
        asks_after=number("transactionTimeOut", 6000) / 1000,
        asks_every=number("transactionCheckInterval", 30000) / 1000,
        notes_every=number("transactionOpBatchInterval", 3000) / 1000,
    )


async def runtime(cluster: Cluster, broker: Broker, *, within: float = _WITHIN) -> Mapping[str, str]:
    """Return what the broker tells about itself, under its names for that."""
    answer = await cluster.ask(broker.address, Request.GET_BROKER_RUNTIME_INFO, within=within)
    return texts(read(answer.body), "table")


async def caught_up(cluster: Cluster, broker: Broker, *, within: float = _WITHIN) -> None:
    """Return when all that the broker had confirmed before has come into its queue.

    It confirms what stands in its log, and puts that into queues a moment later.

    :raises Unanswered: when that takes longer
    """
    try:
        async with asyncio.timeout(within):
            end, reached = await _dispatched(cluster, broker, within)
            # Others go on sending meanwhile: it may never be through with all of it.
            while reached < end:
                await asyncio.sleep(_PAUSE)
                _, reached = await _dispatched(cluster, broker, within)
    except TimeoutError:
        raise Unanswered(f"{broker.name} does not get done with putting messages into queues") from None


async def written_down(cluster: Cluster, broker: Broker, *, within: float = _WITHIN) -> None:
    """Return when the broker has written down how far groups had come: it does so now and then, and nobody can make it.

    :raises Unreadable: when it does not tell since when it runs
    """
    found = await settings(cluster, broker, within=within)
    began = (await runtime(cluster, broker, within=within)).get("bootTimestamp", "0")
    try:
        # By two clocks: if they differ it is waited for as if it had only just begun, and no longer.
        age = max(0.0, time.time() - int(began) / 1000)
    except ValueError:
        raise Unreadable(f"{broker.name} does not tell since when it runs: {began!r}") from None
    await asyncio.sleep(max(_LONGER * found.writes_every, _FIRST_WRITING - age))


async def _dispatched(cluster: Cluster, broker: Broker, within: float) -> tuple[int, int]:
    """Return where a broker's log ends, and up to where at least it has come into queues."""
    told = await runtime(cluster, broker, within=within)
    try:
        # It looks at the end first, so that it may have come further by then.
        end, behind = int(told.get("commitLogMaxOffset", 0)), int(told.get("dispatchBehindBytes", 0))
    except ValueError:
        raise Unreadable(f"{broker.name} does not tell how far it is") from None
    return end, end - behind
