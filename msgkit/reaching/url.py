"""The URL of a broker, taken apart. No part of it is shown: any may be a password that was not encoded."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import NamedTuple
from urllib.parse import unquote

from msgkit.errors import ConfigurationError, UnknownSetting
from msgkit.reaching.said import Said

__all__ = ["Address", "Form", "Parts"]

_MAX_PORT = 65535
_REST = re.compile(r"(?P<authority>[^/?#]*)(?:/(?P<path>[^?#]*))?(?:\?(?P<query>[^#]*))?")
_ADDRESS = re.compile(
    r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+(?:%[^\[\]\s]+)?)\]|(?P<host>[^\[\]:\s]+))(?::(?P<port>[0-9]{1,5}))?"
)
_OF_TLS = ("ca_file", "cert_file", "key_file", "key_password", "verify", "server_hostname")


class Address(NamedTuple):
    """Where somebody listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Parts(NamedTuple):
    """A URL, cut in pieces."""

    scheme: str
    #: Who connects, as far as it is said: "user" and "password".
    credentials: Mapping[str, object]
    hosts: str
    path: str
    query: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How the URLs of one kind of broker are written.

    Whatever reads one raises `ConfigurationError`, which says what is wrong and shows no secret.
    """

    #: How people write it: "Kafka".
    broker: str
    #: The scheme of connections that anybody can read, and that of those with TLS.
    plain: str
    secure: str
    #: Where it listens if no port is given, by scheme.
    ports: Mapping[str, int]
    #: What a whole one looks like.
    shape: str
    #: The names of all options, in a URL or beside it.
    options: Sequence[str]
    #: Those that have a place of their own in the URL.
    elsewhere: Sequence[str] = ("user", "password")

    @property
    def _encode(self) -> str:
        parts = ", ".join(f"a {name}" for name in self.elsewhere)
        return f"in {parts} and a value, / is written %2F, ? %3F, # %23 and @ %40"

    # -- taking apart

    def split(self, url: str) -> Parts:
        scheme, _, rest = url.partition("://")
        found = _REST.fullmatch(rest)
        if scheme.lower() not in self.ports or found is None:
            raise self.wrong_url()
        authority = found["authority"]
        hosts = authority.rpartition("@")[2] if authority else "localhost"
        return Parts(scheme.lower(), self._credentials(authority), hosts, found["path"] or "", found["query"] or "")

    def _credentials(self, authority: str) -> dict[str, object]:
        credentials, at, _ = authority.rpartition("@")
        if not at:
            return {}
        user, colon, password = credentials.partition(":")
        if not user:
            msg = f"{self.broker}'s URL names no user before the @: it is {self.shape}"
            raise ConfigurationError(msg)
        said: dict[str, object] = {"user": self.decoded(user, "user")}
        if colon:
            said["password"] = self.decoded(password, "password")
        return said

    def wrong_url(self) -> ConfigurationError:
        return ConfigurationError(f"this is no URL of a {self.broker}: it is {self.shape}; {self._encode}")

    def wrong_part(self, what: str) -> ConfigurationError:
        return ConfigurationError(f"{self.broker}'s URL has {what}: it is {self.shape}; {self._encode}")

    def parameters(self, query: str, with_at: Sequence[str] = ()) -> dict[str, object]:
        """Return the options after the ?.

        :param with_at: those whose values may have an @
        """
        pairs = [pair.partition("=")[::2] for pair in query.split("&") if pair]
        if any("@" in name or ("@" in value and name not in with_at) for name, value in pairs):
            msg = f"{self.broker}'s URL has an @ after its ?: {self._encode}"
            raise ConfigurationError(msg)
        said: dict[str, object] = {}
        for encoded, value in pairs:
            name = self.decoded(encoded, "name of an option")
            if name in said:
                msg = f"{self.broker}'s URL says the option {name} twice"
                raise ConfigurationError(msg)
            said[name] = self.decoded(value, name)
        self._check_names(said, [name for name in self.options if name not in self.elsewhere])
        return said

    def decoded(self, text: str, what: str) -> str:
        """Return text with its %-codes resolved."""
        try:
            return unquote(text, errors="strict")
        except UnicodeDecodeError:
            msg = f"the {what} in {self.broker}'s URL is no UTF-8 when its %-codes are resolved"
            raise ConfigurationError(msg) from None

    def addresses(self, hosts: str, port: int, where: str = "") -> tuple[Address, ...]:
        """Return each host once.

        :param port: for a host that names none
        :param where: what the hosts stand in, if it is not the URL
        """
        found: list[Address] = []
        for number, each in enumerate(hosts.split(","), 1):
            match = _ADDRESS.fullmatch(each)
            address = match and Address(unquote(match["ipv6"] or match["host"]), int(match["port"] or port))
            if address is None or not 0 < address.port <= _MAX_PORT:
                place = where or f"{self.broker}'s URL"
                shape = f"host, host:port or [IPv6]:port; it is {self.shape}; {self._encode}"
                raise ConfigurationError(f"{place}: address {number} is no {shape}")
            found.append(address)
        return tuple(dict.fromkeys(found))

    # -- what is said beside it

    def check_names(self, options: Iterable[str]) -> None:
        """Refuse an option that is unknown.

        :raises UnknownSetting: naming the nearest there is
        """
        self._check_names(options, self.options)

    def _check_names(self, said: Iterable[str], known: Sequence[str]) -> None:
        for name in said:
            if name in known:
                continue
            if name in self.elsewhere:
                msg = f"{name!r} is no option after the ? of {self.broker}'s URL: it is {self.shape}"
                raise UnknownSetting(msg)
            nearest = get_close_matches(name.lower(), known, 1, 0.0)[0]
            msg = f"{self.broker} has no option {name!r}; {nearest!r} is the nearest of {', '.join(sorted(known))}"
            raise UnknownSetting(msg)

    def refuse_tls(self, said: Said) -> None:
        """Refuse options of TLS, which would do nothing without it."""
        if useless := [name for name in _OF_TLS if name in said]:
            msg = (
                f"{self.broker}'s option {useless[0]} is for {self.secure}://, "
                f"and {self.plain}:// is neither encrypted nor checked"
            )
            raise ConfigurationError(msg)
