"""Messaging for Python: write publishers and listeners once, choose the broker in settings."""

from typing import TYPE_CHECKING  # noqa: TID251 -- Json is loaded when it is asked for; no cycle hides here

from msgkit.application import Application
from msgkit.converter import Converter
from msgkit.envelope import Envelope, Receipt
from msgkit.interception import HandleInterceptor, SendInterceptor
from msgkit.listener import Batch, Header, ListenerOptions, Listeners, checker, listener
from msgkit.message import Delivery, Message, SendOptions
from msgkit.policy import Backoff
from msgkit.settings import BrokerSettings, ExchangeSettings, QueueSettings, Settings
from msgkit.settlement import Accept, Reject, Retry, Settlement
from msgkit.template import (
    Handle,
    MessageTemplate,
    Pipeline,
    Prepared,
    Receiver,
    Sender,
    SyncTemplate,
)
from msgkit.topology import Destination, Exchange, Queue, Route
from msgkit.values import Headers, Option, Seconds

if TYPE_CHECKING:
    from msgkit_json import Json

__all__ = [
    "Accept",
    "Application",
    "Backoff",
    "Batch",
    "BrokerSettings",
    "Converter",
    "Delivery",
    "Destination",
    "Envelope",
    "Exchange",
    "ExchangeSettings",
    "Handle",
    "HandleInterceptor",
    "Header",
    "Headers",
    "Json",
    "ListenerOptions",
    "Listeners",
    "Message",
    "MessageTemplate",
    "Option",
    "Pipeline",
    "Prepared",
    "Queue",
    "QueueSettings",
    "Receipt",
    "Receiver",
    "Reject",
    "Retry",
    "Route",
    "Seconds",
    "SendInterceptor",
    "SendOptions",
    "Sender",
    "Settings",
    "Settlement",
    "SyncTemplate",
    "checker",
    "listener",
]


def __getattr__(name: str) -> object:
    """Json comes from its own package, which depends on this one."""
    if name == "Json":
        from msgkit_json import Json  # noqa: PLC0415 -- see above

        return Json
    msg = f"module 'msgkit' has no attribute {name!r}"
    raise AttributeError(msg)
