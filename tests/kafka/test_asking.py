import pytest

from msgkit.envelope import Envelope, Kind
from msgkit_kafka.asking import answering, asked
from msgkit_kafka.mapping import Source, understood
from msgkit_kafka.replies import place_of
from msgkit_kafka.wire.records import Record, decode, encode

QUOTES = Source(Kind.QUEUE, "quotes", "quotes", 0)
BINARY = bytes(range(0x78, 0x88))
ASKED: dict[str, bytes | None] = {
    "kafka_replyTopic": b"answers",
    "kafka_replyPartition": b"\0\0\0\7",
    "kafka_correlationId": BINARY,
}


def lying(**headers: bytes | None) -> Record:
    batch = encode([(None, b"{}", [*headers.items()], 1)], producer=-1, epoch=-1, sequence=-1)
    (found,) = decode(batch, position=0, committed_only=True).records
    return found


def answer(to: str) -> Envelope:
    return answering(Envelope(b"", to, Kind.REPLY, "m-2", {"n": 1}))


def test_who_asks_as_spring_does_is_answered_where_he_says_with_what_he_knows_the_answer_by() -> None:
    request = understood(lying(**ASKED), QUOTES)
    assert request.reply_to is not None
    assert place_of(request.reply_to) == ("answers", 7)
    assert answer(request.reply_to).headers == {"n": 1, "kafka_correlationId": BINARY}
    # All of it is still there to be read.
    assert request.headers == ASKED


@pytest.mark.parametrize("number", [None, b"", b"7", b"\xff\xff\xff\xff"])
def test_who_names_no_partition_is_answered_in_any(number: bytes | None) -> None:
    request = asked({**ASKED, "kafka_replyPartition": number})
    assert request is not None
    assert place_of(request) == ("answers", None)


def test_who_names_nothing_that_he_knows_the_answer_by_is_answered_all_the_same() -> None:
    request = asked({"kafka_replyTopic": b"answers"})
    assert request is not None
    assert (place_of(request), answer(request).headers) == (("answers", None), {"n": 1})


@pytest.mark.parametrize("topic", [None, b"", b"\xff", b"a/b"])
def test_who_names_no_topic_asks_nothing(topic: bytes | None) -> None:
    assert asked({**ASKED, "kafka_replyTopic": topic}) is None


def test_a_dead_letter_of_what_was_asked_asks_no_more() -> None:
    assert understood(lying(**ASKED, **{"msgkit-id": b"m-1"}), QUOTES).reply_to is None


def test_what_is_said_in_words_of_msgkit_counts_first() -> None:
    request = understood(lying(**ASKED, **{"msgkit-reply-to": b"msgkit.replies/3/shop"}), QUOTES)
    assert request.reply_to == "msgkit.replies/3/shop"


@pytest.mark.parametrize("to", ["msgkit.replies/3/shop", "answers", "answers//kafka_correlationId=no hex"])
def test_who_asks_otherwise_finds_nothing_of_spring_in_the_answer(to: str) -> None:
    assert answer(to).headers == {"n": 1}
