"""Installing what brokers need, as far as it can be had here: one thing that fails is not the end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from msgkit.testing.brokers.install import engine, images, jars
from msgkit.testing.brokers.install.packages import JAVA, missing, require
from msgkit.testing.brokers.install.readiness import served
from msgkit.testing.brokers.install.recipes import NEWER
from msgkit.testing.brokers.install.telling import Say
from msgkit.testing.brokers.trouble import Trouble

__all__ = ["Wish", "install", "wishes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A broker by a provider."""

    name: str
    provider: str
    version: str | None = None


def wishes(names: Sequence[str], providers: Sequence[str], *, newer: bool) -> tuple[Wish, ...]:
    """Return what is to be had: each broker by each provider, and a newer one beside it where that is wanted."""
    usual = [Wish(name=name, provider=provider) for name in names for provider in providers]
    also = [
        Wish(name=name, provider=provider, version=NEWER[name])
        for name in names
        for provider in providers
        # A package is of the version that the system has.
        if (name, provider) != ("rabbitmq", "process")
    ]
    return (*usual, *also) if newer else tuple(usual)


def install(wanted: Sequence[Wish], recipes: Path | None, say: Say) -> Mapping[Wish, str | Trouble]:
    """Install what is wanted, and return for each wish what serves it, or why nothing does."""
    _packages_at_once(wanted, say)
    engines = _engine(wanted, say)
    return {wish: (wish.provider == "container" and engines) or _outcome(wish, recipes, say) for wish in wanted}


def _packages_at_once(wanted: Sequence[Wish], say: Say) -> None:
    """Install all packages in one go, which is faster. Each is asked for again where it is needed, and speaks there."""
    packages = missing(sorted({package for wish in wanted for package in _packages(wish)}))
    try:
        require(packages, say)
    except Trouble:
        say(f"not all of {', '.join(packages)} could be installed at once")


def _packages(wish: Wish) -> tuple[str, ...]:
    match wish:
        case Wish(provider="container"):
            return () if engine.answer() else engine.PACKAGES
        case Wish(name="rabbitmq"):
            return ("rabbitmq-server",)
        case _:
            return (JAVA,) if jars.find(wish.name, wish.version) else (JAVA, "maven")


def _engine(wanted: Sequence[Wish], say: Say) -> Trouble | None:
    if all(wish.provider != "container" for wish in wanted):
        return None
    try:
        engine.ensure(say)
    except Trouble as trouble:
        return trouble
    return None


def _outcome(wish: Wish, recipes: Path | None, say: Say) -> str | Trouble:
    try:
        _fulfil(wish, recipes, say)
        return served(wish.name, wish.provider, wish.version)
    except Trouble as trouble:
        return trouble


def _fulfil(wish: Wish, recipes: Path | None, say: Say) -> None:
    match wish:
        case Wish(provider="container"):
            images.ensure(wish.name, wish.version, recipes, say)
        case Wish(name="rabbitmq"):
            require(["rabbitmq-server"], say)
        case _:
            require([JAVA], say)
            jars.fetch(wish.name, wish.version, say)
