from dataclasses import replace
from random import Random

import pytest

from msgkit_kafka.wire.errors import Garbled
from msgkit_kafka.wire.subscriptions import (
    NEVER,
    Assignment,
    Partition,
    Subscription,
    decode_assignment,
    decode_subscription,
    encode_assignment,
    encode_subscription,
)

OWNED = frozenset({Partition("orders", 0), Partition("orders", 3), Partition("audit", 2)})

# By hand, from the definition of the format.
TOPICS = "00000002 0005 6175646974 0006 6f7264657273"
PARTITIONS = "00000002 0005 6175646974 00000001 00000002 0006 6f7264657273 00000002 00000000 00000003"
NOTHING = "ffffffff"
SEVEN = "00000004 00000007"
BY_HAND = {
    0: f"0000 {TOPICS} {SEVEN}",
    1: f"0001 {TOPICS} {SEVEN} {PARTITIONS}",
    2: f"0002 {TOPICS} {SEVEN} {PARTITIONS} 00000008",
    3: f"0003 {TOPICS} {SEVEN} {PARTITIONS} 00000008 0002 7231",
}
READ = {
    0: Subscription(topics=("audit", "orders"), generation=7, user_data=b"\0\0\0\7"),
    1: Subscription(topics=("audit", "orders"), owned=OWNED, generation=7, user_data=b"\0\0\0\7"),
    2: Subscription(topics=("audit", "orders"), owned=OWNED, generation=8, user_data=b"\0\0\0\7"),
    3: Subscription(topics=("audit", "orders"), owned=OWNED, generation=8, rack="r1", user_data=b"\0\0\0\7"),
}

# What Java's `ConsumerProtocol` 4.1.0 and 4.3.1 wrote, with the user data of its `CooperativeStickyAssignor`.
BY_JAVA = {
    0: "0000000000020005617564697400066f72646572730000000400000007",
    1: "0001000000020005617564697400066f7264657273000000040000000700000002000561756469740000000100000002"
    "00066f7264657273000000020000000000000003",
    2: "0002000000020005617564697400066f7264657273000000040000000700000002000561756469740000000100000002"
    "00066f726465727300000002000000000000000300000008",
    3: "0003000000020005617564697400066f7264657273000000040000000700000002000561756469740000000100000002"
    "00066f72646572730000000200000000000000030000000800027231",
}
NEW_BY_JAVA = "00030000000100066f726465727300000004ffffffff00000000ffffffffffff"
ASSIGNED_BY_JAVA = (
    "00030000000200066f7264657273000000020000000000000003000561756469740000000100000002ffffffff",
    "00000000000200066f7264657273000000020000000000000003000561756469740000000100000002ffffffff",
)
ASSIGNED_WITH_DATA_BY_JAVA = (
    "00030000000200066f726465727300000002000000000000000300056175646974000000010000000200000003010203"
)
ASSIGNED_NOTHING_BY_JAVA = "000300000000ffffffff"


def data(text: str) -> bytes:
    return bytes.fromhex(text)


# -- what a member tells


@pytest.mark.parametrize("version", BY_HAND)
def test_a_subscription_of_every_version_is_read(version: int) -> None:
    assert decode_subscription(data(BY_HAND[version])) == READ[version]


@pytest.mark.parametrize("version", BY_JAVA)
def test_java_writes_what_the_definition_says(version: int) -> None:
    assert data(BY_JAVA[version]) == data(BY_HAND[version])


def test_a_subscription_is_written_as_java_writes_it() -> None:
    assert encode_subscription(READ[3]) == data(BY_JAVA[3])
    assert encode_subscription(Subscription(topics=("orders",))) == data(NEW_BY_JAVA)


def test_a_subscription_says_its_generation_to_java_clients_of_every_age() -> None:
    written = encode_subscription(Subscription(topics=("audit", "orders"), owned=OWNED, generation=7))
    assert written == data(f"0003 {TOPICS} {SEVEN} {PARTITIONS} 00000007 ffff")


@pytest.mark.parametrize("version", ["0004", "0009", "7fff"])
def test_of_a_newer_version_is_read_what_is_known(version: str) -> None:
    newer = data(version + BY_JAVA[3][4:] + "000000050102030405")
    assert decode_subscription(newer) == READ[3]
    assert decode_assignment(data(version + ASSIGNED_BY_JAVA[0][4:] + "ff")) == Assignment(partitions=OWNED)


def test_a_subscription_comes_back_as_it_was() -> None:
    member = Subscription(topics=("b", "a", "grüße"), owned=OWNED, generation=0, rack="r", user_data=b"\xff")
    assert decode_subscription(encode_subscription(member)) == member
    assert decode_subscription(encode_subscription(replace(member, user_data=b""))).user_data == b""
    assert decode_subscription(encode_subscription(Subscription(topics=()))).topics == ()


def test_a_subscription_is_read_from_the_middle_of_what_came_and_keeps_nothing_of_it() -> None:
    came = bytearray(b"??" + data(BY_JAVA[3]))
    read = decode_subscription(memoryview(came)[2:])
    came[:] = bytes(len(came))
    assert read == READ[3]


@pytest.mark.parametrize(
    ("user_data", "generation"),
    [
        ("00000004 00000009", 9),
        ("00000004 ffffffff", NEVER),
        ("00000004 80000000", NEVER),
        ("ffffffff", NEVER),
        ("00000000", NEVER),
        ("00000003 000000", NEVER),
        # What other clients write there begins with a count, which is no generation.
        ("00000008 00000000 00000009", NEVER),
    ],
)
@pytest.mark.parametrize(("version", "rest"), [("0000", ""), ("0001", "00000000"), ("0002", "00000000 ffffffff")])
def test_a_generation_that_has_no_field_is_read_from_the_user_data(
    version: str, rest: str, user_data: str, generation: int
) -> None:
    assert decode_subscription(data(f"{version} 00000000 {user_data} {rest}")).generation == generation


def test_an_empty_rack_is_none() -> None:
    assert decode_subscription(data(f"0003 00000000 {NOTHING} 00000000 00000001 0000")).rack is None


# -- what it is told


@pytest.mark.parametrize("written", ASSIGNED_BY_JAVA)
def test_an_assignment_of_java_is_read(written: str) -> None:
    assert decode_assignment(data(written)) == Assignment(partitions=OWNED)


def test_the_user_data_of_an_assignment_are_kept() -> None:
    read = decode_assignment(data(ASSIGNED_WITH_DATA_BY_JAVA))
    assert read == Assignment(partitions=OWNED, user_data=b"\1\2\3")
    assert decode_assignment(encode_assignment(read)) == read


def test_an_assignment_is_written_as_defined() -> None:
    assert encode_assignment(Assignment(partitions=OWNED)) == data(f"0003 {PARTITIONS} {NOTHING}")
    assert encode_assignment(Assignment(partitions=frozenset())) == data(ASSIGNED_NOTHING_BY_JAVA)


def test_partitions_are_written_in_their_order() -> None:
    many = frozenset(Partition(topic, number) for topic in "ab" for number in range(20))
    numbers = "".join(f"{number:08x}" for number in range(20))
    written = f"00000002 0001 61 00000014 {numbers} 0001 62 00000014 {numbers}"
    assert encode_assignment(Assignment(partitions=many)) == data(f"0003 {written} {NOTHING}")


# -- what is neither


@pytest.mark.parametrize("whole", [data(BY_JAVA[version]) for version in BY_JAVA])
def test_a_subscription_that_is_cut_off_anywhere_is_garbled(whole: bytes) -> None:
    for end in range(len(whole)):
        with pytest.raises(Garbled):
            decode_subscription(whole[:end])


def test_an_assignment_that_is_cut_off_anywhere_is_garbled() -> None:
    whole = data(ASSIGNED_WITH_DATA_BY_JAVA)
    for end in range(len(whole)):
        with pytest.raises(Garbled):
            decode_assignment(whole[:end])


@pytest.mark.parametrize(
    "hostile",
    [
        "ffff 00000000 ffffffff",
        "8000 00000000 ffffffff",
        "0000 7fffffff 0000",
        "0000 00000001 7fff 00000000",
        "0000 00000000 7fffffff 00",
        "0001 00000000 ffffffff 7fffffff 0000 00000000",
        "0001 00000000 ffffffff 00000001 0000 7fffffff 00000000",
    ],
)
def test_a_subscription_without_a_version_or_of_more_than_there_is_is_garbled(hostile: str) -> None:
    with pytest.raises(Garbled):
        decode_subscription(data(hostile))


@pytest.mark.parametrize(
    "hostile",
    [
        "ffff 00000000 ffffffff",
        "0000 7fffffff 0000 00000000",
        "0000 00000001 7fff 00000000",
        "0000 00000001 0000 7fffffff 00000000",
        "0000 00000000 7fffffff 00",
    ],
)
def test_an_assignment_without_a_version_or_of_more_than_there_is_is_garbled(hostile: str) -> None:
    with pytest.raises(Garbled):
        decode_assignment(data(hostile))


def test_whatever_comes_it_is_read_or_garbled() -> None:
    draw = Random(7)  # noqa: S311 -- the same bytes each time
    for _ in range(3000):
        hostile = bytearray(data(draw.choice([*BY_JAVA.values(), *ASSIGNED_BY_JAVA, ASSIGNED_WITH_DATA_BY_JAVA])))
        for _ in range(draw.randint(1, 4)):
            hostile[draw.randrange(len(hostile))] = draw.choice([0, 1, 0x7F, 0x80, 0xFF, draw.randrange(256)])
        for decode in (decode_subscription, decode_assignment):
            try:
                decode(bytes(hostile))
            except Garbled:
                continue
