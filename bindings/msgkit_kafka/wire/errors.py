"""What can go wrong on the wire. None of these leaves the binding."""

from enum import IntEnum

__all__ = [
    "BrokerError",
    "Code",
    "ConnectionLost",
    "Garbled",
    "LoginRefused",
    "NotWritten",
    "TopicError",
    "WireError",
    "checked",
]


class WireError(Exception):
    """The root of what the wire raises."""


class ConnectionLost(WireError):
    """There is no connection any more: what was asked over it may have been done."""


class NotWritten(ConnectionLost):
    """There was no connection: what was to be asked never left."""


class Garbled(WireError):
    """What came is not what Kafka has come there. It ends the connection, and is told as its loss."""


class LoginRefused(WireError):
    """The broker is there and does not want us: connecting again would not help."""


class Code(IntEnum):
    """What a broker says is wrong. What is not listed here keeps its number."""

    UNKNOWN = -1
    NONE = 0
    OFFSET_OUT_OF_RANGE = 1
    CORRUPT_MESSAGE = 2
    UNKNOWN_TOPIC_OR_PARTITION = 3
    LEADER_NOT_AVAILABLE = 5
    NOT_LEADER_OR_FOLLOWER = 6
    REQUEST_TIMED_OUT = 7
    BROKER_NOT_AVAILABLE = 8
    REPLICA_NOT_AVAILABLE = 9
    MESSAGE_TOO_LARGE = 10
    OFFSET_METADATA_TOO_LARGE = 12
    NETWORK_EXCEPTION = 13
    COORDINATOR_LOAD_IN_PROGRESS = 14
    COORDINATOR_NOT_AVAILABLE = 15
    NOT_COORDINATOR = 16
    INVALID_TOPIC = 17
    RECORD_LIST_TOO_LARGE = 18
    NOT_ENOUGH_REPLICAS = 19
    NOT_ENOUGH_REPLICAS_AFTER_APPEND = 20
    ILLEGAL_GENERATION = 22
    INCONSISTENT_GROUP_PROTOCOL = 23
    INVALID_GROUP_ID = 24
    UNKNOWN_MEMBER_ID = 25
    INVALID_SESSION_TIMEOUT = 26
    REBALANCE_IN_PROGRESS = 27
    TOPIC_AUTHORIZATION_FAILED = 29
    GROUP_AUTHORIZATION_FAILED = 30
    CLUSTER_AUTHORIZATION_FAILED = 31
    INVALID_TIMESTAMP = 32
    UNSUPPORTED_SASL_MECHANISM = 33
    ILLEGAL_SASL_STATE = 34
    UNSUPPORTED_VERSION = 35
    TOPIC_ALREADY_EXISTS = 36
    INVALID_PARTITIONS = 37
    INVALID_REPLICATION_FACTOR = 38
    INVALID_CONFIG = 40
    NOT_CONTROLLER = 41
    INVALID_REQUEST = 42
    UNSUPPORTED_FOR_MESSAGE_FORMAT = 43
    POLICY_VIOLATION = 44
    OUT_OF_ORDER_SEQUENCE_NUMBER = 45
    DUPLICATE_SEQUENCE_NUMBER = 46
    INVALID_PRODUCER_EPOCH = 47
    INVALID_TXN_STATE = 48
    CONCURRENT_TRANSACTIONS = 51
    TRANSACTIONAL_ID_AUTHORIZATION_FAILED = 53
    OPERATION_NOT_ATTEMPTED = 55
    KAFKA_STORAGE_ERROR = 56
    SASL_AUTHENTICATION_FAILED = 58
    UNKNOWN_PRODUCER_ID = 59
    NON_EMPTY_GROUP = 68
    GROUP_ID_NOT_FOUND = 69
    FENCED_LEADER_EPOCH = 74
    UNKNOWN_LEADER_EPOCH = 75
    MEMBER_ID_REQUIRED = 79
    OFFSET_NOT_AVAILABLE = 78
    PREFERRED_LEADER_NOT_AVAILABLE = 80
    GROUP_MAX_SIZE_REACHED = 81
    FENCED_INSTANCE_ID = 82
    INVALID_RECORD = 87
    UNSTABLE_OFFSET_COMMIT = 88
    PRODUCER_FENCED = 90
    UNKNOWN_TOPIC_ID = 100

    @classmethod
    def _missing_(cls, value: object) -> "Code":
        if not isinstance(value, int):
            return cls.UNKNOWN
        new = int.__new__(cls, value)
        new._name_, new._value_ = f"ERROR_{value}", value
        return new


#: They pass by themselves, at the latest when another leader or coordinator is there.
_PASSING = frozenset(
    {
        Code.LEADER_NOT_AVAILABLE,
        Code.NOT_LEADER_OR_FOLLOWER,
        Code.REQUEST_TIMED_OUT,
        Code.BROKER_NOT_AVAILABLE,
        Code.REPLICA_NOT_AVAILABLE,
        Code.NETWORK_EXCEPTION,
        Code.COORDINATOR_LOAD_IN_PROGRESS,
        Code.COORDINATOR_NOT_AVAILABLE,
        Code.NOT_COORDINATOR,
        Code.NOT_ENOUGH_REPLICAS,
        Code.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        Code.NOT_CONTROLLER,
        Code.CONCURRENT_TRANSACTIONS,
        Code.KAFKA_STORAGE_ERROR,
        Code.FENCED_LEADER_EPOCH,
        Code.UNKNOWN_LEADER_EPOCH,
        Code.OFFSET_NOT_AVAILABLE,
        Code.PREFERRED_LEADER_NOT_AVAILABLE,
        Code.UNSTABLE_OFFSET_COMMIT,
    }
)


class BrokerError(WireError):
    """A broker's answer is that something is wrong."""

    def __init__(self, code: Code, text: str = "") -> None:
        said = code.name.lower().replace("_", " ")
        super().__init__(f"{said}: {text}" if text else said)
        self.code = code
        self.text = text

    @property
    def passes(self) -> bool:
        """Would it help to ask again?"""
        return self.code in _PASSING


class TopicError(BrokerError):
    """A broker's answer is that something is wrong with what was asked about one topic."""

    def __init__(self, code: Code, topic: str, text: str = "") -> None:
        super().__init__(code, text or topic)
        self.topic = topic


def checked(code: int, text: str | None = None) -> None:
    """See whether all is well.

    :raises BrokerError: when it is not
    """
    if code:
        raise BrokerError(Code(code), text or "")
