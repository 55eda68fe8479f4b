from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from itertools import accumulate
from random import Random
from struct import pack_into
from typing import Any, get_args

import pytest

from msgkit_kafka.wire.errors import Garbled
from msgkit_kafka.wire.lenient import read_leniently
from msgkit_kafka.wire.logs import Aborted
from msgkit_kafka.wire.records import (
    HEAD,
    Compression,
    Decoded,
    NewRecord,
    Record,
    decode,
    encode,
    is_available,
    size_of,
)
from tests.kafka.batches import ABORT, APPENDED, COMMIT, control, marked, placed, record

THEIR_CODEC: Any = import_module("aiokafka.codec")
THEIR_RECORDS: Any = import_module("aiokafka.record.default_records")
THEIR_LEGACY: Any = import_module("aiokafka.record.legacy_records")
MIB = 1024 * 1024
COMPRESSIONS: tuple[Compression, ...] = get_args(Compression)
each_compression = pytest.mark.parametrize(
    "compression",
    [
        pytest.param(each, marks=pytest.mark.skipif(not is_available(each), reason=f"there is no library for {each}"))
        for each in COMPRESSIONS
    ],
)
ODD: Sequence[NewRecord] = [
    (b"key", b"value", [("a", b"1"), ("b", b"2")], 1_700_000_000_000),
    (None, b"value", [], 1_700_000_000_001),
    (b"key", None, (), 1_699_999_999_999),
    (None, None, [("none", None), ("empty", b"")], 1_700_000_000_000),
    (b"", b"", [("", b""), ("", b"twice")], 0),
    ("schlüssel".encode(), bytes(range(256)), [("grüße", "→".encode())], 2**45),
    (b"k" * 300, b"v" * 100_000, [(f"header-{i}", b"x" * i) for i in range(200)], 1_700_000_000_000),
]


def batch(
    *numbers: int,
    at: int | None = None,
    producer: int = -1,
    compression: Compression = "none",
    transactional: bool = False,
) -> bytes:
    """Return a batch of plain records, which stands at the first one's number."""
    made = encode(
        [record(number) for number in numbers],
        producer=producer,
        epoch=0 if producer >= 0 else -1,
        sequence=0 if producer >= 0 else -1,
        compression=compression,
        transactional=transactional,
    )
    return placed(made, numbers[0] if at is None else at)


def read(data: bytes, position: int = 0) -> Decoded:
    return decode(data, position=position, committed_only=True)


def offsets(decoded: Decoded) -> list[int]:
    return [each.offset for each in decoded.records]


def parts(each: Record) -> NewRecord:
    return each.key, each.value, each.headers, each.timestamp


# -- there and back


@each_compression
def test_records_come_back_as_they_were(compression: Compression) -> None:
    data = encode(ODD, producer=7, epoch=3, sequence=11, compression=compression)
    decoded = read(data)
    assert [parts(each) for each in decoded.records] == [
        (key, value, list(headers), time) for key, value, headers, time in ODD
    ]
    assert offsets(decoded) == list(range(len(ODD)))
    assert decoded.next_offset == len(ODD)
    assert {each.timestamp_type for each in decoded.records} == {0}


@each_compression
def test_a_mebibyte_comes_back_as_it_was(compression: Compression) -> None:
    value = Random(1).randbytes(MIB // 2) + bytes(MIB // 2)  # noqa: S311 -- the same each time
    data = encode([(b"key", value, (), 0)], producer=-1, epoch=-1, sequence=-1, compression=compression)
    (only,) = read(data).records
    assert only.value == value
    assert (len(data) < MIB) == (compression != "none")


@each_compression
def test_what_does_not_get_smaller_is_not_packed(compression: Compression) -> None:
    value = Random(2).randbytes(1_000)  # noqa: S311 -- the same each time
    plain = encode([(None, value, (), 0)], producer=-1, epoch=-1, sequence=-1)
    assert encode([(None, value, (), 0)], producer=-1, epoch=-1, sequence=-1, compression=compression) == plain


@each_compression
def test_another_client_reads_what_is_written_here(compression: Compression) -> None:
    data = encode(ODD, producer=2**40, epoch=3, sequence=11, compression=compression, transactional=True)
    theirs = THEIR_RECORDS.DefaultRecordBatch(data)
    assert theirs.validate_crc()
    assert theirs.compression_type == COMPRESSIONS.index(compression)
    assert (theirs.producer_id, theirs.producer_epoch, theirs.base_sequence) == (2**40, 3, 11)
    assert theirs.is_transactional
    assert not theirs.is_control_batch
    assert theirs.next_offset == len(ODD)
    assert [each.value for each in theirs] == [value for _, value, _, _ in ODD]


@each_compression
def test_what_another_client_writes_is_read_here(compression: Compression) -> None:
    builder = THEIR_RECORDS.DefaultRecordBatchBuilder(2, COMPRESSIONS.index(compression), 0, -1, -1, -1, 10**9)
    for place, (key, value, headers, time) in enumerate(ODD):
        builder.append(place, time, key, value, list(headers))
    decoded = decode(memoryview(builder.build()), position=0, committed_only=False)
    assert [each.value for each in decoded.records] == [value for _, value, _, _ in ODD]


def test_a_batch_takes_no_more_bytes_than_were_told_before() -> None:
    random = Random(3)  # noqa: S311 -- the same each time
    for _ in range(200):
        records: list[NewRecord] = [
            (
                None if random.random() < 0.2 else random.randbytes(random.randrange(200)),
                None if random.random() < 0.2 else random.randbytes(random.randrange(20_000)),
                [("ü" * random.randrange(99), random.choice((None, b"x"))) for _ in range(random.randrange(9))],
                random.randrange(2**45),
            )
            for _ in range(random.randrange(1, 9))
        ]
        told = HEAD + sum(map(size_of, records))
        size = len(encode(records, producer=1, epoch=1, sequence=1))
        assert told - 20 * len(records) <= size <= told


def test_the_time_is_the_brokers_where_the_broker_keeps_it() -> None:
    times = {(each.timestamp, each.timestamp_type) for each in read(marked(batch(0, 1, 2), APPENDED)).records}
    # The highest of a batch, which the broker sets to its own.
    assert times == {(record(2)[3], 1)}


# -- what is asked for


def test_only_what_is_at_the_position_or_behind_it_is_returned() -> None:
    data = batch(10, 11, 12) + batch(13, 14)
    for position in range(10, 15):
        decoded = read(data, position)
        assert offsets(decoded) == list(range(position, 15))
        assert decoded.next_offset == 15
    assert read(data, 11).records[0].value == b"value-11"


def test_what_is_behind_a_gap_is_returned() -> None:
    decoded = read(batch(10) + batch(500), 3)
    assert offsets(decoded) == [10, 500]
    assert decoded.next_offset == 501


def test_where_there_is_nothing_nothing_is_returned() -> None:
    assert read(b"", 8) == Decoded([], 8)


def test_what_is_cut_off_at_the_end_is_fetched_again() -> None:
    whole, cut = batch(0, 1, 2), batch(3, 4)
    for end in range(len(cut)):
        decoded = read(whole + cut[:end])
        assert offsets(decoded) == [0, 1, 2]
        assert decoded.next_offset == 3


def test_records_that_never_become_a_whole_batch_are_no_reason_to_ask_for_ever() -> None:
    data = batch(3, 4)
    for cut in (data[:5], data[:60], data[:-1]):
        with pytest.raises(Garbled, match="whole batch at 3"):
            read(cut, 3)
    with pytest.raises(Garbled, match="whole batch at 5"):
        read(data, 5)


# -- transactions


def story(*transactions: str) -> tuple[bytes, list[Aborted]]:
    """Return a log of batches of two, as `a1 b1 a- b+`: of which producer, and how its transactions end."""
    data, aborted, begun = b"", list[Aborted](), dict[str, int]()
    at = 0
    for each in transactions:
        producer = ord(each[0])
        match each[1:]:
            case "+":
                data += control(at, producer=producer, kind=COMMIT)
                begun.pop(each[0], None)
            case "-":
                data += control(at, producer=producer, kind=ABORT)
                if each[0] in begun:
                    aborted.append(Aborted(producer, begun.pop(each[0])))
            case "plain":
                data += batch(at, at + 1, producer=producer)
                at += 1
            case _:
                data += batch(at, at + 1, producer=producer, transactional=True)
                begun.setdefault(each[0], at)
                at += 1
        at += 1
    return data, aborted


@pytest.mark.parametrize(
    ("log", "committed"),
    [
        ("a1 a+", [0, 1]),
        ("a1 a-", []),
        ("a1 b1 a- b+", [2, 3]),
        ("a1 b1 b- a+", [0, 1]),
        ("a1 a- a2 a+", [3, 4]),
        ("a1 a+ a2 a-", [0, 1]),
        ("a1 a- a2 a- a3 a+", [6, 7]),
        ("a1 b1 a2 b2 b- a-", []),
        ("a1 bplain a- cplain", [2, 3, 5, 6]),
        # A producer may go on without a transaction.
        ("a1 a- aplain", [3, 4]),
        ("a1 aplain a-", [2, 3]),
        # A mark may end a transaction that wrote nothing here.
        ("a- a1 a+ b- b1 b+", [1, 2, 5, 6]),
    ],
)
def test_what_was_aborted_is_left_out(log: str, committed: list[int]) -> None:
    data, aborted = story(*log.split())
    # In whatever order the broker tells them.
    decoded = decode(data, position=0, aborted=aborted[::-1], committed_only=True)
    assert offsets(decoded) == committed
    assert decoded.next_offset == len(read_all(data)) + log.count("+") + log.count("-")


def test_only_the_mark_that_says_so_ends_what_was_aborted() -> None:
    data, _ = story("a1", "a+", "a2", "a-", "a3")
    decoded = decode(data, position=0, aborted=[(ord("a"), 0)], committed_only=True)
    assert offsets(decoded) == [6, 7]


def read_all(data: bytes) -> list[int]:
    return offsets(decode(data, position=0, committed_only=False))


def test_all_but_the_marks_is_returned_to_who_wants_what_was_not_committed() -> None:
    data, aborted = story("a1", "b1", "a-", "bplain", "b+")
    decoded = decode(data, position=0, aborted=aborted, committed_only=False)
    assert offsets(decoded) == [0, 1, 2, 3, 5, 6]
    assert decoded.next_offset == 8


@pytest.mark.parametrize("log", ["a1 a-", "a+", "a- b- a+", "a1 a2 a3 b1 b- a-"])
def test_where_nothing_remains_the_next_fetch_is_behind_it_all_the_same(log: str) -> None:
    data, aborted = story(*log.split())
    decoded = decode(data, position=0, aborted=aborted, committed_only=True)
    assert decoded.records == []
    ends = accumulate((1 if each[1] in "+-" else 2) for each in log.split())
    assert decoded.next_offset == max(ends)


def test_a_transaction_that_began_before_the_position_is_left_out() -> None:
    data, aborted = story("a1", "a2", "b1", "a-", "b+")
    behind_first = data[len(batch(0, 1, producer=1)) :]
    decoded = decode(behind_first, position=3, aborted=aborted, committed_only=True)
    assert offsets(decoded) == [4, 5]


# -- what is no record


def test_a_wrong_checksum_is_told() -> None:
    data = batch(0, 1, 2)
    for place in range(21, len(data)):
        wrong = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        with pytest.raises(Garbled, match="checksum"):
            read(wrong)


@pytest.mark.parametrize("magic", [0, 1])
def test_records_of_old_brokers_are_told(magic: int) -> None:
    builder = THEIR_LEGACY.LegacyRecordBatchBuilder(magic, 0, 10**6)
    builder.append(0, 1_700_000_000_000, b"key", b"value")
    with pytest.raises(Garbled, match=r"before Kafka 0\.11"):
        read(bytes(builder.build()))


def test_records_of_another_kind_are_told() -> None:
    data = bytearray(batch(0))
    data[16] = 3
    with pytest.raises(Garbled, match="magic 3: only"):
        read(bytes(data))


@pytest.mark.parametrize("length", [-1, 0, 48, -(2**31)])
def test_a_batch_that_is_shorter_than_any_is_told(length: int) -> None:
    data = bytearray(batch(0))
    pack_into(">i", data, 8, length)
    with pytest.raises(Garbled, match="announces"):
        read(bytes(data))


@pytest.mark.parametrize("bad", [batch(3)[:-1] + b"!", b"\0" * 100])
def test_what_is_whole_before_it_is_returned_first(bad: bytes) -> None:
    data = batch(0, 1, 2) + bad
    decoded = read(data)
    assert offsets(decoded) == [0, 1, 2]
    assert decoded.next_offset == 3
    with pytest.raises(Garbled):
        read(data, 3)


@pytest.mark.parametrize(("number", "name"), [(2, "snappy"), (3, "lz4"), (4, "zstd")])
def test_what_takes_a_library_says_which(number: int, name: Compression, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(THEIR_CODEC, "cramjam", None)
    assert not is_available(name)
    with pytest.raises(Garbled, match=f"{name}.*pip install cramjam"):
        read(marked(batch(0), number))
    with pytest.raises(ValueError, match=f"{name}.*pip install cramjam"):
        batch(0, compression=name)


@pytest.mark.parametrize("stray", [-1, 1, 2**31])
def test_records_that_are_not_where_their_batch_is_are_told(stray: int) -> None:
    builder = THEIR_RECORDS.DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 10**6)
    for place in sorted((0, stray)):
        builder.append(place, 0, b"key", b"value", [])
    data = bytearray(placed(bytes(builder.build()), 10))
    pack_into(">i", data, 23, 0)
    with pytest.raises(Garbled, match="beyond"):
        read(marked(bytes(data)), 10)


def test_what_is_packed_in_no_known_way_is_told() -> None:
    with pytest.raises(Garbled, match="codec"):
        read(marked(batch(0), 5))


def test_a_record_count_that_is_wrong_is_told() -> None:
    for count in (-1, 0, 1, 3, 2**31 - 1):
        data = bytearray(batch(0, 1))
        pack_into(">i", data, 57, count)
        with pytest.raises(Garbled, match="no records"):
            read(marked(bytes(data)))


@pytest.mark.parametrize("attributes", [0, APPENDED])
@each_compression
def test_names_of_headers_that_are_no_text_stop_nobody(compression: Compression, attributes: int) -> None:
    records: list[NewRecord] = [*ODD, (b"k", b"v", [("naïve", b"1"), ("none", None)], 2**44)]
    # Of three bytes, and no text any more.
    data = encode(records, producer=-1, epoch=-1, sequence=-1).replace("aï".encode(), b"a\xff\xfe")
    if compression != "none":
        data = packed(data, compression)
    expected = read(marked(encode(records, producer=-1, epoch=-1, sequence=-1), attributes))
    decoded = read(marked(placed(data, 0), attributes))
    assert [(each.offset, each.timestamp, each.timestamp_type, each.key, each.value) for each in decoded.records] == [
        (each.offset, each.timestamp, each.timestamp_type, each.key, each.value) for each in expected.records
    ]
    assert [each.headers for each in decoded.records[:-1]] == [each.headers for each in expected.records[:-1]]
    assert decoded.records[-1].headers == [("na\ufffd\ufffdve", b"1"), ("none", None)]


@pytest.mark.parametrize(("more_of_record", "more_of_value"), [(1, 0), (0, 1), (1, 1), (-1, 0), (0, -1), (20, 20)])
def test_lengths_that_do_not_fit_are_told_even_then(more_of_record: int, more_of_value: int) -> None:
    whole = batch(0).replace(b"name", b"\xff" * 4)
    body = bytearray(whole[HEAD:])
    assert read_leniently(memoryview(whole), bytes(body))[0].headers == [("\ufffd" * 4, b"0")]
    # The first number is how long the record is, the last how long the value of its last header.
    body[0] += 2 * more_of_record
    body[-2] += 2 * more_of_value
    with pytest.raises(Garbled, match="as long as it says"):
        read_leniently(memoryview(whole), bytes(body))


def packed(data: bytes, compression: Compression) -> bytes:
    body = getattr(THEIR_CODEC, f"{compression}_encode")(data[HEAD:])
    made = bytearray(data[:HEAD] + body)
    pack_into(">i", made, 8, len(made) - 12)
    return marked(bytes(made), COMPRESSIONS.index(compression))


def broken(random: Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(random.randrange(1, 4)):
        match random.randrange(4):
            case 0:
                changed[random.randrange(len(changed))] = random.randrange(256)
            case 1:
                changed[random.randrange(len(changed))] = random.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF))
            case 2:
                start = random.randrange(len(changed))
                del changed[start : start + random.randrange(1, 12)]
            case _:
                start = random.randrange(len(changed))
                changed[start:start] = random.choice(
                    (b"\xff" * 9 + b"\x01", b"\xfe" * 9 + b"\x01", random.randbytes(5))
                )
        if not changed:
            break
    return bytes(changed)


def resealed(data: bytes) -> bytes:
    """Return a broken batch as somebody would write it who means harm: of the right length, with its checksum."""
    if len(data) < HEAD:
        return data
    changed = bytearray(data)
    pack_into(">i", changed, 8, len(changed) - 12)
    changed[16] = 2
    return marked(bytes(changed))


@each_compression
def test_whatever_comes_is_read_or_told(compression: Compression) -> None:
    random = Random(4)  # noqa: S311 -- the same each time
    whole = encode([*ODD[:6], *map(record, range(5))], producer=5, epoch=0, sequence=0, compression=compression)
    told = 0
    for turn in range(3_000):
        data = broken(random, whole)
        if turn % 4:
            data = resealed(data)
        try:
            decoded = decode(data + whole, position=0, aborted=[(5, 3)], committed_only=bool(turn % 2))
        except Garbled:
            told += 1
        else:
            assert decoded.next_offset > 0
            assert not decoded.records or decoded.records[0].offset >= 0
            assert not decoded.records or decoded.records[-1].offset < decoded.next_offset
    assert told > 1_000


def test_whatever_is_no_text_is_read_or_told() -> None:
    random = Random(5)  # noqa: S311 -- the same each time
    whole = batch(0, 1, 2).replace(b"name", b"\xff\xff\xff\xff")
    for _ in range(3_000):
        data = resealed(broken(random, whole))
        try:
            decoded = read(data)
        except Garbled:
            continue
        assert decoded.next_offset > 0


def test_random_bytes_are_read_or_told() -> None:
    random = Random(6)  # noqa: S311 -- the same each time
    for _ in range(2_000):
        data = random.randbytes(random.randrange(1, 200))
        with pytest.raises(Garbled):
            read(data)
        # Of the broker's own marks nothing is read.
        with suppress(Garbled):
            assert not read(resealed(data)).records
