"""Which broker can be had by which provider, as things are: nothing is installed or started to find out."""

import os

from msgkit.testing.brokers.install import jars
from msgkit.testing.brokers.install.engine import trouble
from msgkit.testing.brokers.install.images import present
from msgkit.testing.brokers.install.java import OLDEST_JAVA, java
from msgkit.testing.brokers.install.packages import JAVA, installing
from msgkit.testing.brokers.install.recipes import candidates
from msgkit.testing.brokers.install.running import program
from msgkit.testing.brokers.trouble import Trouble

__all__ = ["PROVIDERS", "served", "served_or_not"]

PROVIDERS = ("external", "container", "process")


def served(name: str, provider: str, version: str | None = None) -> str:
    """Return what a provider would serve a broker with.

    :raises Trouble: when it cannot, with why and what mends it
    """
    match provider:
        case "external":
            return _external(name)
        case "container":
            return _container(name, version)
        case _:
            return _process(name, version)


def served_or_not(name: str, provider: str, version: str | None = None) -> str | Trouble:
    """Return what a provider would serve a broker with, or why it cannot."""
    try:
        return served(name, provider, version)
    except Trouble as trouble:
        return trouble


def _external(name: str) -> str:
    variable = f"MSGKIT_TEST_{name.upper()}_URL"
    if not os.environ.get(variable):
        raise Trouble(f"{variable} is not set", mend=f"export {variable}=... to use one that runs already")
    return f"what {variable} names"


def _container(name: str, version: str | None) -> str:
    if (lacking := trouble()) is not None:
        raise lacking
    wanted = candidates(name, version)
    if (found := next(filter(present, wanted), None)) is None:
        raise Trouble(f"the engine has no image: neither of {', '.join(wanted)}", mend=_install(name, "container"))
    return found


def _process(name: str, version: str | None) -> str:
    if name == "rabbitmq":
        return _rabbitmq()
    if (runs_it := java()) is None:
        raise Trouble(f"there is no Java of version {OLDEST_JAVA} or newer", mend=installing([JAVA]))
    if (found := jars.find(name, version)) is None:
        raise Trouble("its jars are not in the cache", mend=_install(name, "process"))
    return f"{found.name}, run by {runs_it}"


def _rabbitmq() -> str:
    if (found := program("rabbitmq-server")) is None:
        raise Trouble("there is no rabbitmq-server", mend=installing(["rabbitmq-server"]))
    return str(found)


def _install(name: str, provider: str) -> str:
    return f"python -m msgkit.testing.brokers install {name} --provider {provider}"
