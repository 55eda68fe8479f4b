"""Where a RocketMQ is: `rocketmq://key:secret@host1:9876,host2?lease=20`, and options beside it."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType

from msgkit.errors import ConfigurationError
from msgkit.reaching import Address, Form, Said, Tls
from msgkit_rocketmq.options import Rocket, broker_name

__all__ = ["RocketSettings"]

_NONE: Mapping[str, object] = MappingProxyType({})
_PORT = 9876
_MAX_NAMESPACE = 30
_FORM = Form(
    broker="RocketMQ",
    plain="rocketmq",
    secure="rocketmqs",
    ports={"rocketmq": _PORT, "rocketmqs": _PORT},
    shape="rocketmq://key:secret@host:port,host:port?option=value",
    options=tuple(Rocket.__annotations__),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RocketSettings:
    """All that is said of one RocketMQ, checked and whole."""

    #: The name servers; they tell of the brokers.
    servers: tuple[Address, ...]
    #: The access key. Empty: the brokers do not ask who we are.
    user: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    namespace: str = ""
    #: Seconds.
    lease: float = 30.0
    #: Seconds.
    request_timeout: float = 10.0
    #: Do name servers and brokers speak TLS?
    secure: bool = False
    certificates: Tls = field(default_factory=partial(Tls, broker=_FORM.broker))
    server_hostname: str | None = None

    @property
    def tls(self) -> ssl.SSLContext | None:
        """What connections are secured with, or None. Made anew each time: certificates may be renewed meanwhile."""
        return self.certificates.context() if self.secure else None

    @classmethod
    def parse(cls, url: str, options: Mapping[str, object] = _NONE) -> "RocketSettings":
        """Read a URL, and options given beside it, which go first.

        :raises UnknownSetting: naming the nearest option there is
        :raises ConfigurationError: naming what is wrong, without a secret
        """
        parts = _FORM.split(url)
        if parts.path:
            raise _FORM.wrong_url()
        _FORM.check_names(options)
        said = Said(_FORM.broker, {**parts.credentials, **_FORM.parameters(parts.query), **options})
        user, password, token = _login(said)
        settings = cls(
            servers=_FORM.addresses(parts.hosts, _PORT),
            user=user,
            password=password,
            token=token,
            namespace=_namespace(said),
            lease=said.number("lease", 30.0, least=1.0, most=86_400.0),
            request_timeout=said.number("request_timeout", 10.0, least=0.1, most=300.0),
            secure=parts.scheme == _FORM.secure,
            certificates=Tls.of(said),
            server_hostname=said.text("server_hostname"),
        )
        if settings.secure:
            settings.certificates.context()
        else:
            _FORM.refuse_tls(said)
        return settings


def _login(said: Said) -> tuple[str, str, str]:
    user, password, token = said.text("user"), said.secret("password"), said.secret("token")
    if (user is None) != (password is None):
        who = "a secret, and no access key" if user is None else f"the access key {user!r}, and no secret"
        msg = f"RocketMQ's URL has {who}: write rocketmq://key:secret@host, or set the options user and password"
        raise ConfigurationError(msg)
    if token is not None and user is None:
        raise ConfigurationError("RocketMQ's option token goes with an access key: set user and password as well")
    return user or "", password or "", token or ""


def _namespace(said: Said) -> str:
    namespace = said.text("namespace")
    what = "RocketMQ's option namespace"
    return "" if namespace is None else broker_name(namespace, what, _MAX_NAMESPACE, also="_")
