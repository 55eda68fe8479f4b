import struct
from datetime import UTC, datetime
from random import Random

import pytest
from pamqp.commands import Basic

from msgkit_rabbitmq.wire import SHORT, MalformedTable, Properties, decode_properties, encode_properties

ALL = Properties(
    content_type="application/json",
    content_encoding="utf-8",
    headers={"a": 1, "b": "zwölf", "c": {"d": [True]}},
    delivery_mode=2,
    priority=9,
    correlation_id="c-1",
    reply_to="amq.rabbitmq.reply-to",
    expiration="60000",
    message_id="m-1",
    timestamp=1_715_947_200,
    type="OrderPlaced",
    user_id="app",
    app_id="till",
)
THEIRS = Basic.Properties(
    content_type="application/json",
    content_encoding="utf-8",
    headers={"a": 1, "b": "zwölf", "c": {"d": [True]}},
    delivery_mode=2,
    priority=9,
    correlation_id="c-1",
    reply_to="amq.rabbitmq.reply-to",
    expiration="60000",
    message_id="m-1",
    timestamp=datetime.fromtimestamp(1_715_947_200, UTC),
    message_type="OrderPlaced",
    user_id="app",
    app_id="till",
)


def test_all_properties_come_back() -> None:
    assert decode_properties(encode_properties(ALL)) == ALL
    assert decode_properties(encode_properties(Properties())) == Properties()


@pytest.mark.parametrize("name", Properties._fields)
def test_each_property_stands_alone_and_may_be_the_only_one_that_is_missing(name: str) -> None:
    alone = Properties(**{name: getattr(ALL, name)})
    assert decode_properties(encode_properties(alone)) == alone
    others = ALL._replace(**{name: None})
    assert decode_properties(encode_properties(others)) == others


def test_another_client_reads_what_is_written_here_and_is_read_here() -> None:
    read = Basic.Properties()
    encoded = encode_properties(ALL)
    read.unmarshal(struct.unpack(">H", encoded[:2])[0], encoded[2:])
    assert dict(read) == dict(THEIRS)
    assert decode_properties(THEIRS.marshal()) == ALL


@pytest.mark.parametrize(
    "nothing", [Properties(content_type=""), Properties(priority=0), Properties(timestamp=0), Properties(headers={})]
)
def test_what_is_empty_or_zero_is_there_all_the_same(nothing: Properties) -> None:
    assert decode_properties(encode_properties(nothing)) == nothing


def test_a_text_has_at_most_255_bytes() -> None:
    assert decode_properties(encode_properties(Properties(type="t" * SHORT))).type == "t" * SHORT
    for text in ("t" * 256, "ü" * 128):
        with pytest.raises(MalformedTable, match="more than 255 bytes"):
            encode_properties(Properties(message_id=text))


@pytest.mark.parametrize(
    "properties",
    [
        Properties(priority=256),
        Properties(priority=-1),
        Properties(delivery_mode=300),
        Properties(timestamp=-1),
        Properties(timestamp=2**64),
        Properties(type="\ud800"),
        Properties(headers={"x": 2**63}),
        Properties(headers={"x" * 256: 1}),
    ],
)
def test_what_does_not_fit_is_refused(properties: Properties) -> None:
    with pytest.raises(MalformedTable):
        encode_properties(properties)


def test_properties_that_no_frame_holds_are_refused() -> None:
    most = 128 * 1024 - 8 - 12
    room = most - len(encode_properties(Properties(headers={"x": ""})))
    assert len(encode_properties(Properties(headers={"x": "y" * room}))) == most
    with pytest.raises(MalformedTable, match="131,053 bytes"):
        encode_properties(Properties(headers={"x": "y" * (room + 1)}))


def test_text_that_is_none_is_read_with_marks_in_it() -> None:
    assert decode_properties(b"\x00\x80\x03a\xffb").message_id == "a\ufffdb"


def test_a_property_that_amqp_has_given_up_is_passed_over() -> None:
    assert decode_properties(b"\x00\x84\x01m\x01c").message_id == "m"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80",
        b"\x80\x00",
        b"\x80\x00\x05abcd",
        b"\x10\x00",
        b"\x00\x40\x00\x00\x00",
        b"\x20\x00\x00\x00\x00\x09",
        b"\x80\x01\x00\x00\x01a",
    ],
)
def test_bytes_that_are_no_properties_are_refused(data: bytes) -> None:
    with pytest.raises(MalformedTable):
        decode_properties(data)


def test_whatever_becomes_of_the_bytes_they_are_properties_or_malformed() -> None:
    random = Random(11)  # noqa: S311 -- the same each time
    good = encode_properties(ALL)
    refused = 0
    for _ in range(4_000):
        bad = bytearray(good[: random.randint(0, len(good))] if random.random() < 0.3 else good)
        for _ in range(random.randint(1, 3)):
            if bad:
                bad[random.randrange(len(bad))] = random.randrange(256)
        try:
            assert isinstance(decode_properties(bytes(bad)), Properties)
        except MalformedTable:
            refused += 1
    assert 1_000 < refused < 4_000
