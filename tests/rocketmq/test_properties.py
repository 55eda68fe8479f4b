from random import Random

import pytest

from msgkit_rocketmq.client.properties import (
    RESERVED,
    decode,
    encode,
    escaped,
    escaped_name,
    is_reserved,
    size_of,
    unescaped,
    unescaped_name,
)

ODD = ["", "\x01", "\x02", "\x03", "\x031", "\x033\x01", "a\x02b\x01c\x03", "\x03_TAGS", " ", "\0", "→", "\n", '"', "3"]


@pytest.mark.parametrize("text", [*ODD, *sorted(RESERVED)])
def test_whatever_text_comes_back_as_it_was(text: str) -> None:
    assert unescaped(escaped(text)) == text
    assert unescaped_name(escaped_name(text)) == text
    properties = {escaped_name(text): escaped(text)}
    assert decode(encode(properties)) == properties


def test_any_mixture_of_odd_characters_comes_back_as_it_was() -> None:
    random = Random(1)  # noqa: S311 -- the same each time
    for _ in range(20_000):
        text = "".join(random.choices("\x01\x02\x03123_TAGS", k=random.randrange(8)))
        assert unescaped(escaped(text)) == text
        assert unescaped_name(escaped_name(text)) == text


@pytest.mark.parametrize("text", ["plain", "100 %", "a b", "grüße", "\t\n", "x" * 10_000])
def test_what_needs_nothing_is_left_as_it_is(text: str) -> None:
    assert escaped(text) == text
    assert escaped_name(text) == text
    assert unescaped(text) == text


@pytest.mark.parametrize("name", [*sorted(RESERVED), "__RMQ.TRANSIENT.TOPIC_SYS_FLAG"])
def test_a_name_of_the_brokers_becomes_another(name: str) -> None:
    assert is_reserved(name)
    assert not is_reserved(escaped_name(name))


def test_properties_are_written_as_java_writes_them() -> None:
    assert encode({"UNIQ_KEY": "7F", "TAGS": "placed"}) == "UNIQ_KEY\x017F\x02TAGS\x01placed\x02"
    assert encode({}) == ""


@pytest.mark.parametrize("properties", [{"": "x"}, {"x": ""}, {"a\x01b": "x"}, {"a\x02": "x"}, {"x": "a\x02b"}])
def test_what_the_broker_would_lose_is_not_written(properties: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"would be (dropped|cut)"):
        encode(properties)


@pytest.mark.parametrize(
    ("text", "properties"),
    [
        ("", {}),
        ("\x02\x02", {}),
        ("a", {}),
        ("a\x01", {}),
        ("\x01b\x02", {}),
        ("a\x01b", {"a": "b"}),
        ("a\x01b\x01c\x02", {"a": "b\x01c"}),
        ("a\x011\x02a\x012\x02", {"a": "2"}),
    ],
)
def test_what_is_no_property_is_passed_over(text: str, properties: dict[str, str]) -> None:
    assert decode(text) == properties


def test_the_size_of_properties_is_what_they_take() -> None:
    properties = {"TAGS": "placed", "grüße": "→\0"}
    assert size_of(properties) == len(encode(properties).encode())
    assert size_of({}) == 0
