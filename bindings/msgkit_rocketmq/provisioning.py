"""Topology: which topics and groups are there and which are not, what differs, and where new groups begin."""

import asyncio
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, cast

from msgkit.errors import TopologyMismatch
from msgkit.spi import Plan, PlanAction, PlanEntry, ProvisionMode, QueueSpec, Topology
from msgkit.topology import Start
from msgkit.values import Option
from msgkit_rocketmq.client import brokers, groups, offsets, topics
from msgkit_rocketmq.client.cluster import Cluster
from msgkit_rocketmq.client.handles import retry_topic
from msgkit_rocketmq.client.places import Place
from msgkit_rocketmq.layout import GroupForm, Layout, TopicForm, foreign
from msgkit_rocketmq.sweeping import remove

__all__ = ["Provisioner"]

_log = logging.getLogger("msgkit.rocketmq")
_MAKING = (ProvisionMode.CREATE, ProvisionMode.PRUNE)
#: Of a topic of which nothing else is said: so many keys of an ordered queue are worked on at a time, by each broker.
_QUEUES = 16
#: What comes back is taken by nobody in particular.
_QUEUES_OF_RETURNS = 1


class _Seen(NamedTuple):
    """What is there."""

    #: By names of topics and of brokers.
    found: Mapping[str, Mapping[str, topics.Topic]]
    #: By names of brokers and of groups.
    known: Mapping[str, Mapping[str, groups.Group]]

    def groups_of(self, name: str) -> Sequence[groups.Group]:
        return [table[name] for table in self.known.values() if name in table]


class Provisioner:
    """Brings about what is declared."""

    def __init__(self, cluster: Cluster, layout: Layout) -> None:
        self._cluster = cluster
        self._layout = layout

    async def provision(self, topology: Topology, mode: ProvisionMode) -> Plan:
        """Do as `Binding.provision` does; what is refused changes nothing."""
        topic_forms, group_forms = self._layout.topic_forms(topology), self._layout.group_forms(topology)
        if mode is ProvisionMode.ASSUME:
            await self._make_anonymous(topology, group_forms)
            return Plan(())
        seen = await self._look(topic_forms)
        plan = Plan(tuple(await self._survey(topology, topic_forms, group_forms, seen)))
        if mode is ProvisionMode.PLAN:
            return plan
        makes = mode in _MAKING
        _refuse(plan, makes=makes)
        if makes:
            new = {(entry.what, entry.name) for entry in plan.entries if entry.action is PlanAction.CREATE}
            await self._make_topics([form for form in topic_forms.values() if ("topic", form.name) in new])
            for queue in topology.queues.values():
                form = group_forms[self._layout.group_of(queue)]
                if ("group", form.name) in new:
                    await self._make_group(form, queue.start, is_new=_is_to_be_made(form, seen))
            if any(what == "group" for what, _ in new):
                await self._written_down()
        await self._make_anonymous(topology, group_forms)
        return plan

    async def begin(self, queue: QueueSpec) -> None:
        """Have a group begin at the end that was never told where, because nobody was to make anything."""
        topology = Topology({}, {queue.name: queue})
        (form,) = self._layout.group_forms(topology).values()
        for topic in await self._unread(form):
            text = "group %r has never read %s: it begins at the end, and what is there already is not handled"
            _log.error(text, form.name, topic)
            await asyncio.gather(*(self._begin(form.name, place, "latest") for place in await self._places(topic)))

    async def revive(self, queue: QueueSpec) -> bool:
        """Tell whether an anonymous queue had been taken away; then it is made again, and begins at the end."""
        (form,) = self._layout.group_forms(Topology({}, {queue.name: queue})).values()
        if not await self._unread(form):
            return False
        await self._make_group(form, "latest", is_new=True)
        return True

    async def remove(self, queue: QueueSpec) -> None:
        """Take away the group of an anonymous queue, and what came back to it."""
        await remove(self._cluster, self._layout.group_of(queue), self._layout.topics_of(queue))

    # -- looking

    async def _look(self, names: Collection[str]) -> _Seen:
        found = await asyncio.gather(*(topics.describe(self._cluster, name) for name in names))
        return _Seen(dict(zip(names, found, strict=True)), await groups.describe(self._cluster))

    async def _survey(
        self,
        topology: Topology,
        topic_forms: Mapping[str, TopicForm],
        group_forms: Mapping[str, GroupForm],
        seen: _Seen,
    ) -> Sequence[PlanEntry]:
        plan = [_surveyed(form, seen.found[form.name]) for form in topic_forms.values()]
        for queue in topology.queues.values():
            if not queue.anonymous:
                plan.append(await self._surveyed_group(group_forms[self._layout.group_of(queue)], seen))
            plan += _ignored(queue.name, queue.options)
        for exchange in topology.exchanges.values():
            plan += _ignored(exchange.name, exchange.options)
        return plan

    async def _surveyed_group(self, form: GroupForm, seen: _Seen) -> PlanEntry:
        if form.owned and any(group.in_order != form.is_ordered for group in seen.groups_of(form.name)):
            text = (
                f"ordered={form.is_ordered} is declared, and it is there with ordered={not form.is_ordered}: "
                "delete it when nothing waits there any more, or give the queue another name"
            )
            return PlanEntry(PlanAction.DIFFERS, "group", form.name, text)
        detail = ", ".join((f"of {form.what}", *(f"reads {topic}" for topic in form.topics)))
        is_there = all(seen.found[topic] for topic in form.topics) and not _is_to_be_made(form, seen)
        if is_there and not await self._unread(form) and not await self._missing_returns(form):
            return PlanEntry(PlanAction.EXISTS, "group", form.name, detail)
        return PlanEntry(PlanAction.CREATE, "group", form.name, detail)

    async def _unread(self, form: GroupForm) -> Sequence[str]:
        """Return the topics that a group has never been in."""
        been = await asyncio.gather(*(self._has_been(form.name, topic) for topic in form.topics))
        return [topic for topic, has_been in zip(form.topics, been, strict=True) if not has_been]

    async def _has_been(self, group: str, topic: str) -> bool:
        places = await self._places(topic)
        found = await asyncio.gather(*(offsets.committed(self._cluster, each, group) for each in places))
        return any(each is not None for each in found)

    async def _places(self, topic: str) -> Sequence[Place]:
        return (await self._cluster.route(topic, fresh=True)).to_read

    async def _missing_returns(self, form: GroupForm) -> Sequence[str]:
        """Return the topics of what comes back to a group that are not there.

        Of an ordered queue, nothing comes back: it stays where it is.
        """
        if form.is_ordered or await self._names_returns_itself():
            return ()
        names = [retry_topic(topic, form.name) for topic in form.topics]
        found = await asyncio.gather(*(topics.describe(self._cluster, name) for name in names))
        return [name for name, there in zip(names, found, strict=True) if not there]

    async def _names_returns_itself(self) -> bool:
        """Do the brokers have newer names for the topics of what comes back, which nobody else can make?"""
        masters = await brokers.masters(self._cluster)
        found = await asyncio.gather(*(brokers.settings(self._cluster, broker) for broker in masters))
        return all(each.newer_retry_topics for each in found)

    # -- making

    async def _make_topics(self, forms: Sequence[TopicForm]) -> None:
        await asyncio.gather(
            *(
                topics.create(
                    self._cluster,
                    form.name,
                    queues=form.queues or _QUEUES,
                    kind=cast("topics.Kind | None", form.message_type and form.message_type.upper()),
                )
                for form in forms
            )
        )

    async def _make_anonymous(self, topology: Topology, forms: Mapping[str, GroupForm]) -> None:
        for queue in topology.queues.values():
            form = forms[self._layout.group_of(queue)]
            if queue.anonymous and await self._unread(form):
                await self._make_group(form, queue.start, is_new=True)

    async def _make_group(self, form: GroupForm, start: Start, *, is_new: bool) -> None:
        """Make a group, what comes back to it, and have it begin where it is said to."""
        unread = await self._unread(form)
        if is_new:
            await groups.create(self._cluster, form.name, in_order=form.is_ordered)
        for name in await self._missing_returns(form):
            await topics.create(self._cluster, name, queues=_QUEUES_OF_RETURNS)
        places = [place for topic in unread for place in await self._places(topic)]
        # What was confirmed before is not to be received, and it may not be in its queue yet.
        await asyncio.gather(
            *(brokers.caught_up(self._cluster, broker) for broker in {place.broker for place in places})
        )
        await asyncio.gather(*(self._begin(form.name, place, start) for place in places))

    async def _written_down(self) -> None:
        """Return when no broker forgets any more where groups begin: after a kill that would be at its end."""
        masters = await brokers.masters(self._cluster)
        await asyncio.gather(*(brokers.written_down(self._cluster, broker) for broker in masters))

    async def _begin(self, group: str, place: Place, start: Start) -> None:
        match start:
            case "earliest":
                offset = await offsets.begin(self._cluster, place)
            case "latest":
                offset = await offsets.end(self._cluster, place)
            case datetime():
                offset = await offsets.at_time(self._cluster, place, start.timestamp())
        await offsets.commit(self._cluster, place, group, offset)


def _is_to_be_made(form: GroupForm, seen: _Seen) -> bool:
    """Is a group missing? Somebody else's is used as it is."""
    found = len(seen.groups_of(form.name))
    return found < len(seen.known) if form.owned else found == 0


def _surveyed(form: TopicForm, there: Mapping[str, topics.Topic]) -> PlanEntry:
    if not there and not form.owned:
        return PlanEntry(PlanAction.DIFFERS, "topic", form.name, "it is somebody else's, and it is not there")
    if not there:
        return PlanEntry(PlanAction.CREATE, "topic", form.name, f"of {form.what}{f': {form}' if str(form) else ''}")
    sizes = {topic.readable for topic in there.values()}
    kinds = {topic.kind.lower() for topic in there.values()}
    if form.queues is not None and sizes - {form.queues}:
        text = f"queues={form.queues} is declared, but it has {' and '.join(map(str, sorted(sizes)))}"
        more = "; more of them would move keys, which breaks their order" if form.queues > min(sizes) else ""
        return PlanEntry(PlanAction.DIFFERS, "topic", form.name, text + more)
    if form.message_type is not None and kinds - {form.message_type}:
        text = f"message_type={form.message_type} is declared, but it has {' and '.join(sorted(kinds))}"
        return PlanEntry(PlanAction.DIFFERS, "topic", form.name, text)
    return PlanEntry(PlanAction.EXISTS, "topic", form.name, f"of {form.what}")


def _refuse(plan: Plan, *, makes: bool) -> None:
    wrong = [f"{entry.what} {entry.name!r}: {entry.detail}" for entry in plan.entries if _differs(entry)]
    if not makes:
        wrong += [
            f"{entry.what} {entry.name!r} does not exist" for entry in plan.entries if entry.action is PlanAction.CREATE
        ]
    if wrong:
        raise TopologyMismatch("; ".join(wrong))


def _differs(entry: PlanEntry) -> bool:
    return entry.action is PlanAction.DIFFERS


def _ignored(name: str, options: Sequence[Option]) -> Iterator[PlanEntry]:
    for option in foreign(options):
        whose = ", ".join(f"{scheme}://" for scheme in option.schemes) or "another broker"
        yield PlanEntry(PlanAction.IGNORED, "option", name, f"{type(option).__name__} is for {whose}")
