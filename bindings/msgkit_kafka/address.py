"""Where a Kafka is: `kafka://user:password@host1:9092,host2?session_timeout=10`, and options beside it."""

import re
import ssl
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from types import MappingProxyType
from typing import NamedTuple, cast, get_args
from urllib.parse import unquote

from msgkit.errors import ConfigurationError, UnknownSetting
from msgkit_kafka.options import Auth, Compression, Kafka, Token, topic_name
from msgkit_kafka.reading import Said
from msgkit_kafka.tls import Tls
from msgkit_kafka.wire.errors import LoginRefused, NotWritten
from msgkit_kafka.wire.records import is_available
from msgkit_kafka.wire.sasl import Bearer, Plain, Sasl, Scram

__all__ = ["Address", "KafkaSettings"]

_SECURE = {"kafka": False, "kafkas": True}
_PORT = 9092
_MAX_PORT = 65535
_NONE: Mapping[str, object] = MappingProxyType({})
_SHAPE = "it is kafka://user:password@host:port,host:port?option=value"
_ENCODE = "in a user, a password and a value, / is written %2F, ? %3F, # %23 and @ %40"
#: What has a place of its own in a URL.
_ELSEWHERE = ("user", "password")
_OF_TLS = ("ca_file", "cert_file", "key_file", "key_password", "verify", "server_hostname")
_REST = re.compile(r"(?P<authority>[^/?#]*)/?(?:\?(?P<query>[^#]*))?")
_ADDRESS = re.compile(
    r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+(?:%[^\[\]\s]+)?)\]|(?P<host>[^\[\]:\s]+))(?::(?P<port>[0-9]{1,5}))?"
)


class Address(NamedTuple):
    """Where somebody listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaSettings:
    """All that is said of one Kafka, checked and whole."""

    #: Those that are asked first; they tell of the others.
    servers: tuple[Address, ...]
    #: None: the broker does not ask who we are, or a certificate says it.
    auth: Auth | None = None
    user: str = ""
    password: str = field(default="", repr=False)
    token: Token = field(default="", repr=False)
    client_id: str | None = None
    #: Seconds.
    linger: float = 0.0
    compression: Compression = "none"
    #: Seconds.
    session_timeout: float = 10.0
    #: Seconds.
    request_timeout: float = 10.0
    rack: str = ""
    instance: str | None = None
    #: Do the brokers speak TLS?
    secure: bool = False
    certificates: Tls = field(default_factory=Tls)
    server_hostname: str | None = None

    @property
    def tls(self) -> ssl.SSLContext | None:
        """What connections are secured with, or None. Made anew each time: certificates may be renewed meanwhile."""
        return self.certificates.context() if self.secure else None

    async def login(self) -> Sasl | None:
        """Return what proves who we are, for one connection; None where nobody asks.

        :raises NotWritten: when no token can be had now
        :raises LoginRefused: when what there is proves nothing
        """
        match self.auth:
            case None:
                return None
            case "plain":
                return Plain(self.user, self.password)
            case "scram-sha-256":
                return Scram(self.user, self.password, "sha256")
            case "scram-sha-512":
                return Scram(self.user, self.password, "sha512")
            case "oauthbearer":
                return Bearer(await _fetched(self.token))

    @classmethod
    def parse(cls, url: str, options: Mapping[str, object] = _NONE) -> "KafkaSettings":
        """Read a URL, and options given beside it, which go first.

        :raises UnknownSetting: naming the nearest option there is
        :raises ConfigurationError: naming what is wrong, without a password
        """
        scheme, authority, query = _split(url)
        hosts = authority.rpartition("@")[2] if authority else "localhost"
        _check_names(options, tuple(Kafka.__annotations__))
        said = Said({**_identity(authority), **_parameters(query), **options})
        instance = said.text("instance")
        auth, user, password, token = _login(said)
        settings = cls(
            servers=_addresses(hosts),
            auth=auth,
            user=user,
            password=password,
            token=token,
            client_id=said.text("client_id"),
            linger=said.number("linger", 0.0, least=0.0, most=60.0),
            compression=cast("Compression", said.choice("compression", get_args(Compression), "none")),
            session_timeout=said.number("session_timeout", 10.0, least=1.0, most=1800.0),
            request_timeout=said.number("request_timeout", 10.0, least=0.1, most=300.0),
            rack=said.text("rack") or "",
            instance=instance and topic_name(instance, "Kafka's option instance"),
            secure=_SECURE[scheme],
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
        if not is_available(settings.compression):
            raise ConfigurationError(f"Kafka's option compression={settings.compression} takes pip install cramjam")
        return settings


# -- the URL, of which no part is shown: any may be a password that was not encoded


def _split(url: str) -> tuple[str, str, str]:
    """Return scheme, authority and query."""
    scheme, _, rest = url.partition("://")
    found = _REST.fullmatch(rest)
    if scheme.lower() not in _SECURE or found is None:
        msg = f"this is no URL of a Kafka: {_SHAPE}; {_ENCODE}"
        raise ConfigurationError(msg)
    return scheme.lower(), found["authority"], found["query"] or ""


def _identity(authority: str) -> dict[str, object]:
    """Return who connects, as far as it is said."""
    credentials, at, _ = authority.rpartition("@")
    if not at:
        return {}
    user, colon, password = credentials.partition(":")
    if not user:
        msg = f"Kafka's URL names no user before the @: {_SHAPE}"
        raise ConfigurationError(msg)
    said: dict[str, object] = {"user": _decoded(user, "user")}
    if colon:
        said["password"] = _decoded(password, "password")
    return said


def _parameters(query: str) -> dict[str, object]:
    if "@" in query:
        msg = f"Kafka's URL has an @ after its ?: {_ENCODE}"
        raise ConfigurationError(msg)
    said: dict[str, object] = {}
    for pair in query.split("&"):
        encoded, _, value = pair.partition("=")
        name = _decoded(encoded, "name of an option")
        if name in said:
            msg = f"Kafka's URL says the option {name} twice"
            raise ConfigurationError(msg)
        if pair:
            said[name] = _decoded(value, name)
    _check_names(said, [name for name in Kafka.__annotations__ if name not in _ELSEWHERE])
    return said


def _decoded(text: str, what: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        msg = f"the {what} in Kafka's URL is no UTF-8 when its %-codes are resolved"
        raise ConfigurationError(msg) from None


def _addresses(text: str) -> tuple[Address, ...]:
    found: list[Address] = []
    for number, each in enumerate(text.split(","), 1):
        match = _ADDRESS.fullmatch(each)
        address = match and Address(unquote(match["ipv6"] or match["host"]), int(match["port"] or _PORT))
        if address is None or not 0 < address.port <= _MAX_PORT:
            msg = f"Kafka's URL: address {number} is no host, host:port or [IPv6]:port; {_SHAPE}; {_ENCODE}"
            raise ConfigurationError(msg)
        found.append(address)
    return tuple(dict.fromkeys(found))


# -- what was said, taken together


def _check_names(said: Iterable[str], known: Sequence[str]) -> None:
    for name in said:
        if name in known:
            continue
        if name in _ELSEWHERE:
            msg = f"{name!r} is no option after the ? of Kafka's URL: {_SHAPE}"
            raise UnknownSetting(msg)
        nearest = get_close_matches(name.lower(), known, 1, 0.0)[0]
        msg = f"Kafka has no option {name!r}; {nearest!r} is the nearest of {', '.join(sorted(known))}"
        raise UnknownSetting(msg)


def _login(said: Said) -> tuple[Auth | None, str, str, Token]:
    """Return how it is proved who we are, and what by."""
    user, password, token = said.text("user"), said.secret("password"), cast("Token | None", said.token("token"))
    usual = "oauthbearer" if token is not None else "plain" if user is not None else None
    auth = cast("Auth | None", said.choice("auth", get_args(Auth), usual))
    if auth == "oauthbearer":
        if token is None:
            raise ConfigurationError("Kafka's option auth=oauthbearer takes a token: set the option token")
        if user is not None or password is not None:
            raise ConfigurationError("Kafka's option token says who we are; leave user and password out")
        return auth, "", "", token
    if token is not None:
        raise ConfigurationError(f"Kafka's option token is for auth=oauthbearer, not for {auth}")
    if auth is not None and (user is None or password is None):
        who = "no user" if user is None else f"the user {user!r}, and no password"
        msg = f"Kafka's URL has {who}: write kafka://user:password@host, or set the options user and password"
        raise ConfigurationError(msg)
    if auth is None and password is not None:
        raise ConfigurationError("Kafka's option password is for a user: set the option user as well")
    return auth, user or "", password or "", ""


async def _fetched(token: Token) -> str:
    if isinstance(token, str):
        return token
    try:
        coming = cast("object", token())
        fetched = await cast("Awaitable[object]", coming) if isinstance(coming, Awaitable) else None
    except Exception as error:
        # Its text may hold a secret. And whoever gives tokens out may be back soon.
        raise NotWritten(f"the function of Kafka's option token failed with {type(error).__name__}") from error
    if not isinstance(fetched, str):
        raise LoginRefused("Kafka's option token must be text or an async function that returns it")
    return fetched


def _check_security(settings: KafkaSettings, said: Said) -> None:
    """Refuse what would do nothing, and try out what is there."""
    if settings.secure:
        settings.certificates.context()
    elif useless := [name for name in _OF_TLS if name in said]:
        msg = f"Kafka's option {useless[0]} is for kafkas://, and kafka:// is neither encrypted nor checked"
        raise ConfigurationError(msg)
