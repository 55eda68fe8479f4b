"""What becomes of exchanges and queues on Kafka: topics, and groups that read them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

from msgkit.errors import TopologyMismatch
from msgkit.spi import QueueSpec, Topology
from msgkit.values import Option
from msgkit_kafka.options import MAX_RECORD, KafkaQueue, KafkaTopic, topic_name

__all__ = ["TopicForm", "foreign", "group_of", "own_topic", "topic_forms", "topics_of"]

OptionT = TypeVar("OptionT", bound=Option)
_DEFAULT = KafkaTopic()
_QUEUE = KafkaQueue()
_FOR_EVER = {"retention.ms": "-1"}
_SIZE = {"max.message.bytes": str(MAX_RECORD)}


class TopicForm(NamedTuple):
    """A topic as it is declared."""

    name: str
    #: Whose it is: `exchange 'orders'`.
    what: str
    #: None: as the brokers are set.
    partitions: int | None
    replication: int | None
    configs: Mapping[str, str]
    #: Is it ours to make?
    owned: bool

    @property
    def kind(self) -> str:
        """Is it an exchange's, or a queue's?"""
        return self.what.partition(" ")[0]

    def __str__(self) -> str:
        said = {"partitions": self.partitions, "replication": self.replication, **self.configs}
        return ", ".join(f"{name}={value}" for name, value in said.items() if value is not None)


def topic_forms(topology: Topology) -> Mapping[str, TopicForm]:
    """Return the topics of a topology, by name.

    :raises TopologyMismatch: when two that differ would be one
    """
    forms: dict[str, TopicForm] = {}
    for form in _all_forms(topology):
        before = forms.setdefault(form.name, form)
        if before.kind != form.kind:
            raise TopologyMismatch(
                f"{before.what} and {form.what} would both be topic {form.name!r}, where nobody could tell their "
                "messages apart: give one of them another name, or the queue KafkaQueue(topic=…) or direct=False"
            )
        if before._replace(what=form.what) != form:
            raise TopologyMismatch(f"{before.what} and {form.what} would both be topic {form.name!r}, and differ")
    return forms


def _all_forms(topology: Topology) -> Iterator[TopicForm]:
    for exchange in topology.exchanges.values():
        yield _form(exchange.name, f"exchange {exchange.name!r}", exchange.options, {})
    for queue in topology.queues.values():
        for route in queue.routes:
            if route.exchange not in topology.exchanges:
                yield _form(route.exchange, f"exchange {route.exchange!r}", (), {})
        if (own := own_topic(queue)) is not None:
            kept = _FOR_EVER if queue.dead_letters_of is not None else {}
            yield _form(own, f"queue {queue.name!r}", queue.options, kept)


def _form(name: str, what: str, options: Sequence[Option], also: Mapping[str, str]) -> TopicForm:
    option = _option(options, KafkaTopic, _DEFAULT)
    return TopicForm(
        topic_name(name, f"the topic of {what}"),
        what,
        option.partitions,
        option.replication,
        {**_SIZE, **also, **option.declared()} if option.declare else {},
        owned=option.declare,
    )


def own_topic(queue: QueueSpec) -> str | None:
    """Return the topic of what is sent to a queue itself; None when nothing can be."""
    option = _option(queue.options, KafkaQueue, _QUEUE)
    return None if queue.anonymous or not option.direct else option.topic or queue.name


def group_of(queue: QueueSpec) -> str:
    return _option(queue.options, KafkaQueue, _QUEUE).group or queue.name


def topics_of(queue: QueueSpec) -> Sequence[str]:
    """Return the topics that a queue reads."""
    own = own_topic(queue)
    return list(dict.fromkeys([route.exchange for route in queue.routes] + ([] if own is None else [own])))


def foreign(options: Iterable[Option]) -> Iterator[Option]:
    """Return the options that say nothing to Kafka."""
    return (option for option in options if not isinstance(option, (KafkaQueue, KafkaTopic)))


def _option(options: Iterable[Option], kind: type[OptionT], default: OptionT) -> OptionT:
    found = [option for option in options if isinstance(option, kind)]
    if len(found) > 1:
        raise TopologyMismatch(f"{kind.__name__} is said twice: {found[0]!r} and {found[1]!r}")
    return found[0] if found else default
