"""Images of brokers: those that are there, those that can be pulled, and else those that are made here."""

import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO

import docker
from docker.errors import APIError, BuildError, DockerException, ImageNotFound

from msgkit.testing.brokers.install import jars
from msgkit.testing.brokers.install.base import proxies, tarball
from msgkit.testing.brokers.install.engine import connected
from msgkit.testing.brokers.install.locks import locked
from msgkit.testing.brokers.install.recipes import BASE, Recipe, candidates, chosen, recipe
from msgkit.testing.brokers.install.running import tail
from msgkit.testing.brokers.install.telling import Say, timed
from msgkit.testing.brokers.trouble import Trouble

__all__ = ["ensure", "present", "pull"]

_LABEL = "msgkit.recipe"
#: Seconds for which an engine may say nothing while it pulls or builds.
_PATIENCE = 900


def present(reference: str) -> bool:
    """Does an engine answer, and have this image?

    :raises Trouble: when it answers, but not this
    """
    try:
        with connected() as engine:
            return _label(engine, reference) is not None
    except Trouble:
        return False
    except (DockerException, OSError) as error:
        why = f"the container engine does not say whether it has {reference}: {error}"
        raise Trouble(why, mend="see what it is busy with, or start it anew") from error


def pull(reference: str) -> None:
    """Have the engine fetch an image.

    :raises Trouble: when it cannot
    """
    try:
        with connected(within=_PATIENCE) as engine:
            engine.images.pull(reference)
    except (DockerException, OSError) as error:
        why = (error.explanation if isinstance(error, APIError) else None) or error
        raise Trouble(f"{reference} cannot be pulled: {why}", mend=f"docker pull {reference}") from error


def ensure(name: str, version: str | None, recipes: Path | None, say: Say) -> str:
    """Return an image that serves a broker, and is there; pull it or make it before.

    :raises Trouble: when neither can be done
    """
    wanted, made = candidates(name, version), recipe(name, version) if chosen(name, version) is None else None
    usable = wanted if recipes is None else wanted[:1]
    if (found := next(filter(present, usable), None)) is not None:
        say(f"{found}: is there")
        return found
    if made is None or recipes is None:
        with timed(say, f"pulling {wanted[0]}"):
            pull(wanted[0])
        return wanted[0]
    return _pulled_or_made(wanted[0], made, recipes, say)


def _pulled_or_made(official: str, made: Recipe, recipes: Path, say: Say) -> str:
    with locked("images", say):
        if _is_current(made, recipes):
            say(f"{made.tag}: is there, made by the same recipe")
            return made.tag
        try:
            pull(official)
        except Trouble as trouble:
            say(f"{trouble.why}; made here instead")
            _make(made, recipes, say)
            return made.tag
    say(f"{official}: pulled")
    return official


def _is_current(made: Recipe, recipes: Path) -> bool:
    with connected() as engine:
        return _label(engine, made.tag) == made.digest(recipes)


def _label(engine: docker.DockerClient, reference: str) -> str | None:
    """Return which recipe an image was made by, empty for none, None when there is no such image."""
    try:
        return str(engine.images.get(reference).labels.get(_LABEL, ""))
    except ImageNotFound:
        return None


def _make(made: Recipe, recipes: Path, say: Say) -> None:
    if _is_current(made, recipes):
        return
    if made.parent is not None:
        _make(made.parent, recipes, say)
    digest = made.digest(recipes)
    with connected(within=_PATIENCE) as engine:
        if made is BASE:
            archive = tarball(recipes, digest, say)
            with timed(say, f"{made.tag}: importing"):
                _import(engine, made, archive, digest)
        else:
            folder = jars.fetch(*made.jars, say) if made.jars else None
            with timed(say, f"{made.tag}: building"):
                _build(engine, made, recipes / made.folder, folder, digest)
        # What the new one has taken the name of.
        engine.images.prune({"dangling": True, "label": [_LABEL]})  # pyright: ignore[reportUnknownMemberType] -- its stub


def _import(engine: docker.DockerClient, made: Recipe, archive: Path, digest: str) -> None:
    repository, _, tag = made.tag.partition(":")
    engine.api.import_image(  # pyright: ignore[reportUnknownMemberType] -- its stub leaves out what it takes
        str(archive), repository, tag, changes=[f"LABEL {_LABEL}={digest}"]
    )


def _build(engine: docker.DockerClient, made: Recipe, folder: Path, jars: Path | None, digest: str) -> None:
    with tempfile.TemporaryFile() as context:
        _pack(context, folder, jars)
        try:
            engine.images.build(
                fileobj=context,
                custom_context=True,
                tag=made.tag,
                labels={_LABEL: digest},
                buildargs={**proxies(), **made.arguments},
                # An engine without packet filtering gives containers no way out.
                network_mode="host",
                rm=True,
                forcerm=True,
            )
        except BuildError as error:
            raise Trouble(f"{made.tag} cannot be made:\n{_tail(error.build_log)}", mend=f"look at {folder}") from error


def _pack(context: IO[bytes], folder: Path, jars: Path | None) -> None:
    with tarfile.open(fileobj=context, mode="w") as archive:
        archive.add(folder, arcname=".")
        for jar in sorted(jars.glob("*.jar")) if jars else ():
            archive.add(jar, arcname=f"jars/{jar.name}")
    context.seek(0)


def _tail(log: Iterable[Mapping[str, object]]) -> str:
    text = "".join(str(line.get("stream", line.get("error", ""))) for line in log)
    return tail(text.encode())
