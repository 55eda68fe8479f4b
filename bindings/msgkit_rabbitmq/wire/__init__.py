"""AMQP 0-9-1 as RabbitMQ speaks it, on asyncio: frames, channels, connections. It knows nothing of msgkit."""

from msgkit_rabbitmq.wire.channel import Channel
from msgkit_rabbitmq.wire.connection import Connection
from msgkit_rabbitmq.wire.errors import (
    ACCESS_REFUSED,
    NOT_FOUND,
    ChannelClosed,
    ConnectionLost,
    LoginRefused,
    OutOfReach,
    WireError,
)
from msgkit_rabbitmq.wire.incoming import Delivered, Returned
from msgkit_rabbitmq.wire.login import Login
from msgkit_rabbitmq.wire.properties import Properties, decode_properties, encode_properties
from msgkit_rabbitmq.wire.states import QueueState
from msgkit_rabbitmq.wire.tables import SHORT, MalformedTable, Table, decode_table, encode_table

__all__ = [
    "ACCESS_REFUSED",
    "NOT_FOUND",
    "SHORT",
    "Channel",
    "ChannelClosed",
    "Connection",
    "ConnectionLost",
    "Delivered",
    "Login",
    "LoginRefused",
    "MalformedTable",
    "OutOfReach",
    "Properties",
    "QueueState",
    "Returned",
    "Table",
    "WireError",
    "decode_properties",
    "decode_table",
    "encode_properties",
    "encode_table",
]
