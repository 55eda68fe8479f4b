"""What can go wrong. None of these leaves the binding.

ClientError
├── NotWritten        it never left, so that nothing was done
│   └── Unfit         somebody is there, and trying again would not help
│       └── TooOld    a broker older than RocketMQ 5.0
├── Unanswered        it left, and no answer came: it may have been done
├── Refused           the answer is no, with a code and a text
└── Unreadable        what came is not what RocketMQ has come there
"""

from msgkit_rocketmq.client.codes import Response

__all__ = ["ClientError", "NotWritten", "Refused", "TooOld", "Unanswered", "Unfit", "Unreadable"]

#: They pass by themselves: the broker is busy, about to stop, or has just started.
_PASSING = frozenset(
    {
        Response.SYSTEM_BUSY,
        Response.SERVICE_NOT_AVAILABLE,
        Response.BROKER_DISPATCH_NOT_COMPLETE,
        Response.FLOW_CONTROL,
        Response.NOT_LEADER_FOR_QUEUE,
        Response.GO_AWAY,
    }
)


class ClientError(Exception):
    """The root of what the client raises."""


class NotWritten(ClientError):
    """There was no connection: what was to be asked never left."""


class Unfit(NotWritten):
    """Somebody is there, and is not what is wanted: trying again would not help."""


class TooOld(Unfit):
    """The broker is older than RocketMQ 5.0: it hands out no single messages."""


class Unanswered(ClientError):
    """The connection ended, or time was up: what was asked may have been done."""


class Refused(ClientError):
    """The answer is no."""

    def __init__(self, code: Response, text: str = "") -> None:
        said = code.name.lower().replace("_", " ")
        super().__init__(f"{said}: {text}" if text else said)
        self.code = code
        self.text = text

    @property
    def passes(self) -> bool:
        """Would it help to ask again?"""
        return self.code in _PASSING


class Unreadable(ClientError):
    """What came cannot be read. On a connection it ends that, and is told as its loss."""
