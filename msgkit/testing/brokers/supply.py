"""Who can give a broker, in which order they are asked, and what is missing where none can."""

import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args
from urllib.parse import urlsplit

from msgkit.errors import ConfigurationError, MessagingError
from msgkit.settings import redact
from msgkit.testing.brokers.install import jars
from msgkit.testing.brokers.install.java import OLDEST_JAVA, java
from msgkit.testing.brokers.install.recipes import candidates
from msgkit.testing.brokers.processes import ProcessHost
from msgkit.testing.brokers.programs import Host
from msgkit.testing.brokers.trouble import Trouble
from msgkit.testing.proxy import Address

__all__ = [
    "Provider",
    "Supply",
    "Unavailable",
    "addresses_in",
    "contained",
    "external_url",
    "fits",
    "from_jars",
    "java_in",
    "providers",
    "variable",
]

Provider = Literal["external", "container", "process"]

_ALL: Sequence[Provider] = get_args(Provider)
_FORCED = "MSGKIT_TEST_PROVIDER"
_INSTALL = "python -m msgkit.testing.brokers install"


class Unavailable(MessagingError):
    """No broker can be had here; the text says of each provider why not, and how to get one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Supply:
    """What a provider can give."""

    provider: Provider
    version: str = ""
    #: Where its programs stand, as they see it themselves.
    software: str = ""
    #: Makes a place for one broker, by the name of its instance; none where it is there already.
    host: Callable[[str], Host] | None = None


def providers(wanted: Provider | None) -> Sequence[Provider]:
    """Return whom to ask, in order.

    :raises ConfigurationError: when the one that is named is unknown
    """
    named = wanted or os.environ.get(_FORCED)
    if not named:
        return _ALL
    if named not in _ALL:
        where = "provider" if wanted else _FORCED
        msg = f"{where} is {named!r}; known are {', '.join(_ALL)}"
        raise ConfigurationError(msg)
    return [cast("Provider", named)]


def variable(name: str) -> str:
    """Return what says where a broker is that somebody else runs."""
    return f"MSGKIT_TEST_{name.upper()}_URL"


def external_url(name: str) -> str:
    """Return where the environment says that a broker is.

    :raises Unavailable: when it does not
    """
    url = os.environ.get(variable(name))
    if not url:
        msg = f"{variable(name)} is not set"
        raise Unavailable(msg)
    return url


def addresses_in(url: str, port: int) -> Sequence[Address]:
    """Return the addresses that a URL names, one or several, with a port for those that have none.

    :raises ConfigurationError: when there is none, or a port is no number
    """
    hosts = urlsplit(url).netloc.rpartition("@")[2].split(",")
    try:
        found = [Address(host, int(said or port)) for host, _, said in (each.partition(":") for each in hosts) if host]
    except ValueError:
        found = []
    if not found:
        msg = f"{redact(url)} names no address: write it like amqp://user:password@host:{port}"
        raise ConfigurationError(msg)
    return found


def fits(title: str, wanted: str | None, versions: Sequence[str]) -> str:
    """Return the first of the versions at hand that is the one wanted, or a part of it: 4.1 of "4".

    :raises Unavailable: naming those there are
    """
    for version in versions:
        if wanted is None or version == wanted or version.startswith(f"{wanted}."):
            return version
    msg = (
        f"{title} {wanted} is asked for, and {' and '.join(versions) or 'none'} is at hand; other versions come as "
        f"containers: run `{_INSTALL} {title.lower()} --provider container`, and have containers be asked for"
    )
    raise Unavailable(msg)


def from_jars(name: str, wanted: str | None) -> Supply:
    """Return what the jars in the cache give, run by the Java of this machine.

    :raises Unavailable: when there is no Java, or the jars were not fetched
    """
    if java() is None:
        msg = f"no Java {OLDEST_JAVA} or newer was found: run `{_INSTALL} {name}`, or set JAVA_HOME"
        raise Unavailable(msg)
    try:
        folder = jars.find(name, wanted)
    except Trouble as trouble:
        msg = f"{trouble.why}: {trouble.mend}"
        raise Unavailable(msg) from trouble
    if folder is None:
        pinned = jars.versions(name)
        version = fits(name, wanted, pinned)
        newer = "" if version == pinned[0] else " --newer"
        msg = f"the jars of version {version} are not in the cache: run `{_INSTALL} {name}{newer}`"
        raise Unavailable(msg)
    version = folder.name.rpartition("-")[2]
    return Supply(provider="process", version=version, software=str(folder), host=ProcessHost)


def java_in(supply: Supply) -> str:
    """Return the Java that runs a broker, as its script is to call it.

    It is one that is there soon: making code fast takes it longer than most tests last. For a process that is to be
    fast, `_JAVA_OPTIONS=-XX:TieredStopAtLevel=4` in the environment says otherwise; a container knows nothing of that.
    """
    program = shlex.quote(str(java())) if supply.provider == "process" else "java"
    return f"{program} -XX:+UseSerialGC -XX:TieredStopAtLevel=1"


def contained(name: str, wanted: str | None, software: str) -> Supply:
    """Return what an image gives, which is pulled when it is not there.

    :raises Unavailable: when there is no engine, no testcontainers, or no such image
    """
    try:
        from msgkit.testing.brokers.containers import ContainerHost  # noqa: PLC0415 -- an extra
        from msgkit.testing.brokers.install import engine, images  # noqa: PLC0415 -- as above
    except ImportError as error:
        msg = f"{error.name} is not installed: pip install 'msgkit-messaging[testing]'"
        raise Unavailable(msg) from None
    if (missing := engine.trouble()) is not None:
        msg = f"{missing.why}; {missing.mend}"
        raise Unavailable(msg)
    official, *others = candidates(name, wanted)
    try:
        image = next(filter(images.present, [official, *others]), None)
        if image is None:
            images.pull(official)
            image = official
    except Trouble as trouble:
        raise Unavailable(trouble.why) from trouble
    return Supply(
        provider="container",
        version=image.rpartition(":")[2].partition("-")[0],
        software=software,
        host=lambda instance: ContainerHost(instance, image),
    )
