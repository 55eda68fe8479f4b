"""Frames as they are written and read: each way, and whatever comes."""

import json
from itertools import count
from random import Random
from struct import pack

import pytest

from msgkit_rocketmq.client.codes import Request, Response
from msgkit_rocketmq.client.errors import Refused, Unreadable
from msgkit_rocketmq.client.frames import Frame, checked, decode, encode, written
from tests.rocketmq.recorded import UNKNOWN, WELCOME

#: Recorded: RocketMQ 5.3.3 answers a heartbeat, and that it does not know what it was asked.
ASKED = Frame(Request.POP_MESSAGE, {"topic": "a", "exp": 'n\x01"ü\n\U0001f600'}, b"\x00body\xff", opaque=7)


def binary(frame: Frame) -> bytes:
    """Return the frame as RocketMQ writes it where its own form of headers is asked for."""
    remark = frame.remark.encode()
    fields = b"".join(
        pack(">h", len(name.encode())) + name.encode() + pack(">i", len(value.encode())) + value.encode()
        for name, value in frame.fields.items()
    )
    flag = 1 * frame.is_response | 2 * frame.is_oneway
    head = pack(">hBhii", frame.code, 0, frame.version, frame.opaque, flag)
    header = head + pack(">i", len(remark)) + remark + pack(">i", len(fields)) + fields
    return pack(">I", 1 << 24 | len(header)) + header + frame.body


# -- each way


@pytest.mark.parametrize(
    "frame",
    [
        ASKED,
        Frame(0),
        Frame(Request.END_TRANSACTION, is_oneway=True, opaque=2**31 - 1),
        Frame(Response.SYSTEM_BUSY, is_response=True, remark="too\nmuch", language="JAVA", version=413),
    ],
)
def test_what_is_written_is_read_again(frame: Frame) -> None:
    assert decode(encode(frame)[4:]) == frame


def test_a_frame_begins_with_its_size() -> None:
    data = encode(ASKED)
    assert int.from_bytes(data[:4]) == len(data) - 4


def test_a_header_holds_what_rocketmq_looks_for() -> None:
    data = encode(Frame(34, {"a": "b"}, b"body", opaque=5, is_oneway=True))
    size = int.from_bytes(data[4:8])
    assert json.loads(data[8 : 8 + size]) == {
        "code": 34,
        "language": "PYTHON",
        "version": 479,
        "opaque": 5,
        "flag": 2,
        "extFields": {"a": "b"},
    }
    assert data[8 + size :] == b"body"


def test_fields_are_written_as_java_writes_them() -> None:
    assert written({"a": 7, "b": True, "c": False, "d": "D", "e": -1}) == {
        "a": "7",
        "b": "true",
        "c": "false",
        "d": "D",
        "e": "-1",
    }


def test_what_was_recorded_is_read() -> None:
    welcome = decode(WELCOME)
    assert welcome.is_response
    assert not welcome.is_oneway
    assert (welcome.code, welcome.opaque, welcome.language, welcome.version) == (0, 7, "JAVA", 479)
    assert welcome.fields == {"IS_SUPPORT_HEART_BEAT_V2": "true", "IS_SUB_CHANGE": "true"}
    assert decode(UNKNOWN + b"\x00\x01").remark == " request type 106 not supported"
    assert decode(UNKNOWN + b"\x00\x01").body == b"\x00\x01"


def test_fields_that_are_no_text_are_read_as_java_writes_them_and_null_is_left_out() -> None:
    header = b'{"code":0,"flag":1,"opaque":1,"extFields":{"a":7,"b":true,"c":null,"d":"x"}}'
    assert decode(pack(">I", len(header)) + header).fields == {"a": "7", "b": "true", "d": "x"}


@pytest.mark.parametrize(
    "frame",
    [
        Frame(39, {"topic": "ü", "": "", "long": "x" * 40_000}, b"body", opaque=9, is_oneway=True, language="JAVA"),
        Frame(1, is_response=True, remark="no", language="JAVA", version=413),
    ],
)
def test_brokers_that_are_set_to_binary_headers_are_understood(frame: Frame) -> None:
    assert decode(binary(frame)) == frame


# -- what answers say


def test_an_answer_that_is_no_failure_is_itself() -> None:
    assert checked(decode(WELCOME)).code == 0
    polled = Frame(Response.POLLING_TIMEOUT, is_response=True)
    assert checked(polled, (Response.POLLING_TIMEOUT,)) is polled


def test_an_answer_that_says_no_tells_why() -> None:
    with pytest.raises(Refused, match="request code not supported:  request type 106 not supported") as refused:
        checked(decode(UNKNOWN))
    assert refused.value.code is Response.REQUEST_CODE_NOT_SUPPORTED
    assert not refused.value.passes


def test_an_answer_that_nobody_knows_keeps_its_number() -> None:
    with pytest.raises(Refused, match="answer 4711: what") as refused:
        checked(Frame(4711, is_response=True, remark="what"))
    assert refused.value.code == 4711


@pytest.mark.parametrize("code", [Response.SYSTEM_BUSY, Response.SERVICE_NOT_AVAILABLE, Response.GO_AWAY])
def test_what_a_broker_refuses_because_it_is_busy_or_stopping_passes(code: Response) -> None:
    assert Refused(code).passes


# -- whatever comes


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00\x00\x00",
        pack(">I", 1) + b"",
        pack(">I", 2) + b"[]",
        pack(">I", 4) + b"null",
        pack(">I", 3) + b"{\xff}",
        pack(">I", 10_000) + b"[" * 10_000,
        pack(">I", 13) + b'{"code":"one"',
        pack(">I", 14) + b'{"code":"one"}',
        pack(">I", 14) + b'{"code":1.5e9}',
        pack(">I", 15) + b'{"extFields":1}',
        pack(">I", 16) + b'{"extFields":[]}',
        pack(">I", 5 << 24 | 2) + b"{}",
        pack(">I", 1 << 24 | 2) + b"{}",
        binary(ASKED._replace(code=1))[:-20],
        # A text goes on beyond the header, and begins before it.
        binary(Frame(1, remark="remark")).replace(pack(">i", 6), pack(">i", 60)),
        binary(Frame(1, remark="remark")).replace(pack(">i", 6), pack(">i", -6)),
        binary(Frame(1, {"name": "value"})).replace(pack(">i", 5), pack(">i", 500)),
    ],
    ids=count(),
)
def test_what_is_no_frame_is_refused(data: bytes) -> None:
    with pytest.raises(Unreadable):
        decode(data)


@pytest.mark.parametrize("recorded", [WELCOME, UNKNOWN, encode(ASKED)[4:], binary(ASKED._replace(code=1))])
def test_a_frame_that_was_damaged_is_a_frame_or_is_refused(recorded: bytes) -> None:
    draw = Random(5)  # noqa: S311 -- the same damage each time
    for _ in range(3000):
        damaged = bytearray(recorded)
        for _ in range(draw.randint(1, 4)):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        try:
            found = decode(bytes(damaged[: draw.randint(0, 2 * len(damaged))]))
        except Unreadable:
            continue
        assert decode(encode(found)[4:]) == found
