import math
from dataclasses import FrozenInstanceError
from datetime import timedelta
from typing import Any

import pytest

from msgkit import Exchange, Queue
from msgkit.errors import ConfigurationError
from msgkit.values import Option
from msgkit_kafka.options import MAX_RECORD, KafkaQueue, KafkaTopic, topic_name


def test_options_are_for_kafka_alone_and_stand_beside_a_destination() -> None:
    topic, queue = KafkaTopic(partitions=12), KafkaQueue(group="billing-2")
    assert isinstance(topic, Option)
    assert topic.schemes == queue.schemes == KafkaTopic.schemes == ("kafka", "kafkas")
    assert Exchange("orders", int, options=[topic]).options == (KafkaTopic(partitions=12),)
    assert Queue("jobs", int, options=[topic, queue]).options == (topic, queue)


def test_options_are_values() -> None:
    given: dict[str, object] = {"min.insync.replicas": 2}
    one, same = KafkaTopic(configs=given), KafkaTopic(configs=dict(given))
    assert one == same
    assert hash(one) == hash(same)
    assert one != KafkaTopic()
    given["min.insync.replicas"] = 1
    assert one == same
    assert KafkaTopic(retention=timedelta(days=1)) == KafkaTopic(retention=86_400)
    with pytest.raises(FrozenInstanceError):
        one.declare = False  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue] -- what is tested
    with pytest.raises(TypeError):
        one.configs["x"] = 1  # type: ignore[index]  # pyright: ignore[reportIndexIssue] -- what is tested


@pytest.mark.parametrize(
    ("option", "configs"),
    [
        (KafkaTopic(), {}),
        (KafkaTopic(partitions=12, replication=3), {}),
        (KafkaTopic(retention=60), {"retention.ms": "60000"}),
        (KafkaTopic(retention=0.0001), {"retention.ms": "1"}),
        (KafkaTopic(retention=timedelta(days=7)), {"retention.ms": "604800000"}),
        (KafkaTopic(retention=math.inf), {"retention.ms": "-1"}),
        (KafkaTopic(compaction=True), {"cleanup.policy": "compact"}),
        (KafkaTopic(compaction=True, retention=math.inf), {"cleanup.policy": "compact", "retention.ms": "-1"}),
        (KafkaTopic(compaction=True, retention=1), {"cleanup.policy": "compact,delete", "retention.ms": "1000"}),
        (KafkaTopic(configs={"a": 2, "b": True, "c": 0.1, "d": "e"}), {"a": "2", "b": "true", "c": "0.1", "d": "e"}),
        (KafkaTopic(configs={"max.message.bytes": MAX_RECORD}), {"max.message.bytes": "1114112"}),
    ],
)
def test_what_is_said_becomes_settings_of_the_topic(option: KafkaTopic, configs: dict[str, str]) -> None:
    assert option.declared() == configs


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"partitions": 0}, r"partitions=\) must be a whole number of at least 1, not 0"),
        ({"partitions": True}, r"partitions=\) must be a whole number"),
        ({"partitions": 1 << 31}, r"partitions=\) must be less than 2,147,483,648"),
        ({"replication": "3"}, r"replication=\) must be a whole number"),
        ({"replication": 1 << 15}, r"replication=\) must be less than 32,768"),
        ({"retention": 0}, "must be more than 0 seconds, and inf for ever; not 0"),
        ({"retention": -1}, "must not be negative"),
        ({"retention": 1e30}, "must be more than 0 seconds, and inf for ever"),
        ({"retention": math.nan}, "must be finite"),
        ({"retention": "7d"}, "must be seconds or a timedelta, not str"),
        ({"compaction": 1}, r"compaction=\) must be True or False"),
        ({"declare": None}, r"declare=\) must be True or False"),
        ({"declare": False, "partitions": 5, "retention": 60}, "partitions= and retention= would do nothing"),
        ({"declare": False, "compaction": True, "configs": {"a": 1}}, "compaction= and configs= would do nothing"),
        ({"configs": ["x"]}, "takes a mapping"),
        ({"configs": {"": 1}}, "a name is printable text"),
        ({"configs": {1: 1}}, "a name is printable text"),
        ({"configs": {"a": None}}, "'a' must be text, a number, True or False, not None"),
        ({"configs": {"a": [1]}}, "'a' must be text"),
        ({"configs": {"retention.ms": 1}}, "cannot set 'retention.ms': write retention="),
        ({"configs": {"cleanup.policy": "delete"}}, "cannot set 'cleanup.policy': write compaction=True"),
        ({"configs": {"unclean.leader.election.enable": True}}, "would lose what was confirmed"),
        ({"configs": {"max.message.bytes": 1_048_588}}, "must be at least 1114112, a body of 1 MiB and its headers"),
        ({"configs": {"max.message.bytes": "large"}}, "must be at least 1114112"),
    ],
)
def test_what_a_topic_cannot_be_is_said_where_it_is_written(said: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigurationError, match=f"KafkaTopic.*{why}"):
        KafkaTopic(**said)


def test_a_topic_of_somebody_else_is_used_as_it_is() -> None:
    assert KafkaTopic(declare=False).declared() == {}


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"group": ""}, r"KafkaQueue\(group=\) is empty"),
        ({"group": "a\nb"}, "control character"),
        ({"group": 5}, "must be a str"),
        ({"topic": "a b"}, r"KafkaQueue\(topic=\) is 'a b': Kafka takes letters"),
        ({"direct": 0}, r"direct=\) must be True or False"),
        ({"direct": False, "topic": "x"}, "topic= would do nothing"),
    ],
)
def test_what_a_queue_cannot_be_is_said_where_it_is_written(said: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        KafkaQueue(**said)


def test_a_queue_may_have_a_group_of_any_name_and_a_topic_of_another_or_none() -> None:
    assert (KafkaQueue().group, KafkaQueue().topic, KafkaQueue().direct) == (None, None, True)
    assert KafkaQueue(group="größe/1", topic="jobs.in").topic == "jobs.in"
    assert not KafkaQueue(direct=False).direct


@pytest.mark.parametrize("name", ["orders", "a.b_c-D9", "a.b", "a_b", "x" * 249, "...", "__mine", "-"])
def test_kafka_takes_such_names(name: str) -> None:
    assert topic_name(name) == name


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "must be a name"),
        (None, "must be a name"),
        (".", "takes for a folder"),
        ("..", "takes for a folder"),
        ("größe", "letters from a to z, .*, not 'ö'"),
        ("a/b", "not '/'"),
        ("a b", "not ' '"),
        ("a\n", r"not '\\n'"),
        ("x" * 250, "has 250 characters, and Kafka takes at most 249"),
        ("__consumer_offsets", "keeps its own books"),
    ],
)
def test_a_name_that_kafka_refuses_is_refused_before_it_is_asked(name: object, why: str) -> None:
    with pytest.raises(ConfigurationError, match=f"queue 'q' .*{why}"):
        topic_name(name, "queue 'q'")
