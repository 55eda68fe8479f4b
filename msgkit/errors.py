"""Everything that msgkit raises, in one tree.

MessagingError
├── ConfigurationError            the program or its settings are wrong: nothing was sent
│   ├── UnsupportedCapability     this broker cannot keep what was asked for
│   ├── UnknownSetting            no such setting
│   ├── AmbiguousListener         two listeners claim the same messages
│   └── TopologyMismatch          the broker has something else under that name
├── InvalidMessage                a header, name, time or size that cannot be sent
│   └── PayloadTypeError          the payload is not what the destination carries
├── ConversionError               a payload that cannot become bytes, or bytes a payload
│   └── Poison                    a message that no listener can read
├── SendFailed
│   ├── SendRefused               the broker does not have the message
│   │   └── Unroutable            no queue takes it, or there is no such destination
│   └── SendUnknown               the broker may have the message
├── RequestTimeout                no answer in time
├── RequestUnknown                the connection was lost: it may have been handled
├── RemoteError                   the handler at the other end failed for good
├── AlreadySettled                a delivery ends once
├── DeliveryLost                  the broker took the delivery back
├── BrokerUnavailable             no connection within the time allowed
└── Closed                        used after it was closed
"""

__all__ = [
    "AlreadySettled",
    "AmbiguousListener",
    "BrokerUnavailable",
    "Closed",
    "ConfigurationError",
    "ConversionError",
    "DeliveryLost",
    "InvalidMessage",
    "MessagingError",
    "PayloadTypeError",
    "Poison",
    "RemoteError",
    "RequestTimeout",
    "RequestUnknown",
    "SendFailed",
    "SendRefused",
    "SendUnknown",
    "TopologyMismatch",
    "UnknownSetting",
    "Unroutable",
    "UnsupportedCapability",
]


class MessagingError(Exception):
    """The root of all errors of this library."""


class ConfigurationError(MessagingError):
    """The program or its settings cannot work as they are."""


class UnsupportedCapability(ConfigurationError):
    """The broker at hand cannot keep what was asked for."""


class UnknownSetting(ConfigurationError):
    """There is no setting of that name."""


class AmbiguousListener(ConfigurationError):
    """Two listeners claim the same messages."""


class TopologyMismatch(ConfigurationError):
    """The broker holds something else under a declared name."""


class InvalidMessage(MessagingError, ValueError):
    """A message that no broker may be given."""


class PayloadTypeError(InvalidMessage, TypeError):
    """A payload of a type that its destination does not carry."""


class ConversionError(MessagingError):
    """A payload that cannot become bytes, or bytes that cannot become a payload."""


class Poison(ConversionError):
    """A message that no listener can read."""


class SendFailed(MessagingError):
    """The message was not confirmed."""


class SendRefused(SendFailed):
    """The broker does not have the message: sending it again makes no duplicate."""


class Unroutable(SendRefused):
    """No queue takes the message, or its destination does not exist."""


class SendUnknown(SendFailed):
    """The broker may have the message: sending it again may make a duplicate."""


class RequestTimeout(MessagingError):
    """No answer came in time."""


class RequestUnknown(MessagingError):
    """The connection was lost while waiting: the request may have been handled."""


class RemoteError(MessagingError):
    """The handler at the other end failed for good."""

    def __init__(self, type: str, reason: str) -> None:  # noqa: A002 -- the public name of the field
        super().__init__(f"{type}: {reason}" if reason else type)
        self.type = type
        self.reason = reason


class AlreadySettled(MessagingError):
    """The delivery has been settled before."""


class DeliveryLost(MessagingError):
    """The broker took the delivery back; another consumer may have it."""


class BrokerUnavailable(MessagingError):
    """The broker could not be reached within the time allowed."""


class Closed(MessagingError):
    """The object was used after it was closed."""
