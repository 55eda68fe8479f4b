"""Which image serves which broker: the official ones, and those that are made here where they cannot be had."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from msgkit.testing.brokers.install.distributions import DISTRIBUTIONS, matches, pins

__all__ = ["BASE", "NEWER", "RECIPES", "Recipe", "candidates", "chosen", "recipe"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How an image is made: a folder of recipes, and what it is given."""

    tag: str
    folder: str
    parent: "Recipe | None" = None
    arguments: Mapping[str, str] = field(default_factory=dict[str, str])
    #: Name and version of what comes as jars.
    jars: tuple[str, str] | None = None

    @property
    def version(self) -> str:
        return self.tag.rpartition(":")[2]

    def digest(self, recipes: Path) -> str:
        """Tell this recipe, as it stands in a folder of recipes, from any other and from what it was before."""
        digest = hashlib.sha256(repr((self.tag, sorted(self.arguments.items()))).encode())
        for path in sorted(path for path in (recipes / self.folder).rglob("*") if path.is_file()):
            digest.update(f"\n{path.relative_to(recipes)}\n".encode() + path.read_bytes())
        if self.jars is not None:
            digest.update(repr(sorted(pins(*self.jars).items())).encode())
        if self.parent is not None:
            digest.update(self.parent.digest(recipes).encode())
        return digest.hexdigest()


BASE = Recipe(tag="msgkit/base:trixie", folder="base")
_JAVA = Recipe(tag="msgkit/java:21", folder="java", parent=BASE)


def _debian(version: str, suite: str) -> Recipe:
    return Recipe(
        tag=f"msgkit/rabbitmq:{version}",
        folder="rabbitmq",
        parent=BASE,
        arguments={"SUITE": suite, "VERSION": version},
    )


def _from_jars(name: str) -> tuple[Recipe, ...]:
    return tuple(
        Recipe(tag=f"msgkit/{name}:{version.rpartition('.')[0]}", folder=name, parent=_JAVA, jars=(name, version))
        for version in DISTRIBUTIONS[name].versions
    )


#: By broker, the default first.
RECIPES: dict[str, tuple[Recipe, ...]] = {
    "rabbitmq": (_debian("4.0", suite="trixie"), _debian("4.3", suite="sid")),
    "kafka": _from_jars("kafka"),
    "rocketmq": _from_jars("rocketmq"),
}
#: A version that is newer than the default one, for those who want to see both.
NEWER: Mapping[str, str] = {
    "rabbitmq": "4.3",
    "kafka": DISTRIBUTIONS["kafka"].versions[1],
    "rocketmq": DISTRIBUTIONS["rocketmq"].versions[1],
}
_RABBITMQ = "4"


def candidates(name: str, version: str | None = None) -> tuple[str, ...]:
    """Return the images that can serve a broker, in the order in which they are to be tried.

    The default version is served by what MSGKIT_TEST_RABBITMQ_IMAGE (…KAFKA…, …ROCKETMQ…) names, and
    by nothing else, where that is set.
    """
    if (own := chosen(name, version)) is not None:
        return (own,)
    made = recipe(name, version)
    return (_official(name, version), *((made.tag,) if made else ()))


def chosen(name: str, version: str | None = None) -> str | None:
    """Return the image that the environment names for the default version of a broker."""
    return os.environ.get(f"MSGKIT_TEST_{name.upper()}_IMAGE") if version is None else None


def recipe(name: str, version: str | None = None) -> Recipe | None:
    """Return what makes an image of a version, as that of 4.1 does for 4.1.0, 4 and for none at all."""
    if version is None:
        return RECIPES[name][0]
    return next((each for each in RECIPES[name] if _makes(each, version)), None)


def _makes(recipe: Recipe, version: str) -> bool:
    full = recipe.jars[1] if recipe.jars else recipe.version
    return matches(full, version)


def _official(name: str, version: str | None) -> str:
    if name == "rabbitmq":
        return f"rabbitmq:{version or _RABBITMQ}-management"
    return f"apache/{name}:{DISTRIBUTIONS[name].pinned(version) or version}"
