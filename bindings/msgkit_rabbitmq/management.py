"""The management page's API, for what AMQP cannot tell: which routes lead to a queue."""

import asyncio
import json
import socket
import ssl
from base64 import b64encode
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from types import MappingProxyType
from typing import NamedTuple, cast
from urllib.parse import quote

from msgkit.errors import ConfigurationError
from msgkit_rabbitmq.address import Page, RabbitSettings

__all__ = ["Bound", "Management", "NoPage"]

_TIMEOUT = 10.0
_OK, _UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND = 200, 401, 403, 404
#: What a page says whose broker ends, or has just begun.
_ENDING = (500, 503)
_OBJECT_NOT_FOUND = "Object Not Found"


class NoPage(ConfigurationError):
    """No page answers there: the address is wrong, or the broker is about to end."""


class Bound(NamedTuple):
    """A route that is there."""

    source: str
    key: str
    arguments: Mapping[str, object]


class Management:
    """One management page. Nothing is kept open between questions."""

    __slots__ = ("_page", "_settings")

    def __init__(self, settings: RabbitSettings) -> None:
        if settings.management is None:
            msg = "this takes RabbitMQ's management page: set the option management, such as http://host:15672"
            raise ConfigurationError(msg)
        self._settings = settings
        self._page: Page = settings.management

    async def bindings_of(self, queue: str) -> list[Bound]:
        """Return what routes to a queue, but for the default exchange; nothing if there is no such queue.

        :raises NoPage: when nothing answers there, saying why
        :raises ConfigurationError: when the page does not answer that, saying why
        """
        path = f"{quote(self._page.path, safe='/%')}/api/queues/{_part(self._settings.vhost)}/{_part(queue)}/bindings"
        try:
            async with asyncio.timeout(_TIMEOUT):
                status, body = await asyncio.to_thread(self._get, path)
        except (OSError, HTTPException, UnicodeError) as error:
            raise NoPage(self._said(_told(error))) from error
        return [_bound(each) for each in self._understood(status, body) if each["source"]]

    def _get(self, path: str) -> tuple[int, bytes]:
        login = b64encode(f"{self._page.user}:{self._page.password}".encode()).decode()
        connection = HTTPConnection(*self._page.address, timeout=_TIMEOUT)
        try:
            connection.sock = self._connected()
            connection.request("GET", path, headers={"Authorization": f"Basic {login}", "Accept": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def _connected(self) -> socket.socket:
        plain = socket.create_connection(self._page.address, _TIMEOUT)
        if not self._page.secure:
            return plain
        host = self._page.address.host
        # The broker's own machine has the broker's own certificate.
        named = self._settings.server_hostname if host in {there.host for there in self._settings.addresses} else None
        try:
            return self._settings.certificates.context().wrap_socket(plain, server_hostname=named or host)
        except BaseException:
            plain.close()
            raise

    def _understood(self, status: int, body: bytes) -> list[dict[str, object]]:
        answer = _json(body)
        reason = str(answer.get("reason", "")) if isinstance(answer, dict) else ""
        if status == _OK and isinstance(answer, list):
            return cast("list[dict[str, object]]", answer)
        if status == _NOT_FOUND and isinstance(answer, dict) and answer.get("error") == _OBJECT_NOT_FOUND:
            return []
        if status in (_UNAUTHORIZED, _FORBIDDEN):
            why = (
                f"refuses the user {self._page.user!r} ({reason or status}): it needs the right password, "
                f"the tag `management` and access to the vhost {self._settings.vhost!r}"
            )
            raise ConfigurationError(self._said(why))
        why = f"answers {status}{f' ({reason})' if reason else ''}, as no management page of RabbitMQ does"
        raise (NoPage if status in _ENDING else ConfigurationError)(self._said(why))

    def _said(self, why: str) -> str:
        scheme = "https" if self._page.secure else "http"
        return f"RabbitMQ's management page at {scheme}://{self._page.address}{self._page.path} {why}"


def _told(error: Exception) -> str:
    """Say what went wrong, and what to look at."""
    match error:
        case TimeoutError():
            return f"does not answer within {_TIMEOUT:g} seconds"
        case socket.gaierror() | UnicodeError():
            return "has a host that nobody knows"
        case ConnectionRefusedError():
            return "is not there: is the plugin on (rabbitmq-plugins enable rabbitmq_management), and the port right?"
        case ssl.SSLError():
            return f"cannot be spoken to with TLS ({_reason(error)}): look at https://, ca_file and server_hostname"
        case HTTPException() | ConnectionError():
            return "does not speak HTTP there: is the port that of AMQP, or of https://?"
        case _:
            return f"cannot be reached: {error}"


def _reason(error: ssl.SSLError) -> str:
    return error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else str(error.reason)


def _bound(found: Mapping[str, object]) -> Bound:
    arguments = cast("dict[str, object]", found["arguments"])
    return Bound(str(found["source"]), str(found["routing_key"]), MappingProxyType(arguments))


def _part(name: str) -> str:
    return quote(name, safe="")


def _json(body: bytes) -> dict[str, object] | list[object] | None:
    try:
        found: object = json.loads(body)
    except ValueError:
        return None
    if isinstance(found, dict):
        return cast("dict[str, object]", found)
    return cast("list[object]", found) if isinstance(found, list) else None
