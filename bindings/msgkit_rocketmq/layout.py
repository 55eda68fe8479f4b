"""What becomes of exchanges and queues on RocketMQ: topics, and groups that take from them. Pure.

RocketMQ knows no dots: they become `-`, and in the names of groups so does `_`, because a group's topic of what is
tried again is named `%RETRY%<group>_<topic>`, and would be another group's as well.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple, TypeVar

from msgkit.errors import ConfigurationError, TopologyMismatch
from msgkit.spi import QueueSpec, Topology
from msgkit.values import Option
from msgkit_rocketmq.options import MAX_GROUP, MAX_TOPIC, RocketQueue, RocketTopic, broker_name

__all__ = ["ANONYMOUS", "GroupForm", "Layout", "TopicForm", "foreign"]

OptionT = TypeVar("OptionT", bound=Option)

#: What the names of groups begin with that go with their process.
ANONYMOUS = "msgkit-anon-"
_READER = "msgkit-reader"
_CHECKERS = "msgkit-check-"
_DEFAULT = RocketTopic()
_QUEUE = RocketQueue()
#: In these, brokers keep their own books; nothing can be sent to some of them.
_INTERNAL = frozenset(
    {
        "BenchmarkTest",
        "OFFSET_MOVED_EVENT",
        "RMQ_SYS_TRACE_TOPIC",
        "RMQ_SYS_TRANS_HALF_TOPIC",
        "RMQ_SYS_TRANS_OP_HALF_TOPIC",
        "SCHEDULE_TOPIC_XXXX",
        "SELF_TEST_TOPIC",
        "TBW102",
        "TRANS_CHECK_MAX_TIME_TOPIC",
    }
)
_INTERNAL_PREFIX = "rmq_sys_"


class TopicForm(NamedTuple):
    """A topic as it is declared."""

    name: str
    #: Whose it is: `exchange 'orders'`.
    what: str
    #: None: as many as there are.
    queues: int | None
    message_type: str | None
    #: Is it ours to make?
    owned: bool

    @property
    def kind(self) -> str:
        """Is it an exchange's, or a queue's?"""
        return self.what.partition(" ")[0]

    def __str__(self) -> str:
        said = {"queues": self.queues, "message_type": self.message_type}
        return ", ".join(f"{name}={value}" for name, value in said.items() if value is not None)


class GroupForm(NamedTuple):
    """A consumer group as it is declared."""

    name: str
    #: Whose it is: `queue 'billing'`.
    what: str
    topics: Sequence[str]
    is_ordered: bool
    #: False: others may have named it, and it is used as it is.
    owned: bool


class Layout:
    """Names the topics and groups of one client."""

    def __init__(self, namespace: str = "") -> None:
        """Name them; the namespace stands before all of their names."""
        self._before = f"{namespace}%" if namespace else ""
        #: The group on whose behalf is read what is not taken.
        self.reader = f"{self._before}{_READER}"

    def exchange_topic(self, exchange: str) -> str:
        """Return the topic of an exchange.

        :raises ConfigurationError: when RocketMQ has no room for such a name
        """
        return self._topic(exchange, f"the topic of exchange {exchange!r}")

    def queue_topic(self, queue: str) -> str:
        """Return the topic of what is sent to a queue, if its declaration names no other."""
        return self._topic(queue, f"the topic of queue {queue!r}")

    def own_topic(self, queue: QueueSpec) -> str | None:
        """Return the topic of what is sent to a queue itself; None when nothing can be."""
        option = _option(queue.options, RocketQueue, _QUEUE)
        if queue.anonymous or not option.direct:
            return None
        return self.queue_topic(queue.name) if option.topic is None else self._before + option.topic

    @property
    def anonymous(self) -> str:
        """What the groups of anonymous queues begin with."""
        return self._before + ANONYMOUS

    @staticmethod
    def owns(queue: QueueSpec) -> bool:
        """Is the group of a queue ours alone? Others may have named it, and be in it."""
        return _option(queue.options, RocketQueue, _QUEUE).group is None

    def group_of(self, queue: QueueSpec) -> str:
        """Return the consumer group that a queue is."""
        group = _option(queue.options, RocketQueue, _QUEUE).group
        if group is not None:
            return self._before + group
        group = (ANONYMOUS if queue.anonymous else "") + queue.name.replace(".", "-").replace("_", "-")
        room = MAX_GROUP - len(self._before)
        return self._before + broker_name(group, f"the group of queue {queue.name!r}", room, also="")

    def checkers(self, check: str) -> str:
        """Return the group of those who are asked about half messages: those who can answer, and nobody else."""
        plain = re.fullmatch("[a-zA-Z0-9-]{1,64}", check) is not None
        return f"{self._before}{_CHECKERS}{check if plain else sha256(check.encode()).hexdigest()}"

    def topics_of(self, queue: QueueSpec) -> Sequence[str]:
        """Return the topics that a queue takes from."""
        own = self.own_topic(queue)
        routed = [self.exchange_topic(route.exchange) for route in queue.routes]
        return list(dict.fromkeys(routed + ([] if own is None else [own])))

    def _topic(self, name: str, what: str) -> str:
        topic = broker_name(name.replace(".", "-"), what, MAX_TOPIC - len(self._before), also="_")
        if topic in _INTERNAL or topic.startswith(_INTERNAL_PREFIX):
            msg = f"{what} is {topic!r}, in which RocketMQ keeps its own books; take another"
            raise ConfigurationError(msg)
        return self._before + topic

    # -- all that is declared

    def check(self, topology: Topology) -> None:
        """Refuse what could not be told apart.

        :raises TopologyMismatch: naming both
        """
        self.topic_forms(topology)
        self.group_forms(topology)

    def topic_forms(self, topology: Topology) -> Mapping[str, TopicForm]:
        """Return the topics of a topology, by name.

        :raises TopologyMismatch: when two that differ would be one
        """
        forms: dict[str, TopicForm] = {}
        for form in self._all_topics(topology):
            before = forms.setdefault(form.name, form)
            if before.what != form.what and (before.kind == "exchange" or form.kind == "exchange"):
                raise TopologyMismatch(
                    f"{before.what} and {form.what} would both be topic {form.name!r}, where nobody could tell their "
                    "messages apart: give one of them another name, or the queue RocketQueue(topic=…) or direct=False"
                )
            if before != form and before._replace(what=form.what) != form:
                raise TopologyMismatch(f"{before.what} and {form.what} would both be topic {form.name!r}, and differ")
        return forms

    def _all_topics(self, topology: Topology) -> Iterator[TopicForm]:
        for exchange in topology.exchanges.values():
            yield _form(self.exchange_topic(exchange.name), f"exchange {exchange.name!r}", exchange.options)
        for queue in topology.queues.values():
            for route in queue.routes:
                if route.exchange not in topology.exchanges:
                    yield _form(self.exchange_topic(route.exchange), f"exchange {route.exchange!r}", ())
            if (own := self.own_topic(queue)) is not None:
                yield _form(own, f"queue {queue.name!r}", queue.options)

    def group_forms(self, topology: Topology) -> Mapping[str, GroupForm]:
        """Return the groups of a topology, by name.

        :raises TopologyMismatch: when two queues would be one group
        """
        forms: dict[str, GroupForm] = {}
        for queue in topology.queues.values():
            name = self.group_of(queue)
            form = GroupForm(
                name, f"queue {queue.name!r}", self.topics_of(queue), bool(queue.ordered), self.owns(queue)
            )
            if (before := forms.setdefault(name, form)) is not form:
                raise TopologyMismatch(
                    f"{before.what} and {form.what} would both be group {name!r}, and share what comes: "
                    "give one of them another name, or RocketQueue(group=…)"
                )
        return forms


def foreign(options: Iterable[Option]) -> Iterator[Option]:
    """Return the options that say nothing to RocketMQ."""
    return (option for option in options if not isinstance(option, (RocketQueue, RocketTopic)))


def _form(name: str, what: str, options: Sequence[Option]) -> TopicForm:
    option = _option(options, RocketTopic, _DEFAULT)
    return TopicForm(name, what, option.queues, option.message_type, owned=option.declare)


def _option(options: Iterable[Option], kind: type[OptionT], default: OptionT) -> OptionT:
    found = [option for option in options if isinstance(option, kind)]
    if len(found) > 1:
        raise TopologyMismatch(f"{kind.__name__} is said twice: {found[0]!r} and {found[1]!r}")
    return found[0] if found else default
