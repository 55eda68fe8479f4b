"""What a broker means that closes a channel, in the words of RabbitMQ 3.10 to 4.3."""

import pytest

from msgkit_rabbitmq.wire.errors import ChannelClosed, OutOfReach, closed

_QUEUE = "queue 'jobs' in vhost '/'"
_FAILED = f"NOT_FOUND - failed to perform operation on {_QUEUE}"


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (404, f"NOT_FOUND - home node 'rabbit@one' of durable {_QUEUE} is down or inaccessible"),
        (404, f"NOT_FOUND - {_QUEUE} process is stopped by supervisor"),
        (404, f"NOT_FOUND - {_QUEUE} has crashed and failed to restart"),
        (404, f"{_FAILED} due to timeout"),
        (404, f"{_FAILED}: its master replica <0.9.0> may be stopping or being demoted"),
        (404, f"{_FAILED}: its leader <0.9.0> may be stopping or being demoted"),
        (404, "NOT_FOUND - home node 'rabbit@one' of durable queue 'no queue' in vhost 'not found' is down"),
        (406, "PRECONDITION_FAILED - queue 'jobs.history' in vhost '/' does not have a replica on the local node"),
        (406, "PRECONDITION_FAILED - stream queue 'a' in vhost '/' does not have a running replica on the local node"),
    ],
)
def test_what_a_node_has_that_is_down_or_starting_is_out_of_reach(code: int, text: str) -> None:
    error = closed(code, text)
    assert isinstance(error, OutOfReach)
    assert (error.code, error.text, str(error)) == (code, text, f"{code} {text}")


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (404, f"NOT_FOUND - no {_QUEUE}"),
        (404, "NOT_FOUND - no exchange 'orders' in vhost '/'"),
        (404, f"NOT_FOUND - no binding placed between exchange 'orders' in vhost '/' and {_QUEUE}"),
        (404, "NOT_FOUND - Queue 'jobs' in vhost '/' does not exist"),
        (404, "NOT_FOUND - Exchange 'orders' not found"),
        (403, "ACCESS_REFUSED - read access to queue 'jobs' in vhost '/' refused for user 'app'"),
        (405, f"RESOURCE_LOCKED - cannot obtain exclusive access to locked {_QUEUE}"),
        (406, f"PRECONDITION_FAILED - inequivalent arg 'durable' for {_QUEUE}: received 'true' but current is 'false'"),
        (406, "PRECONDITION_FAILED - unknown delivery tag 3"),
        (406, "PRECONDITION_FAILED - queue 'replica on the local node' in vhost '/' in use"),
    ],
)
def test_what_is_wrong_with_a_request_stays_wrong(code: int, text: str) -> None:
    error = closed(code, text)
    assert isinstance(error, ChannelClosed)
    assert (error.code, error.text) == (code, text)
