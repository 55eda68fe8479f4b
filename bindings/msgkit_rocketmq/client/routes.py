"""Where topics and brokers are: what name servers tell of them. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, cast

from msgkit.reaching import Address
from msgkit_rocketmq.client.errors import Unreadable
from msgkit_rocketmq.client.lenient import read, table
from msgkit_rocketmq.client.places import Broker, Place

__all__ = ["QueueAt", "Route", "masters_in", "route_in"]

_MASTER = "0"
_WRITE, _READ = 2, 4
_MOST_QUEUES, _MOST_PORT = 1 << 16, 0xFFFF


class QueueAt(NamedTuple):
    """One queue of a topic: of which broker, and which of those that it has there."""

    broker: str
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What is known of one topic. Brokers without a master are left out."""

    topic: str
    #: Where the master of each broker is that has the topic, by the broker's name.
    masters: Mapping[str, Address]
    #: The queues that may be written, and those that may be read: by the names of brokers, then by number.
    writable: tuple[QueueAt, ...]
    readable: tuple[QueueAt, ...]

    @property
    def to_write(self) -> list[Place]:
        return self._places(self.writable)

    @property
    def to_read(self) -> list[Place]:
        return self._places(self.readable)

    def _places(self, queues: Iterable[QueueAt]) -> list[Place]:
        masters = {name: Broker(name, address) for name, address in self.masters.items()}
        return [Place(masters[at.broker], self.topic, at.number) for at in queues]


def route_in(topic: str, body: bytes) -> Route:
    """Return what a name server answers of a topic.

    :raises Unreadable: when it says something else
    """
    said = table(read(body))
    masters = dict(_masters(_items(said.get("brokerDatas"))))
    queues = sorted(_items(said.get("queueDatas")), key=_name)
    return Route(
        topic=topic,
        masters=masters,
        writable=tuple(_queues(queues, masters, _WRITE, "writeQueueNums")),
        readable=tuple(_queues(queues, masters, _READ, "readQueueNums")),
    )


def masters_in(body: bytes) -> dict[str, Address]:
    """Return where the master of each broker is, of what a name server answers of the whole cluster.

    :raises Unreadable: when it says something else
    """
    brokers = table(table(read(body)).get("brokerAddrTable") or {})
    return dict(_masters([table(each) for each in brokers.values()]))


def _masters(brokers: list[dict[str, object]]) -> Iterator[tuple[str, Address]]:
    for each in brokers:
        where = table(each.get("brokerAddrs")).get(_MASTER)
        if where is not None:
            yield _name(each), _address(str(where))


def _queues(
    topics: list[dict[str, object]], masters: Mapping[str, Address], permission: int, size: str
) -> Iterator[QueueAt]:
    for each in topics:
        broker = _name(each)
        if broker in masters and _number(each, "perm") & permission:
            for number in range(_number(each, size)):
                yield QueueAt(broker, number)


def _items(value: object) -> list[dict[str, object]]:
    if not isinstance(value, list | None):
        raise Unreadable("there is no array in a route where one should be")
    return [table(each) for each in cast("list[object]", value or [])]


def _name(said: Mapping[str, object]) -> str:
    name = said.get("brokerName")
    if not isinstance(name, str):
        raise Unreadable("a broker in a route has no name")
    return name


def _number(said: Mapping[str, object], name: str) -> int:
    number = said.get(name)
    if not isinstance(number, int) or not 0 <= number <= _MOST_QUEUES:
        raise Unreadable(f"{name} in a route is no number that it can be")
    return number


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    if not (host and port.isascii() and port.isdigit() and 0 < int(port[:6]) <= _MOST_PORT):
        raise Unreadable(f"a broker's address in a route is none: {text}")
    return Address(host.removeprefix("[").removesuffix("]"), int(port))
