"""Getting in: who we are, what we can, and what it means when nobody lets us."""

import os
import platform
import ssl
from dataclasses import dataclass, field

from msgkit_rabbitmq.wire.errors import ConnectionLost, LoginRefused, WireError

__all__ = ["GREETING", "Login", "about", "no_amqp", "not_reached", "secret", "words"]

GREETING = b"AMQP\x00\x00\x09\x01"
_CAPABILITIES = (
    "publisher_confirms",
    "exchange_exchange_bindings",
    "basic.nack",
    "consumer_cancel_notify",
    "connection.blocked",
    "authentication_failure_close",
)
_TLS_ALERT = b"\x15\x03"
_SHOWN = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """What a broker wants to know before it talks."""

    user: str
    password: str = field(repr=False)
    vhost: str = "/"
    #: What the broker calls the connection where it lists them.
    name: str = "msgkit"
    mechanism: str = "PLAIN"
    tls: ssl.SSLContext | None = None
    #: The name that the certificate must bear, if it is not the host's.
    server_hostname: str | None = None
    #: Seconds; signs of life are sent and expected twice as often.
    heartbeat: float = 5.0
    #: Seconds to get in.
    timeout: float = 10.0


def about(login: Login) -> dict[str, object]:
    """Return what we say of ourselves."""
    return {
        "product": "msgkit",
        "platform": f"{platform.python_implementation()} {platform.python_version()}",
        "connection_name": login.name,
        "capabilities": dict.fromkeys(_CAPABILITIES, True),
    }


def secret(login: Login) -> bytes:
    """Return what proves who we are: nothing, when a certificate does."""
    return f"\0{login.user}\0{login.password}".encode() if login.mechanism == "PLAIN" else b""


def words(offered: object) -> list[str]:
    """Return the mechanisms that a broker offers."""
    return offered.decode("ascii", "replace").split() if isinstance(offered, bytes) else []


def not_reached(error: Exception, login: Login) -> WireError:
    """Say why there is nobody to talk to."""
    match error:
        case TimeoutError():
            return ConnectionLost(f"no answer within {login.timeout:g} s")
        case ssl.SSLEOFError() | ssl.SSLZeroReturnError():
            return ConnectionLost("the broker hung up while TLS began")
        case ssl.SSLError():
            return LoginRefused(0, f"TLS failed: {error.strerror or error}")
        case OSError():
            return ConnectionLost(_of_the_system(error))
        case _:
            return LoginRefused(0, f"its name is none: {error}")


def _of_the_system(error: OSError) -> str:
    said = error.strerror or str(error)
    meant = os.strerror(error.errno) if error.errno is not None and error.errno > 0 else said
    # asyncio says where it failed, and not why.
    return said if meant in said else f"{meant}: {said}"


def no_amqp(answer: bytes) -> LoginRefused:
    """Say what answered to our greeting."""
    if answer.startswith(b"AMQP"):
        return LoginRefused(0, "the broker does not speak AMQP 0-9-1")
    if answer.startswith(_TLS_ALERT):
        return LoginRefused(0, "this is no AMQP: it wants TLS")
    return LoginRefused(0, f"this is no AMQP: it answered {answer[:_SHOWN]!r}")
