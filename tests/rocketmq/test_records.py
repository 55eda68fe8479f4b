import sys
from random import Random
from struct import pack_into

import cramjam
import pytest

from msgkit_rocketmq.client import compression, properties
from msgkit_rocketmq.client.compression import LARGEST, unpacked
from msgkit_rocketmq.client.errors import Unreadable
from msgkit_rocketmq.client.records import Record, decode, encode_batch
from tests.rocketmq.recorded import BATCH, LZ4, OVER_IPV4, OVER_IPV6, ZLIB, ZSTD

READ = Record(
    topic="orders",
    queue=3,
    offset=42,
    position=4711,
    flags=0,
    born=1_700_000_000_001,
    stored=1_700_000_000_002,
    returned=2,
    prepared_at=5,
    body=b"hallo",
    properties={"UNIQ_KEY": "7F00000100010000000000000000000A", "TAGS": "placed", "grüße": "→ \x01 a"},
    stored_as="0A00000100002A9F0000000000001267",
)
PACKED = [pytest.param(ZLIB, id="zlib"), pytest.param(LZ4, id="lz4"), pytest.param(ZSTD, id="zstd")]
MAGIC_AT, FLAGS_AT, BODY_AT = 4, 36, 84
TOPIC_AT = BODY_AT + 4 + len(b"hallo")


def changed(data: bytes, place: int, value: int) -> bytes:
    made = bytearray(data)
    pack_into(">I", made, place, value)
    return bytes(made)


# -- what Java writes


def test_what_java_wrote_is_read() -> None:
    assert decode(OVER_IPV4) == [READ]


def test_addresses_of_ipv6_are_read() -> None:
    (record,) = decode(OVER_IPV6)
    assert record == READ._replace(flags=0x30, stored_as=record.stored_as)
    assert record.stored_as == "20010DB800000000000000000000000100002A9F0000000000001267"


def test_topics_with_long_names_are_read() -> None:
    longer = OVER_IPV4[:TOPIC_AT] + b"\0\xc8" + b"t" * 200 + OVER_IPV4[TOPIC_AT + 7 :]
    (record,) = decode(changed(changed(longer, 0, len(longer)), MAGIC_AT, 0xDAA320AB))
    assert record == READ._replace(topic="t" * 200)


def test_messages_stand_one_behind_the_other() -> None:
    assert decode(b"") == []
    assert [each.body for each in decode(OVER_IPV4 + ZLIB + OVER_IPV6)] == [b"hallo", b"hallo " * 40, b"hallo"]


@pytest.mark.parametrize("data", PACKED)
def test_what_java_packed_is_unpacked(data: bytes) -> None:
    (record,) = decode(data)
    assert record.body == b"hallo " * 40
    assert record.trouble is None


def test_a_message_is_called_as_its_sender_called_it_or_else_as_the_broker_does() -> None:
    assert READ.id == "7F00000100010000000000000000000A"
    assert READ._replace(properties={}).id == "0A00000100002A9F0000000000001267"


def test_a_batch_is_written_as_java_writes_it() -> None:
    assert encode_batch([(b"one", {"WAIT": "true", "n": "1"}), (b"zwei", {"WAIT": "true", "n": "2"})]) == BATCH


def test_what_was_put_into_a_queue_of_batches_as_one_is_several() -> None:
    size = len(OVER_IPV4) - len(b"hallo") + len(BATCH)
    begin = changed(changed(OVER_IPV4, 0, size), FLAGS_AT, 0xC0)
    whole = changed(begin, BODY_AT, len(BATCH))[: BODY_AT + 4] + BATCH + OVER_IPV4[TOPIC_AT:]
    assert [(each.offset, each.body, each.properties) for each in decode(whole)] == [
        (42, b"one", {"WAIT": "true", "n": "1"}),
        (43, b"zwei", {"WAIT": "true", "n": "2"}),
    ]


# -- what cannot be read


@pytest.mark.parametrize("way", [4, 5, 6, 7])
def test_a_body_packed_in_no_known_way_spoils_only_its_message(way: int) -> None:
    strange, plain = decode(changed(OVER_IPV4, FLAGS_AT, 1 | way << 8) + OVER_IPV4)
    assert strange.trouble == f"a body is packed in way {way}, which is none that is known"
    assert strange.body == b"hallo"
    assert plain == READ


@pytest.mark.parametrize("data", PACKED[1:])
def test_a_body_that_takes_a_library_says_which(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cramjam", None)
    (record,) = decode(data)
    assert record.trouble is not None
    assert record.trouble.endswith("takes cramjam to unpack: pip install cramjam")


@pytest.mark.parametrize("way", [0, 1, 2, 3])
def test_a_body_that_is_cut_off_is_told(way: int) -> None:
    packed = {0: ZLIB, 1: LZ4, 2: ZSTD, 3: ZLIB}[way]
    (size,) = packed[BODY_AT + 3 : BODY_AT + 4]
    body = packed[BODY_AT + 4 : BODY_AT + 4 + size]
    assert unpacked(way, body) == b"hallo " * 40
    for end in range(size - 5):
        with pytest.raises(Unreadable, match="cannot be unpacked"):
            unpacked(way, body[:end])


@pytest.mark.parametrize("way", [1, 2, 3])
def test_a_body_that_would_fill_the_memory_is_told(way: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert LARGEST == 64 * 1024 * 1024
    monkeypatch.setattr(compression, "LARGEST", 100_000)
    pack = {1: cramjam.lz4.compress, 2: cramjam.zstd.compress, 3: cramjam.zlib.compress}[way]
    assert unpacked(way, bytes(pack(bytes(100_000)))) == bytes(100_000)
    with pytest.raises(Unreadable, match="cannot be unpacked"):
        unpacked(way, bytes(pack(bytes(100_001))))


def test_properties_that_are_no_text_stop_nobody() -> None:
    (record,) = decode(OVER_IPV4.replace("grüße".encode(), b"gr\xff\xff\xff\xfee"))
    assert record.properties["TAGS"] == "placed"
    assert "gr\ufffd\ufffd\ufffd\ufffde" in record.properties


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (changed(OVER_IPV4, MAGIC_AT, 0xDAA320A8), "is of kind 0xdaa320a8"),
        (changed(OVER_IPV4, 0, len(OVER_IPV4) - 1), "not as long as it says"),
        (changed(OVER_IPV4, BODY_AT, 2**31), "announced"),
        (changed(OVER_IPV4, BODY_AT, 1000), "announced"),
        (OVER_IPV4[:20], "in the middle"),
        (OVER_IPV4 + b"\0", "in the middle"),
    ],
)
def test_what_is_no_message_is_told(data: bytes, why: str) -> None:
    with pytest.raises(Unreadable, match=why):
        decode(data)


@pytest.mark.parametrize("data", [pytest.param(OVER_IPV4, id="plain"), pytest.param(OVER_IPV6, id="ipv6"), *PACKED])
def test_whatever_comes_is_read_or_told(data: bytes) -> None:
    random = Random(2)  # noqa: S311 -- the same each time
    told = 0
    for _ in range(3_000):
        made = bytearray(data + data)
        for _ in range(random.randrange(1, 4)):
            start = random.randrange(len(made))
            made[start : start + random.randrange(5)] = random.choice(
                (b"", random.randbytes(4), b"\xff\xff", b"\0\0\0\0")
            )
        try:
            for record in decode(bytes(made)):
                assert properties.size_of(record.properties) < len(made)
        except Unreadable:
            told += 1
    assert told > 1_000


@pytest.mark.parametrize("way", [0, 1, 2])
def test_whatever_is_to_be_unpacked_is_unpacked_or_told(way: int) -> None:
    random = Random(3)  # noqa: S311 -- the same each time
    whole = {0: ZLIB, 1: LZ4, 2: ZSTD}[way]
    body = whole[BODY_AT + 4 : BODY_AT + 4 + whole[BODY_AT + 3]]
    for _ in range(500):
        made = bytearray(body)
        for _ in range(random.randrange(1, 4)):
            made[random.randrange(len(made))] = random.randrange(256)
        try:
            assert len(unpacked(way, bytes(made))) <= LARGEST
        except Unreadable:
            continue
