"""The base of the images that are made here: a small Debian, of the mirror that this machine uses."""

import os
import platform
import shlex
import shutil
from collections.abc import Iterable
from pathlib import Path

from msgkit.testing.brokers.cache import cache
from msgkit.testing.brokers.install.packages import require, update
from msgkit.testing.brokers.install.running import program, run
from msgkit.testing.brokers.install.telling import Say, timed
from msgkit.testing.brokers.trouble import Trouble

__all__ = ["mirror_in", "proxies", "tarball"]

_ASKED = "$(ORIGIN) $(COMPONENT) $(CODENAME) $(REPO_URI)"
_TARGETS = ("apt-get", "indextargets", "--format", _ASKED, "Created-By: Packages")
_PROXIES = ("http_proxy", "https_proxy", "no_proxy")


def tarball(recipes: Path, digest: str, say: Say) -> Path:
    """Return the archive of a base, made by its recipe when the cache does not have it.

    :raises Trouble: when it cannot be made here
    """
    archive = cache() / "images" / f"base-{platform.machine()}-{digest[:16]}.tar.gz"
    if archive.is_file():
        say("base of images: in the cache")
        return archive
    require(["debootstrap"], say)
    scratch = archive.parent / ".base.part"
    # What an earlier run left that was ended in the middle.
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        with timed(say, "base of images, by debootstrap"):
            _make(recipes / "base" / "make", scratch)
        for old in archive.parent.glob("base-*"):
            old.unlink()
        return (scratch / "base.tar.gz").rename(archive)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _make(script: Path, scratch: Path) -> None:
    unshare = program("unshare")
    if unshare is None or os.geteuid():
        raise Trouble("only root can make a base for images (debootstrap)", mend="run the same with sudo")
    # What it mounts is gone with it, whatever ends it.
    apart = (unshare, "--mount", "sh", script)
    mend = "see that the mirror in apt's sources can be reached"
    run(*apart, _mirror(), scratch, scratch / "base.tar.gz", env=proxies(), mend=mend)


def proxies() -> dict[str, str]:
    """Return the proxies of the environment, or else of apt: what fetches packages elsewhere needs them too."""
    if found := {name: value for name in _PROXIES if (value := os.environ.get(name))}:
        return found
    asked = ("http_proxy", "Acquire::http::Proxy", "https_proxy", "Acquire::https::Proxy")
    shell = run("apt-config", "shell", *asked, mend="apt-config dump")
    return dict(line.split("=", 1) for line in shlex.split(shell))


def _mirror() -> str:
    if (found := mirror_in(run(*_TARGETS, mend="apt-get update").splitlines())) is None:
        # apt knows whose mirror it is only once it has looked.
        update()
        found = mirror_in(run(*_TARGETS, mend="apt-get update").splitlines())
    if found is None:
        raise Trouble("images are made of Debian's packages, and apt's sources have no mirror of Debian", mend=_PULL)
    return found


def mirror_in(targets: Iterable[str]) -> str | None:
    """Find the mirror of Debian among what apt fetches, told as origin, component, codename and address."""
    for target in targets:
        origin, component, codename, address = (target.split() + [""] * 4)[:4]
        if (origin, component) == ("Debian", "main") and "-" not in codename:
            return _first_of_list(address)
    return None


def _first_of_list(address: str) -> str:
    """Return the address itself, or the first of those in the file that it names."""
    scheme, _, path = address.partition(":")
    if scheme != "mirror+file":
        return address
    return next(line.split()[0] for line in Path(path).read_text().splitlines() if line and not line.startswith("#"))


_PULL = "use a machine with Debian, or one whose engine can pull the official images"
