"""Where a RabbitMQ is: `amqp://user:password@host1:5672,host2/vhost?heartbeat=5`, and options beside it."""

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from os import PathLike
from types import MappingProxyType
from typing import Literal, TypedDict, cast, get_args

from msgkit.errors import ConfigurationError
from msgkit.reaching import Address, Form, Said, Tls

__all__ = ["Page", "Rabbit", "RabbitSettings"]

_Auth = Literal["plain", "external"]
_PORTS = {"amqp": 5672, "amqps": 5671}
_MAX_VHOST = 255
_MAX_PORT = 65535
_GUEST = "guest"
_MANAGEMENT = "management"
_NONE: Mapping[str, object] = MappingProxyType({})
_WHY_SO_OFTEN = ": a peer that is gone is to be noticed within 15 seconds, which takes two heartbeats"
#: Up to the last @: what stands between may have been decoded already.
_PAGE = re.compile(
    r"(?P<scheme>https?)://(?:(?P<user>[^:@]+):(?P<password>.*)@)?(?P<host>[^/@?#]+)(?P<path>(?:/[^@?#]*)?)",
    re.IGNORECASE | re.DOTALL,
)


class Rabbit(TypedDict, total=False):
    """What can be said of a RabbitMQ beside its URL; it goes before what the URL says."""

    #: Who connects: guest, if nobody is named.
    user: str
    #: Its password. It is best said here, and comes from a secret file then.
    password: str
    #: The virtual host.
    vhost: str
    #: Whole seconds between signs of life, 1 to 7: a peer that gives none for two of them is gone.
    heartbeat: int
    #: Seconds in which one host must answer.
    connect_timeout: float
    #: Seconds for which the broker lets a message be held: as its own setting of that name says. inf: for ever.
    consumer_timeout: float
    #: Where the management page is, http://host:15672: it alone can tell which routes are there.
    management: str
    #: What the management page shows for our connections.
    connection_name: str
    #: "external": the client's certificate says who it is.
    auth: _Auth
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
    #: The name that the broker's certificate bears, where the URL has another.
    server_hostname: str


_FORM = Form(
    broker="RabbitMQ",
    plain="amqp",
    secure="amqps",
    ports=_PORTS,
    shape="amqp://user:password@host:port/vhost?option=value",
    options=tuple(Rabbit.__annotations__),
    elsewhere=("user", "password", "vhost"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Where the management page is, and who looks at it."""

    address: Address
    #: Does it speak TLS?
    secure: bool
    #: What stands before `/api`.
    path: str
    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RabbitSettings:
    """All that is said of one RabbitMQ, checked and whole."""

    addresses: tuple[Address, ...]
    vhost: str = "/"
    user: str = _GUEST
    password: str = field(default=_GUEST, repr=False)
    #: Seconds.
    heartbeat: int = 5
    #: Seconds, for one address.
    connect_timeout: float = 10.0
    #: Seconds for which the broker lets a message be held.
    consumer_timeout: float = 1800.0
    management: Page | None = None
    connection_name: str | None = None
    auth: _Auth = "plain"
    #: Does the broker speak TLS?
    secure: bool = False
    certificates: Tls = field(default_factory=partial(Tls, broker=_FORM.broker))
    server_hostname: str | None = None

    @property
    def tls(self) -> ssl.SSLContext | None:
        """What connections are secured with, or None. Made anew each time: certificates may be renewed meanwhile."""
        return self.certificates.context() if self.secure else None

    @classmethod
    def parse(cls, url: str, options: Mapping[str, object] = _NONE) -> "RabbitSettings":
        """Read a URL, and options given beside it, which go first.

        :raises UnknownSetting: naming the nearest option there is
        :raises ConfigurationError: naming what is wrong, without a password
        """
        parts = _FORM.split(url)
        _FORM.check_names(options)
        written = _FORM.parameters(parts.query, with_at=[_MANAGEMENT])
        said = Said(_FORM.broker, {**parts.credentials, **_vhost(parts.path), **written, **options})
        auth = cast("_Auth", said.choice("auth", get_args(_Auth), "plain"))
        user, password = _login(said, auth)
        settings = cls(
            addresses=_FORM.addresses(parts.hosts, _PORTS[parts.scheme]),
            vhost=_fitting(said.text("vhost") or "/"),
            user=user,
            password=password,
            heartbeat=said.whole("heartbeat", 5, least=1, most=7, why=_WHY_SO_OFTEN),
            connect_timeout=said.number("connect_timeout", 10.0, least=0.1, most=300.0),
            consumer_timeout=said.number("consumer_timeout", 1800.0, least=1.0, most=float("inf")),
            management=_page(said.secret("management"), user, password),
            connection_name=said.text("connection_name"),
            auth=auth,
            secure=parts.scheme == _FORM.secure,
            certificates=Tls.of(said),
            server_hostname=said.text("server_hostname"),
        )
        _check_security(settings, said)
        return settings


# -- what was said, taken together


def _vhost(path: str) -> dict[str, object]:
    if "@" in path or ("/" in path and path != "/"):
        raise _FORM.wrong_part("more than a vhost after its first /")
    return {"vhost": _FORM.decoded(path, "vhost")} if path else {}


def _login(said: Said, auth: _Auth) -> tuple[str, str]:
    user, password = said.text("user") or _GUEST, said.secret("password")
    if password is None and user != _GUEST and auth == "plain":
        msg = f"RabbitMQ's user {user!r} has no password: write amqp://user:password@host, or set the option password"
        raise ConfigurationError(msg)
    return user, password if password is not None else _GUEST if user == _GUEST else ""


def _fitting(vhost: str) -> str:
    if len(vhost.encode()) > _MAX_VHOST:
        msg = f"the name of RabbitMQ's vhost has more than {_MAX_VHOST} bytes: {vhost[:40]!r}…"
        raise ConfigurationError(msg)
    return vhost


def _page(url: str | None, user: str, password: str) -> Page | None:
    if url is None:
        return None
    found = _PAGE.fullmatch(url)
    if found is None:
        msg = "RabbitMQ's option management must be the address of its management page, such as http://host:15672"
        raise ConfigurationError(msg)
    secure = found["scheme"].lower() == "https"
    address, *more = _FORM.addresses(found["host"], 443 if secure else 80, "RabbitMQ's option management")
    if more:
        msg = "RabbitMQ's option management takes one host: each node of a cluster knows of all queues"
        raise ConfigurationError(msg)
    if found["user"] is not None:
        user, password = _FORM.decoded(found["user"], _MANAGEMENT), _FORM.decoded(found["password"], _MANAGEMENT)
    return Page(address=address, secure=secure, path=found["path"].rstrip("/"), user=user, password=password)


def _check_security(settings: RabbitSettings, said: Said) -> None:
    """Refuse what would do nothing, and try out what is there."""
    page = settings.management
    if settings.auth == "external" and not (settings.secure and settings.certificates.cert_file):
        msg = "RabbitMQ's option auth=external means that a certificate says who we are: use amqps:// and set cert_file"
        raise ConfigurationError(msg)
    if settings.secure or (page is not None and page.secure):
        settings.certificates.context()
    else:
        _FORM.refuse_tls(said)
