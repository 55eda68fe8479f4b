import pytest

from msgkit.errors import BrokerUnavailable
from msgkit_rabbitmq.reach import reached
from msgkit_rabbitmq.wire import ChannelClosed, OutOfReach

_AWAY = "NOT_FOUND - home node 'rabbit@one' of durable queue 'jobs' in vhost '/' is down or inaccessible"


class Question:
    """It fails so many times before it is answered."""

    def __init__(self, failures: int, error: Exception) -> None:
        self._error = error
        self.asked = 0
        self._failures = failures

    async def __call__(self) -> str:
        self.asked += 1
        if self.asked <= self._failures:
            raise self._error
        return "answer"


async def test_what_is_out_of_reach_is_asked_for_until_it_is_there() -> None:
    question = Question(2, OutOfReach(404, _AWAY))
    assert await reached(question, 20) == "answer"
    assert question.asked == 3


async def test_what_stays_out_of_reach_makes_the_broker_unavailable_in_its_own_words() -> None:
    question = Question(1, OutOfReach(404, _AWAY))
    with pytest.raises(BrokerUnavailable, match="RabbitMQ says: NOT_FOUND - home node"):
        await reached(question, 0)
    assert question.asked == 1


async def test_whatever_else_is_wrong_is_told_at_once() -> None:
    with pytest.raises(ChannelClosed):
        await reached(Question(1, ChannelClosed(404, "NOT_FOUND - no queue 'jobs' in vhost '/'")), 20)
