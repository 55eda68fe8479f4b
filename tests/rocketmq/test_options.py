"""What only RocketMQ understands of an exchange and of a queue."""

from typing import Any

import pytest

from msgkit import Exchange, Queue
from msgkit.errors import ConfigurationError
from msgkit_rocketmq.options import RocketQueue, RocketTopic


def test_options_are_for_rocketmq_alone_and_stand_beside_a_destination() -> None:
    topic, queue = RocketTopic(queues=32), RocketQueue(group="GID_billing")
    assert topic.schemes == queue.schemes == ("rocketmq", "rocketmqs")
    assert Exchange("orders", int, options=[topic]).options == (RocketTopic(queues=32),)
    assert Queue("jobs", int, options=[topic, queue]).options == (topic, queue)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"queues": 0}, r"queues=\) must be a whole number of at least 1, not 0"),
        ({"queues": 2000}, r"queues=\) must be at most 1,024, not 2,000"),
        ({"message_type": "lite"}, "must be normal or fifo or .*, not 'lite'"),
        ({"declare": 1}, "must be True or False, not 1"),
        ({"declare": False, "queues": 4}, "so that queues= would do nothing"),
        ({"declare": False, "queues": 4, "message_type": "fifo"}, "queues= and message_type= would do nothing"),
    ],
)
def test_what_a_topic_cannot_be_is_refused(said: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        RocketTopic(**said)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"group": ""}, r"group=\) must be a name, not ''"),
        ({"group": "a.b"}, r"group=\) is 'a\.b': RocketMQ takes letters .* not '\.'"),
        ({"group": "g" * 121}, "has 121 characters, and at most 120 fit"),
        ({"topic": "t" * 128}, "has 128 characters, and at most 127 fit"),
        ({"topic": "ü"}, "not 'ü'"),
        ({"direct": None}, "must be True or False, not None"),
        ({"topic": "t", "direct": False}, "topic= would do nothing"),
    ],
)
def test_what_a_queue_cannot_be_is_refused(said: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        RocketQueue(**said)
