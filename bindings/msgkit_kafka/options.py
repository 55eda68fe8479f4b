"""What only Kafka understands of an exchange, a queue and a connection: `options=[KafkaTopic(partitions=12)]`."""

import math
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from os import PathLike
from types import MappingProxyType
from typing import Literal, TypedDict, cast

from msgkit.errors import ConfigurationError
from msgkit.values import Option, Seconds, check_duration, check_name, check_whole

__all__ = ["MAX_RECORD", "Auth", "Compression", "Kafka", "KafkaQueue", "KafkaTopic", "Token", "topic_name"]

Auth = Literal["plain", "scram-sha-256", "scram-sha-512", "oauthbearer"]
Compression = Literal["none", "gzip", "snappy", "lz4", "zstd"]
#: A token, or what fetches a new one for each connection.
Token = str | Callable[[], Awaitable[str]]

#: Bytes that a topic of ours takes at once: the largest body, and what is said about it.
MAX_RECORD = (1024 + 64) * 1024

_SCHEMES = ("kafka", "kafkas")
_MOST_PARTITIONS = 1 << 31
_MOST_REPLICAS = 1 << 15
#: 292 million years: the most milliseconds that Kafka counts.
_MOST_SECONDS = ((1 << 63) - 1) // 1000
_MAX_TOPIC = 249
_NOT_IN_A_TOPIC = re.compile(r"[^a-zA-Z0-9._-]")
#: What the brokers keep their own books in.
_INTERNAL = frozenset({"__cluster_metadata", "__consumer_offsets", "__share_group_state", "__transaction_state"})
_NONE: Mapping[str, object] = MappingProxyType({})
#: What the binding sets itself, and what to say instead.
_BETTER: Mapping[str, str] = {
    "cleanup.policy": "write compaction=True, retention=, or both",
    "retention.ms": "write retention=",
    "unclean.leader.election.enable": "a replica that is behind would lose what was confirmed",
}
_SIZE = "max.message.bytes"


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaTopic(Option):
    """How Kafka keeps the topic of an exchange, or the one of a queue's own. Nothing said is as the broker is set."""

    schemes = _SCHEMES

    #: As many consumers of a queue work side by side. None: 8 where it is made, else as many as there are.
    partitions: int | None = None
    #: Brokers that each have a copy. None: as many as the broker sees to by itself.
    replication: int | None = None
    #: Seconds after which messages go, handled or not. inf: never. None: as the broker is set; for dead letters, never.
    retention: Seconds | None = None
    #: True: of each key the last message stays; without retention, for ever.
    compaction: bool = False
    #: More settings of the topic, as Kafka names them: {"min.insync.replicas": 2}.
    configs: Mapping[str, object] = field(default_factory=lambda: _NONE, hash=False)
    #: False: it is somebody else's. It must be there, and is used as it is.
    declare: bool = True

    def __post_init__(self) -> None:
        what = "KafkaTopic"
        _check_truth(self.declare, f"{what}(declare=)")
        _check_truth(self.compaction, f"{what}(compaction=)")
        _check_count(self.partitions, f"{what}(partitions=)", _MOST_PARTITIONS)
        _check_count(self.replication, f"{what}(replication=)", _MOST_REPLICAS)
        if self.retention is not None:
            object.__setattr__(self, "retention", _kept(self.retention, f"{what}(retention=)"))
        object.__setattr__(self, "configs", _checked_configs(self.configs, what))
        if not self.declare:
            _refuse_changes(self)

    def declared(self) -> dict[str, str]:
        """Return the settings that are said here, as Kafka is told them."""
        said: dict[str, str] = {}
        if self.compaction:
            said["cleanup.policy"] = "compact" if self.retention in (None, math.inf) else "compact,delete"
        if self.retention is not None:
            said["retention.ms"] = _milliseconds(cast("float", self.retention))
        return {**said, **cast("Mapping[str, str]", self.configs)}


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaQueue(Option):
    """What a queue is in Kafka. Nothing said is a consumer group and a topic of the queue's name."""

    schemes = _SCHEMES

    #: The consumer group. None: of the queue's name.
    group: str | None = None
    #: The queue's own topic, for what is sent to it and what is tried again. None: of the queue's name.
    topic: str | None = None
    #: False: it has no topic of its own. Nothing can be sent to it, and what is tried again waits at its place.
    direct: bool = True

    def __post_init__(self) -> None:
        what = "KafkaQueue"
        _check_truth(self.direct, f"{what}(direct=)")
        if self.group is not None:
            check_name(self.group, f"{what}(group=)")
        if self.topic is not None:
            topic_name(self.topic, f"{what}(topic=)")
        if self.topic is not None and not self.direct:
            msg = f"{what}(direct=False) is a queue without a topic, so that topic= would do nothing; leave one out"
            raise ConfigurationError(msg)


class Kafka(TypedDict, total=False):
    """What can be said of a Kafka beside its URL; it goes before what the URL says."""

    #: Who connects. Nobody: the broker asks for no name, or the client's certificate says it.
    user: str
    #: Its password. It is best said here, and comes from a secret file then.
    password: str
    #: How the user proves who he is. "oauthbearer" takes a token instead of a password.
    auth: Auth
    #: For "oauthbearer": the token, or an async function that fetches one for each connection.
    token: Token
    #: What the brokers' logs and quotas call us.
    client_id: str
    #: Seconds for which a message waits for others to go with it. What comes while a batch is on its way waits anyhow.
    linger: float
    #: What batches are packed with.
    compression: Compression
    #: Seconds after which a consumer that gives no sign of life has its partitions taken away. The brokers bound it.
    session_timeout: float
    #: Seconds in which a broker must answer, from connecting on.
    request_timeout: float
    #: Where we are, as the brokers' `broker.rack` says it: a replica nearby is read from.
    rack: str
    #: Who this process is in its groups from start to start, so that a quick restart moves no partitions.
    instance: str
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
    #: The name that the brokers' certificates bear, where the URL has another.
    server_hostname: str


def topic_name(name: object, what: str = "the topic") -> str:
    """Return a name that Kafka takes for a topic, or say what is wrong with it.

    That `a.b` and `a_b` are one in Kafka's metrics harms no message: both may be there.
    """
    if not isinstance(name, str) or not name:
        msg = f"{what} must be a name, not {name!r}"
        raise ConfigurationError(msg)
    if (found := _NOT_IN_A_TOPIC.search(name)) is not None:
        shown = name[:_MAX_TOPIC]
        msg = f"{what} is {shown!r}: Kafka takes letters from a to z, digits, '.', '_' and '-', not {found[0]!r}"
        raise ConfigurationError(msg)
    if len(name) > _MAX_TOPIC:
        msg = f"{what} has {len(name)} characters, and Kafka takes at most {_MAX_TOPIC}: {name[:40]!r}…"
        raise ConfigurationError(msg)
    if name in (".", ".."):
        msg = f"{what} is {name!r}, which Kafka takes for a folder; take another"
        raise ConfigurationError(msg)
    if name in _INTERNAL:
        msg = f"{what} is {name!r}, in which Kafka keeps its own books; take another"
        raise ConfigurationError(msg)
    return name


def _check_truth(value: object, what: str) -> None:
    if not isinstance(value, bool):
        msg = f"{what} must be True or False, not {value!r}"
        raise ConfigurationError(msg)


def _check_count(value: object, what: str, most: int) -> None:
    if value is not None and check_whole(value, what) >= most:
        msg = f"{what} must be less than {most:,}, not {value:,}"
        raise ConfigurationError(msg)


def _kept(value: Seconds, what: str) -> float:
    if value == math.inf:
        return math.inf
    length = check_duration(value, what)
    if not 0 < length <= _MOST_SECONDS:
        msg = f"{what} must be more than 0 seconds, and inf for ever; not {length:g}"
        raise ConfigurationError(msg)
    return length


def _milliseconds(seconds: float) -> str:
    return "-1" if math.isinf(seconds) else str(max(1, round(seconds * 1000)))


def _checked_configs(given: object, what: str) -> Mapping[str, str]:
    """Return settings as the text that Kafka is told."""
    if not isinstance(given, Mapping):
        msg = f"{what}(configs=) takes a mapping of names to values, not {given!r}"
        raise ConfigurationError(msg)
    checked: dict[str, str] = {}
    for name, value in cast("Mapping[object, object]", given).items():
        if not isinstance(name, str) or not name or not name.isprintable():
            msg = f"{what}(configs=): a name is printable text, unlike {name!r}"
            raise ConfigurationError(msg)
        if name in _BETTER:
            msg = f"{what}(configs=) cannot set {name!r}: {_BETTER[name]}"
            raise ConfigurationError(msg)
        checked[name] = _config(value, f"{what}(configs=): {name!r}")
    if (size := checked.get(_SIZE)) is not None and not (size.isdecimal() and int(size) >= MAX_RECORD):
        msg = f"{what}(configs=): {_SIZE!r} must be at least {MAX_RECORD}, a body of 1 MiB and its headers, not {size}"
        raise ConfigurationError(msg)
    return MappingProxyType(checked)


def _config(value: object, what: str) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str() | int() | float():
            return str(value)
        case _:
            msg = f"{what} must be text, a number, True or False, not {value!r}"
            raise ConfigurationError(msg)


def _refuse_changes(topic: KafkaTopic) -> None:
    """Refuse what somebody else's topic would never be told."""
    names = ("partitions", "replication", "retention", "compaction", "configs")
    said = [f"{name}=" for name in names if getattr(topic, name)]
    if said:
        msg = (
            f"KafkaTopic(declare=False) takes what is there as it is, "
            f"so that {' and '.join(said)} would do nothing; leave out one or the other"
        )
        raise ConfigurationError(msg)
