"""What only RocketMQ understands of an exchange, a queue and a connection: `options=[RocketTopic(queues=32)]`."""

import re
from dataclasses import dataclass
from os import PathLike
from typing import Literal, TypedDict, get_args

from msgkit.errors import ConfigurationError
from msgkit.values import Option, check_whole

__all__ = ["MAX_GROUP", "MAX_TOPIC", "MessageType", "Rocket", "RocketQueue", "RocketTopic", "broker_name"]

#: What a topic takes, as RocketMQ's proxy sees it. Brokers take all of them, whatever it says.
MessageType = Literal["normal", "fifo", "delay", "transaction", "mixed"]

MAX_TOPIC = 127
#: The topic of what a group tries again is named for both, and has at most 255 characters.
MAX_GROUP = 120

_SCHEMES = ("rocketmq", "rocketmqs")
_MOST_QUEUES = 1024
_PLAIN = "a-zA-Z0-9-"


@dataclass(frozen=True, slots=True, kw_only=True)
class RocketTopic(Option):
    """How RocketMQ keeps the topic of an exchange, or the one of a queue's own. Nothing said is as it is there."""

    schemes = _SCHEMES

    #: The broker's queues in it, on each broker: an ordered queue works on as many keys at a time.
    #: None: 16 where it is made, else as many as there are.
    queues: int | None = None
    #: For programs that come through RocketMQ's proxy, which refuses messages of another type. None: nothing is said.
    message_type: MessageType | None = None
    #: False: it is somebody else's. It must be there, and is used as it is.
    declare: bool = True

    def __post_init__(self) -> None:
        what = "RocketTopic"
        _check_truth(self.declare, f"{what}(declare=)")
        if self.queues is not None and check_whole(self.queues, f"{what}(queues=)") > _MOST_QUEUES:
            msg = f"{what}(queues=) must be at most {_MOST_QUEUES:,}, not {self.queues:,}"
            raise ConfigurationError(msg)
        if self.message_type is not None and self.message_type not in get_args(MessageType):
            msg = f"{what}(message_type=) must be {' or '.join(get_args(MessageType))}, not {self.message_type!r}"
            raise ConfigurationError(msg)
        said = [f"{name}=" for name in ("queues", "message_type") if getattr(self, name) is not None]
        if said and not self.declare:
            msg = (
                f"{what}(declare=False) takes what is there as it is, "
                f"so that {' and '.join(said)} would do nothing; leave out one or the other"
            )
            raise ConfigurationError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class RocketQueue(Option):
    """What a queue is in RocketMQ. Nothing said is a consumer group and a topic of the queue's name."""

    schemes = _SCHEMES

    #: The consumer group, by the name that it has there. None: of the queue's name.
    group: str | None = None
    #: The queue's own topic, for what is sent to it, by the name that it has there. None: of the queue's name.
    topic: str | None = None
    #: False: it has no topic of its own. Nothing can be sent to it.
    direct: bool = True

    def __post_init__(self) -> None:
        what = "RocketQueue"
        _check_truth(self.direct, f"{what}(direct=)")
        if self.group is not None:
            # Where it is there already, others have named it.
            broker_name(self.group, f"{what}(group=)", MAX_GROUP, also="_%|")
        if self.topic is not None:
            broker_name(self.topic, f"{what}(topic=)", MAX_TOPIC, also="_%|")
        if self.topic is not None and not self.direct:
            msg = f"{what}(direct=False) is a queue without a topic, so that topic= would do nothing; leave one out"
            raise ConfigurationError(msg)


class Rocket(TypedDict, total=False):
    """What can be said of a RocketMQ beside its URL; it goes before what the URL says."""

    #: The access key. Nobody: the brokers do not ask who we are.
    user: str
    #: Its secret. It is best said here, and comes from a secret file then.
    password: str
    #: The security token that goes with keys that are valid for a while.
    token: str
    #: What stands before the names of topics and groups, as `namespace%name`.
    namespace: str
    #: Seconds after which the broker gives to others what a consumer has in hand that died. It is renewed until then.
    lease: float
    #: Seconds in which a broker must answer, from connecting on.
    request_timeout: float
    #: Certificates of those who are trusted, in PEM; without, those that the machine trusts.
    ca_file: str | PathLike[str]
    #: Our own certificate, in PEM.
    cert_file: str | PathLike[str]
    #: Its private key, if it is not in the same file.
    key_file: str | PathLike[str]
    #: What the private key is encrypted with.
    key_password: str
    #: False: trust anybody who answers.
    verify: bool
    #: The name that the certificates bear, where the URL has another.
    server_hostname: str


def broker_name(name: object, what: str, most: int, *, also: str) -> str:
    """Return a name of letters, digits, `-` and what is `also` allowed, or say what is wrong with it."""
    if not isinstance(name, str) or not name:
        msg = f"{what} must be a name, not {name!r}"
        raise ConfigurationError(msg)
    if (found := re.search(f"[^{_PLAIN}{re.escape(also)}]", name)) is not None:
        marks = ", ".join(f"{mark!r}" for mark in ("-", *also))
        shown = name[:MAX_TOPIC]
        msg = f"{what} is {shown!r}: RocketMQ takes letters from a to z, digits and {marks} there, not {found[0]!r}"
        raise ConfigurationError(msg)
    if len(name) > most:
        msg = f"{what} has {len(name)} characters, and at most {most} fit: {name[:40]!r}…"
        raise ConfigurationError(msg)
    return name


def _check_truth(value: object, what: str) -> None:
    if not isinstance(value, bool):
        msg = f"{what} must be True or False, not {value!r}"
        raise ConfigurationError(msg)
