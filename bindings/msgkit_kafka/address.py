"""Where a Kafka is: `kafka://user:password@host1:9092,host2?session_timeout=10`, and options beside it."""

import ssl
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import cast, get_args

from msgkit.errors import ConfigurationError
from msgkit.reaching import Address, Form, Said, Tls
from msgkit_kafka.options import Auth, Compression, Kafka, Token, topic_name
from msgkit_kafka.wire.errors import LoginRefused, NotWritten
from msgkit_kafka.wire.records import is_available
from msgkit_kafka.wire.sasl import Bearer, Plain, Sasl, Scram

__all__ = ["KafkaSettings"]

_NONE: Mapping[str, object] = MappingProxyType({})
_PORT = 9092
_FORM = Form(
    broker="Kafka",
    plain="kafka",
    secure="kafkas",
    ports={"kafka": _PORT, "kafkas": _PORT},
    shape="kafka://user:password@host:port,host:port?option=value",
    options=tuple(Kafka.__annotations__),
)


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
    certificates: Tls = field(default_factory=partial(Tls, broker=_FORM.broker))
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
        parts = _FORM.split(url)
        if parts.path:
            raise _FORM.wrong_url()
        _FORM.check_names(options)
        said = Said(_FORM.broker, {**parts.credentials, **_FORM.parameters(parts.query), **options})
        instance = said.text("instance")
        auth, user, password, token = _login(said)
        settings = cls(
            servers=_FORM.addresses(parts.hosts, _PORT),
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
            secure=parts.scheme == _FORM.secure,
            certificates=Tls.of(said),
            server_hostname=said.text("server_hostname"),
        )
        _check_security(settings, said)
        if not is_available(settings.compression):
            raise ConfigurationError(f"Kafka's option compression={settings.compression} takes pip install cramjam")
        return settings


# -- what was said, taken together


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
    else:
        _FORM.refuse_tls(said)
