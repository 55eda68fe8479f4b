"""Where a RabbitMQ is: `amqp://user:password@host1:5672,host2/vhost?heartbeat=5`, and options beside it."""

import re
import ssl
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from os import PathLike
from types import MappingProxyType
from typing import Literal, NamedTuple, TypedDict, cast, get_args
from urllib.parse import unquote

from msgkit.errors import ConfigurationError, UnknownSetting
from msgkit_rabbitmq.reading import Said
from msgkit_rabbitmq.tls import Tls

__all__ = ["Address", "Page", "Rabbit", "RabbitSettings"]

_Auth = Literal["plain", "external"]
_PORTS = {"amqp": 5672, "amqps": 5671}
_MAX_VHOST = 255
_MAX_PORT = 65535
_GUEST = "guest"
_MANAGEMENT = "management"
_NONE: Mapping[str, object] = MappingProxyType({})
_SHAPE = "it is amqp://user:password@host:port/vhost?option=value"
_ENCODE = "in a user, a password, a vhost and a value, / is written %2F, ? %3F, # %23 and @ %40"
_WHY_SO_OFTEN = ": a peer that is gone is to be noticed within 15 seconds, which takes two heartbeats"
#: What has a place of its own in a URL.
_ELSEWHERE = ("user", "password", "vhost")
_OF_TLS = ("ca_file", "cert_file", "key_file", "key_password", "verify", "server_hostname")
_REST = re.compile(r"(?P<authority>[^/?#]*)(?:/(?P<path>[^?#]*))?(?:\?(?P<query>[^#]*))?")
_ADDRESS = re.compile(
    r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+(?:%[^\[\]\s]+)?)\]|(?P<host>[^\[\]:\s]+))(?::(?P<port>[0-9]{1,5}))?"
)
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


class Address(NamedTuple):
    """Where somebody listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


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
    certificates: Tls = field(default_factory=Tls)
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
        scheme, authority, path, query = _split(url)
        hosts = authority.rpartition("@")[2] if authority else "localhost"
        _check_names(options, tuple(Rabbit.__annotations__))
        said = Said({**_identity(authority, path), **_parameters(query), **options})
        auth = cast("_Auth", said.choice("auth", get_args(_Auth)))
        user, password = _login(said, auth)
        settings = cls(
            addresses=_addresses(hosts, _PORTS[scheme], "RabbitMQ's URL"),
            vhost=_fitting(said.text("vhost") or "/"),
            user=user,
            password=password,
            heartbeat=said.whole("heartbeat", 5, least=1, most=7, why=_WHY_SO_OFTEN),
            connect_timeout=said.number("connect_timeout", 10.0, least=0.1, most=300.0),
            consumer_timeout=said.number("consumer_timeout", 1800.0, least=1.0, most=float("inf")),
            management=_page(said.secret("management"), user, password),
            connection_name=said.text("connection_name"),
            auth=auth,
            secure=scheme == "amqps",
            certificates=Tls(
                ca_file=said.file("ca_file"),
                cert_file=said.file("cert_file"),
                key_file=said.file("key_file"),
                key_password=said.secret("key_password"),
                verify=said.truth("verify", default=True),
            ),
            server_hostname=said.text("server_hostname"),
        )
        _check_security(settings, said)
        return settings


# -- the URL, of which no part is shown: any may be a password that was not encoded


def _split(url: str) -> tuple[str, str, str, str]:
    """Return scheme, authority, path and query."""
    scheme, _, rest = url.partition("://")
    found = _REST.fullmatch(rest)
    if scheme.lower() not in _PORTS or found is None:
        msg = f"this is no URL of a RabbitMQ: {_SHAPE}; {_ENCODE}"
        raise ConfigurationError(msg)
    return scheme.lower(), found["authority"], found["path"] or "", found["query"] or ""


def _identity(authority: str, path: str) -> dict[str, object]:
    """Return who connects and to which vhost, as far as it is said."""
    said: dict[str, object] = {}
    credentials, at, _ = authority.rpartition("@")
    if at:
        user, colon, password = credentials.partition(":")
        if not user:
            msg = f"RabbitMQ's URL names no user before the @: {_SHAPE}"
            raise ConfigurationError(msg)
        said["user"] = _decoded(user, "user")
        if colon:
            said["password"] = _decoded(password, "password")
    if "@" in path or ("/" in path and path != "/"):
        msg = f"RabbitMQ's URL has more than a vhost after its first /: {_SHAPE}; {_ENCODE}"
        raise ConfigurationError(msg)
    if path:
        said["vhost"] = _decoded(path, "vhost")
    return said


def _parameters(query: str) -> dict[str, object]:
    pairs = [pair.partition("=")[::2] for pair in query.split("&") if pair]
    if any("@" in name or ("@" in value and name != _MANAGEMENT) for name, value in pairs):
        msg = f"RabbitMQ's URL has an @ after its ?: {_ENCODE}"
        raise ConfigurationError(msg)
    said: dict[str, object] = {}
    for encoded, value in pairs:
        name = _decoded(encoded, "name of an option")
        if name in said:
            msg = f"RabbitMQ's URL says the option {name} twice"
            raise ConfigurationError(msg)
        said[name] = _decoded(value, name)
    _check_names(said, [name for name in Rabbit.__annotations__ if name not in _ELSEWHERE])
    return said


def _decoded(text: str, what: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        msg = f"the {what} in RabbitMQ's URL is no UTF-8 when its %-codes are resolved"
        raise ConfigurationError(msg) from None


def _addresses(text: str, port: int, where: str) -> tuple[Address, ...]:
    found: list[Address] = []
    for number, each in enumerate(text.split(","), 1):
        match = _ADDRESS.fullmatch(each)
        address = match and Address(unquote(match["ipv6"] or match["host"]), int(match["port"] or port))
        if address is None or not 0 < address.port <= _MAX_PORT:
            msg = f"{where}: address {number} is no host, host:port or [IPv6]:port; {_SHAPE}; {_ENCODE}"
            raise ConfigurationError(msg)
        found.append(address)
    return tuple(dict.fromkeys(found))


# -- what was said, taken together


def _check_names(said: Iterable[str], known: Sequence[str]) -> None:
    for name in said:
        if name in known:
            continue
        if name in _ELSEWHERE:
            msg = f"{name!r} is no option after the ? of RabbitMQ's URL: {_SHAPE}"
            raise UnknownSetting(msg)
        nearest = get_close_matches(name.lower(), known, 1, 0.0)[0]
        msg = f"RabbitMQ has no option {name!r}; {nearest!r} is the nearest of {', '.join(sorted(known))}"
        raise UnknownSetting(msg)


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
    address, *more = _addresses(found["host"], 443 if secure else 80, "RabbitMQ's option management")
    if more:
        msg = "RabbitMQ's option management takes one host: each node of a cluster knows of all queues"
        raise ConfigurationError(msg)
    if found["user"] is not None:
        user, password = _decoded(found["user"], _MANAGEMENT), _decoded(found["password"], _MANAGEMENT)
    return Page(address=address, secure=secure, path=found["path"].rstrip("/"), user=user, password=password)


def _check_security(settings: RabbitSettings, said: Said) -> None:
    """Refuse what would do nothing, and try out what is there."""
    page = settings.management
    if settings.auth == "external" and not (settings.secure and settings.certificates.cert_file):
        msg = "RabbitMQ's option auth=external means that a certificate says who we are: use amqps:// and set cert_file"
        raise ConfigurationError(msg)
    if settings.secure or (page is not None and page.secure):
        settings.certificates.context()
    elif useless := [name for name in _OF_TLS if name in said]:
        msg = f"RabbitMQ's option {useless[0]} is for amqps://, and amqp:// is neither encrypted nor checked"
        raise ConfigurationError(msg)
