"""Topology: which topics are there and which are not, what differs, and where new groups begin."""

import asyncio
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime

from msgkit.errors import BrokerUnavailable, TopologyMismatch
from msgkit.spi import Plan, PlanAction, PlanEntry, ProvisionMode, QueueSpec, Topology
from msgkit.spi.pauses import pause
from msgkit.topology import Start
from msgkit.values import Option
from msgkit_kafka.delays import level_forms
from msgkit_kafka.groups import Groups
from msgkit_kafka.layout import TopicForm, foreign, group_of, topic_forms, topics_of
from msgkit_kafka.offsets import Point
from msgkit_kafka.progress import Progress
from msgkit_kafka.wire.cluster import Cluster
from msgkit_kafka.wire.configs import DESCRIBE_CONFIGS, TOPIC, AskConfigs, Resource
from msgkit_kafka.wire.errors import BrokerError, Code, checked
from msgkit_kafka.wire.logs import EARLIEST, LATEST
from msgkit_kafka.wire.subscriptions import Partition
from msgkit_kafka.wire.topics import CREATE_TOPICS, Config, NewTopic, NewTopics

__all__ = ["Provisioner"]

_log = logging.getLogger("msgkit.kafka")
_MAKING = (ProvisionMode.CREATE, ProvisionMode.PRUNE)
#: Milliseconds for the brokers to make topics, and seconds until each of those is led by somebody.
_TO_MAKE = 30_000
_TO_BE_LED = 30.0
#: Of a topic of which nothing else is said: so many consumers of a queue can share its work.
_PARTITIONS = 8
_DELAYS = PlanEntry(PlanAction.CREATE, "delays", "msgkit.delay.*", "topics that all queues share")


class Provisioner:
    """Brings about what is declared, and remembers where groups begin that could not be told so."""

    def __init__(self, cluster: Cluster, groups: Groups) -> None:
        self._cluster = cluster
        self._groups = groups
        #: Where partitions ended when a group that lived already was to read them, too.
        self._begins: dict[tuple[str, Partition], int] = {}
        #: Is it for us to make what is missing?
        self._makes = True

    async def provision(self, topology: Topology, mode: ProvisionMode) -> Plan:
        """Do as `Binding.provision` does; what is refused changes nothing."""
        forms = topic_forms(topology)
        if mode is ProvisionMode.ASSUME:
            self._makes = False
            await self._cluster.refresh(sorted(forms))
            return Plan(())
        plan = Plan(tuple(await self._survey(topology, forms)))
        if mode is ProvisionMode.PLAN:
            return plan
        self._makes = mode in _MAKING
        _refuse(plan, makes=self._makes)
        if self._makes:
            new = {entry.name for entry in plan.entries if entry.action is PlanAction.CREATE and entry.what == "topic"}
            await self._create([form for form in forms.values() if form.name in new])
            if _DELAYS in plan.entries:
                await self.make_delays()
            for queue in topology.queues.values():
                if not queue.anonymous:
                    await self._begin(queue)
        return plan

    async def make_delays(self) -> None:
        """Make what delays need, where it is not there.

        :raises TopologyMismatch: when it is not for us to make
        """
        forms = level_forms()
        await self._cluster.refresh([form.name for form in forms])
        missing = [form for form in forms if form.name not in self._cluster.topics]
        if missing and not self._makes:
            raise TopologyMismatch(f"delays need topic {missing[0].name!r} and more: topology=create makes them, once")
        await self._create(missing)

    async def made(self, form: TopicForm) -> int:
        """Make a topic of ours that is not there, and return how many partitions it has."""
        await self._cluster.refresh([form.name])
        if form.name not in self._cluster.topics:
            await self._create([form])
        return self._cluster.topics[form.name].size

    async def begins(self, group: str, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        """Return where a group begins that has come nowhere there: what is newer than it is read from its beginning."""
        if not partitions:
            return {}
        unknown = [each for each in partitions if (group, each) not in self._begins]
        new = unknown if self._makes else await self._grown(group, unknown)
        old = [each for each in unknown if each not in new]
        if old:
            names = ", ".join(sorted({each.topic for each in old}))
            text = "group %r has never read %s: it begins at the end, and what is there already is not handled"
            _log.error(text, group, names)
        begins = {each: self._begins[group, each] for each in partitions if each not in unknown}
        for some, time in ((new, EARLIEST), (old, LATEST)):
            if some:
                begins.update(await self._groups.ends(some, time))
        return begins

    async def _grown(self, group: str, partitions: Sequence[Partition]) -> Sequence[Partition]:
        """Return those of topics that the group reads."""
        known = self._cluster.topics
        sizes = {each.topic: known[each.topic].size for each in partitions if each.topic in known}
        standings = await self._groups.standings(group, _partitions(sizes, sizes))
        read = {each.topic for each, standing in standings.items() if standing.offset is not None}
        return [each for each in partitions if each.topic in read]

    # -- looking

    async def _survey(self, topology: Topology, forms: Mapping[str, TopicForm]) -> Sequence[PlanEntry]:
        found = await self._cluster.refresh(sorted(forms))
        sizes = {each.name: len(each.partitions) for each in found.topics if each.error == Code.NONE}
        differing = await self._differences([form for form in forms.values() if form.name in sizes])
        plan = [_surveyed(form, sizes, differing.get(form.name)) for form in forms.values()]
        for queue in topology.queues.values():
            if not queue.anonymous:
                plan.append(await self._surveyed_group(queue, sizes))
            plan += _ignored(queue.name, queue.options)
        for exchange in topology.exchanges.values():
            plan += _ignored(exchange.name, exchange.options)
        if any(not queue.anonymous for queue in topology.queues.values()):
            await self._cluster.refresh([form.name for form in level_forms()])
            is_there = all(form.name in self._cluster.topics for form in level_forms())
            plan.append(PlanEntry(PlanAction.EXISTS, *_DELAYS_ARE) if is_there else _DELAYS)
        return plan

    async def _differences(self, forms: Sequence[TopicForm]) -> Mapping[str, str]:
        """Return how topics differ from what is said of them."""
        asked = [Resource(TOPIC, form.name, list(form.configs)) for form in forms if form.configs]
        if not asked:
            return {}
        found = await self._cluster.ask_any(DESCRIBE_CONFIGS, AskConfigs(asked))
        there = {each.name: {config.name: config.value for config in each.settings} for each in found.resources}
        wrong: dict[str, str] = {}
        for form in forms:
            values = there.get(form.name, {})
            said = [
                f"{name}={value} is declared, but {name}={values[name]} is there"
                for name, value in form.configs.items()
                if name in values and not _is_alike(name, value, values[name])
            ]
            if said:
                wrong[form.name] = "; ".join(said)
        return wrong

    async def _surveyed_group(self, queue: QueueSpec, sizes: Mapping[str, int]) -> PlanEntry:
        group, partitions = group_of(queue), _partitions(topics_of(queue), sizes)
        detail = ", ".join(f"reads {topic}" for topic in topics_of(queue))
        standings = await self._groups.standings(group, partitions)
        read = {each.topic for each, standing in standings.items() if standing.offset is not None}
        is_there = bool(read) and set(topics_of(queue)) <= read
        return PlanEntry(PlanAction.EXISTS if is_there else PlanAction.CREATE, "group", group, detail)

    # -- making

    async def _create(self, forms: Sequence[TopicForm]) -> None:
        if not forms:
            return
        new = [
            NewTopic(
                form.name,
                form.partitions or _PARTITIONS,
                form.replication or -1,
                [],
                [Config(name, value) for name, value in form.configs.items()],
            )
            for form in forms
        ]
        made = await self._cluster.ask_controller(CREATE_TOPICS, NewTopics(new, _TO_MAKE), patience=_TO_MAKE / 1000)
        for outcome, form in zip(made.topics, forms, strict=True):
            if outcome.error != Code.TOPIC_ALREADY_EXISTS:
                try:
                    checked(outcome.error, outcome.text)
                except BrokerError as error:
                    if error.passes:
                        raise
                    raise TopologyMismatch(f"topic {outcome.name!r} of {form.what}: {error}") from error
        await self._led([form.name for form in forms])

    async def _led(self, names: Sequence[str]) -> None:
        """Return when each partition has a leader, as those say who are asked."""
        failures = 0
        async with asyncio.timeout(_TO_BE_LED):
            while True:
                await self._cluster.refresh(names)
                known = self._cluster.topics
                if all(name in known and known[name].size and min(known[name].leaders) >= 0 for name in names):
                    return
                failures += 1
                await asyncio.sleep(pause(failures) / 2)

    async def _begin(self, queue: QueueSpec) -> None:
        """Have a new group begin at the end as it is now, or where it is said to."""
        group, known = group_of(queue), self._cluster.topics
        sizes = {topic: known[topic].size for topic in topics_of(queue) if topic in known}
        partitions = _partitions(topics_of(queue), sizes)
        standings = await self._groups.standings(group, partitions)
        read = {each.topic for each, standing in standings.items() if standing.offset is not None}
        unread = [each for each in partitions if each.topic not in read]
        if not unread:
            return
        begins = await self._groups.ends(unread, _time(queue.start))
        points = {each: Point(offset, Progress(offset).metadata()) for each, offset in begins.items()}
        try:
            await self._groups.move(group, points)
        except BrokerError as error:
            if error.code not in (Code.UNKNOWN_MEMBER_ID, Code.ILLEGAL_GENERATION, Code.REBALANCE_IN_PROGRESS):
                raise BrokerUnavailable(f"group {group!r} cannot be told where to begin: {error}") from error
            # It lives, and only its members may say how far it is: whoever gets these does.
            self._begins.update({(group, each): offset for each, offset in begins.items()})


_DELAYS_ARE = _DELAYS.what, _DELAYS.name, _DELAYS.detail


def _time(start: Start) -> int:
    match start:
        case "earliest":
            return EARLIEST
        case "latest":
            return LATEST
        case datetime():
            return round(start.timestamp() * 1000)


def _partitions(topics: Collection[str], sizes: Mapping[str, int]) -> list[Partition]:
    return [Partition(topic, number) for topic in topics for number in range(sizes.get(topic, 0))]


def _surveyed(form: TopicForm, sizes: Mapping[str, int], differing: str | None) -> PlanEntry:
    if form.name not in sizes:
        if not form.owned:
            return PlanEntry(PlanAction.DIFFERS, "topic", form.name, "it is somebody else's, and it is not there")
        return PlanEntry(PlanAction.CREATE, "topic", form.name, f"of {form.what}: {form}")
    size = sizes[form.name]
    if form.partitions is not None and form.partitions != size:
        text = f"partitions={form.partitions} is declared, but it has {size}"
        more = "; more of them would move keys, which breaks their order" if form.partitions > size else ""
        return PlanEntry(PlanAction.DIFFERS, "topic", form.name, text + more)
    if differing is not None:
        return PlanEntry(PlanAction.DIFFERS, "topic", form.name, differing)
    return PlanEntry(PlanAction.EXISTS, "topic", form.name, f"of {form.what}")


def _is_alike(name: str, declared: str, there: str | None) -> bool:
    if name == "max.message.bytes" and there is not None and there.isdecimal():
        # More harms nobody.
        return int(there) >= int(declared)
    return there == declared


def _refuse(plan: Plan, *, makes: bool) -> None:
    wrong = [f"{entry.what} {entry.name!r}: {entry.detail}" for entry in plan.entries if _differs(entry)]
    if not makes:
        wrong += [
            f"{entry.what} {entry.name!r} does not exist"
            for entry in plan.entries
            if entry.action is PlanAction.CREATE and entry is not _DELAYS
        ]
    if wrong:
        raise TopologyMismatch("; ".join(wrong))


def _differs(entry: PlanEntry) -> bool:
    return entry.action is PlanAction.DIFFERS


def _ignored(name: str, options: Sequence[Option]) -> Iterator[PlanEntry]:
    for option in foreign(options):
        whose = ", ".join(f"{scheme}://" for scheme in option.schemes) or "another broker"
        yield PlanEntry(PlanAction.IGNORED, "option", name, f"{type(option).__name__} is for {whose}")
