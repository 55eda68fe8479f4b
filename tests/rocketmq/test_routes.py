"""What name servers tell, as it was recorded, and whatever comes."""

import json
from contextlib import suppress
from itertools import count
from random import Random

import pytest

from msgkit.reaching import Address
from msgkit_rocketmq.client.errors import Unreadable
from msgkit_rocketmq.client.lenient import read, table
from msgkit_rocketmq.client.routes import QueueAt, masters_in, route_in
from tests.rocketmq.recorded import CLUSTER, OLDER, ROUTE, STATS

#: Recorded: of a topic, as newer clients and as older ones are told; and of the whole cluster.
BROKER_A = Address("127.0.0.1", 30034)


@pytest.mark.parametrize("body", [ROUTE, OLDER])
def test_a_route_names_masters_and_queues(body: bytes) -> None:
    route = route_in("t1", body)
    assert route.topic == "t1"
    assert route.masters == {"broker-a": BROKER_A}
    assert route.writable == (QueueAt("broker-a", 0), QueueAt("broker-a", 1))
    assert route.readable == (QueueAt("broker-a", 0), QueueAt("broker-a", 1), QueueAt("broker-a", 2))


def route_of(*brokers: tuple[str, dict[str, str], int]) -> bytes:
    datas = [{"brokerName": name, "brokerAddrs": addresses} for name, addresses, _ in brokers]
    queues = [
        {"brokerName": name, "perm": permission, "readQueueNums": 1, "writeQueueNums": 1}
        for name, _, permission in brokers
    ]
    return json.dumps({"brokerDatas": datas, "queueDatas": queues}).encode()


def test_queues_are_in_the_same_order_whatever_the_name_server_says_first() -> None:
    body = route_of(("b", {"0": "b:1"}, 6), ("a", {"0": "a:1"}, 6))
    assert [each.broker for each in route_in("t", body).writable] == ["a", "b"]


def test_what_may_not_be_written_is_left_out_and_so_is_what_may_not_be_read() -> None:
    body = route_of(("a", {"0": "a:1"}, 4), ("b", {"0": "b:1"}, 2))
    route = route_in("t", body)
    assert (route.writable, route.readable) == ((QueueAt("b", 0),), (QueueAt("a", 0),))


def test_a_broker_without_a_master_is_left_out() -> None:
    body = route_of(("a", {"1": "a:1"}, 6), ("b", {"0": "b:1", "1": "b:2"}, 6))
    route = route_in("t", body)
    assert route.masters == {"b": Address("b", 1)}
    assert route.writable == route.readable == (QueueAt("b", 0),)


def test_an_address_of_ipv6_is_read_with_brackets_and_without() -> None:
    body = route_of(("a", {"0": "[::1]:10911"}, 6), ("b", {"0": "::1:10911"}, 6))
    assert set(route_in("t", body).masters.values()) == {Address("::1", 10911)}


def test_masters_are_read_though_it_is_no_json_that_comes() -> None:
    assert masters_in(CLUSTER) == {"broker-a": BROKER_A}
    assert masters_in(b'{"brokerAddrTable":{},"clusterAddrTable":{}}') == {}


def test_objects_that_stand_for_names_are_kept_as_they_are_written() -> None:
    offsets = table(table(read(STATS))["offsetTable"])
    queues = [json.loads(name) for name in offsets]
    assert [(each["queueId"], each["topic"]) for each in queues] == [(1, "t1"), (0, "t1")]
    assert [table(each)["brokerOffset"] for each in offsets.values()] == [436, 7]


@pytest.mark.parametrize("text", ['{"a":[1,-2.5e3,true,null,"\\"{"],"b":{}}', "[]", "[[],{}]", ' {\n"a" : "b" } '])
def test_json_that_is_some_is_read_as_such_by_the_lenient_reader_too(text: str) -> None:
    odd = f"{{0:{text}}}".encode()
    assert read(odd) == {"0": json.loads(text)}
    assert read(text.encode()) == json.loads(text)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b'{0:"a"',
        b"{0}",
        b"{0:}",
        b"{0:1}}",
        b'{0:"a}',
        b"{0:1 2}",
        b"{0:\xff}",
        b"{0:nothing}",
        b"{0:" * 5000 + b"1" + b"}" * 5000,
        b"[" * 100_000,
    ],
    ids=lambda text: repr(bytes(text[:16])),
)
def test_what_is_no_json_at_all_is_refused(text: bytes) -> None:
    with pytest.raises(Unreadable):
        read(text)


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"1",
        b'{"brokerDatas":1}',
        b'{"brokerDatas":[1]}',
        b'{"brokerDatas":[{"brokerName":"a"}]}',
        b'{"brokerDatas":[{"brokerAddrs":{"0":"a:1"}}]}',
        b'{"queueDatas":[{}]}',
        route_of(("a", {"0": "a"}, 6)),
        route_of(("a", {"0": ":1"}, 6)),
        route_of(("a", {"0": "a:0"}, 6)),
        route_of(("a", {"0": "a:65536"}, 6)),
        route_of(("a", {"0": "a:" + "9" * 5000}, 6)),
        route_of(("a", {"0": "a:1"}, -1)),
        ROUTE.replace(b'"writeQueueNums":2', b'"writeQueueNums":2000000000'),
        ROUTE.replace(b'"writeQueueNums":2', b'"writeQueueNums":"2"'),
    ],
    ids=count(),
)
def test_what_is_no_route_is_refused(body: bytes) -> None:
    with pytest.raises(Unreadable):
        route_in("t", body)


@pytest.mark.parametrize("recorded", [ROUTE, OLDER, CLUSTER, STATS])
def test_what_was_damaged_is_read_or_refused(recorded: bytes) -> None:
    draw = Random(7)  # noqa: S311 -- the same damage each time
    marks = b'{}[]:,"\\0 9ea'
    for _ in range(3000):
        damaged = bytearray(recorded)
        for _ in range(draw.randint(1, 4)):
            damaged[draw.randrange(len(damaged))] = draw.choice(marks)
        with suppress(Unreadable):
            masters_in(bytes(damaged))
        with suppress(Unreadable):
            route_in("t", bytes(damaged))
