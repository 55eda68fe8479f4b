from random import Random

import pytest

from msgkit_rocketmq.client.codes import Response
from msgkit_rocketmq.client.errors import Unreadable
from msgkit_rocketmq.client.frames import Frame
from msgkit_rocketmq.client.handles import Handle, retry_topic
from msgkit_rocketmq.client.taking import decode
from tests.rocketmq.recorded import OVER_IPV4, OVER_IPV6

#: As RocketMQ 5.3.3 answered, but for the times.
FIELDS = {
    "popTime": "1700000000003",
    "invisibleTime": "60000",
    "reviveQid": "5",
    "restNum": "0",
    "startOffsetInfo": "0 3 40;1 0 7",
    "msgOffsetInfo": "0 3 41,42;1 0 7",
}
FIRST = Handle(40, 1_700_000_000_003, 60_000, 5, "0", "broker-a", 3, 42)
QUEUE_AT, OFFSET_AT = 12, 20


def at(data: bytes, queue: int, offset: int) -> bytes:
    made = bytearray(data)
    made[QUEUE_AT : QUEUE_AT + 4] = queue.to_bytes(4)
    made[OFFSET_AT : OFFSET_AT + 8] = offset.to_bytes(8)
    return bytes(made)


def answered(body: bytes, **fields: str) -> Frame:
    return Frame(Response.SUCCESS, FIELDS | fields, body, is_response=True)


def test_each_message_comes_with_what_it_is_settled_by() -> None:
    body = at(OVER_IPV4, 3, 41) + at(OVER_IPV4, 3, 42) + at(OVER_IPV6, 0, 7)
    taken = decode(answered(body), "broker-a", "orders")
    assert [each.handle for each in taken] == [
        FIRST._replace(offset=41),
        FIRST,
        FIRST._replace(start=7, mark="1", queue=0, offset=7),
    ]
    assert {each.attempt for each in taken} == {3}
    assert str(FIRST) == "40 1700000000003 60000 5 0 broker-a 3 42"


def test_a_message_that_the_broker_left_out_puts_no_other_in_its_place() -> None:
    body = at(OVER_IPV4, 3, 42) + at(OVER_IPV6, 0, 7)
    assert [each.handle.offset for each in decode(answered(body), "broker-a", "orders")] == [42, 7]


def test_what_a_sender_claims_is_not_believed() -> None:
    claimed = b"POP_CK\x010 1 1 1 1 b 0 0\x02"
    body = OVER_IPV4[:-70] + claimed + OVER_IPV4[-70 + len(claimed) :]
    (taken,) = decode(answered(body), "broker-a", "orders")
    assert taken.record.properties["POP_CK"] == "0 1 1 1 1 b 0 0"
    assert taken.handle == FIRST


def test_what_came_back_is_of_the_topic_that_it_was_sent_to() -> None:
    answer = answered(at(OVER_IPV4, 0, 7).replace(b"orders", b"%RETRY"))
    (taken,) = decode(answer, "broker-a", "orders")
    assert taken.record.topic == "orders"
    assert taken.handle.topic_of("orders", "billing") == "%RETRY%billing_orders" == retry_topic("orders", "billing")


def test_newer_brokers_name_the_topic_of_what_came_back_otherwise() -> None:
    answer = answered(at(OVER_IPV4, 0, 7), startOffsetInfo="2 0 7", msgOffsetInfo="2 0 7")
    (taken,) = decode(answer, "broker-a", "orders")
    assert taken.handle.topic_of("orders", "billing") == "%RETRY%billing+orders"
    assert taken.handle.topic_of("orders", "billing") == retry_topic("orders", "billing", newer=True)


@pytest.mark.parametrize(
    ("counts", "attempt"),
    [
        ("", 1),
        ("0 qo3%42 0", 1),
        ("0 qo3%42 4", 5),
        ("0 3 2", 3),
        ("0 3 0;0 qo3%42 6", 7),
        ("0 qo3%41 6;1 qo3%42 6", 1),
    ],
)
def test_in_order_the_broker_tells_attempts_beside_the_messages(counts: str, attempt: int) -> None:
    never_returned = OVER_IPV4.replace(bytes.fromhex("00002a9f 00000002"), bytes.fromhex("00002a9f 00000000"))
    (taken,) = decode(answered(never_returned, reviveQid="999", orderCountInfo=counts), "broker-a", "orders")
    assert taken.handle.in_order
    assert taken.attempt == attempt


def test_nothing_is_read_where_nothing_was_taken() -> None:
    assert list(decode(answered(b"", startOffsetInfo="", msgOffsetInfo=""), "broker-a", "orders")) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"popTime": "now"},
        {"startOffsetInfo": "0 3"},
        {"startOffsetInfo": "0 3 x"},
        {"startOffsetInfo": "0 2 40"},
        {"msgOffsetInfo": "0 3 41"},
        {"msgOffsetInfo": "0 x 42"},
        {"msgOffsetInfo": "0 3 41,x"},
        {"msgOffsetInfo": ""},
        {"msgOffsetInfo": "0 3 42,42,42 7"},
        {"orderCountInfo": "0 3 x"},
        {"startOffsetInfo": "3 3 40", "msgOffsetInfo": "3 3 42"},
        {"startOffsetInfo": "0 3 43"},
    ],
)
def test_what_nobody_could_settle_is_told(fields: dict[str, str]) -> None:
    with pytest.raises(Unreadable, match="settled by"):
        decode(answered(OVER_IPV4, **fields), "broker-a", "orders")


def test_an_answer_without_a_time_is_told() -> None:
    with pytest.raises(Unreadable, match="settled by"):
        decode(Frame(Response.SUCCESS, {}, OVER_IPV4), "broker-a", "orders")


def test_whatever_is_told_of_messages_is_read_or_told() -> None:
    random = Random(4)  # noqa: S311 -- the same each time
    told = 0
    for _ in range(3_000):
        fields = dict(FIELDS)
        for _ in range(random.randrange(1, 4)):
            name = random.choice(list(fields))
            value = fields[name]
            place = random.randrange(len(value) + 1)
            fields[name] = value[:place] + random.choice("019 ,;-x%") + value[place + random.randrange(3) :]
        try:
            (taken,) = decode(Frame(Response.SUCCESS, fields, OVER_IPV4), "broker-a", "orders")
        except Unreadable:
            told += 1
        else:
            assert taken.handle.start <= taken.handle.offset == 42
            assert taken.handle.topic_of("orders", "billing").endswith("orders")
    assert told > 1_000
