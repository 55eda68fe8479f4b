"""Packages of Debian: those that are missing, by apt-get, without a question and without starting a service."""

import os
import shlex
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from msgkit.testing.brokers.install.java import OLDEST_JAVA, java
from msgkit.testing.brokers.install.locks import locked
from msgkit.testing.brokers.install.running import program, run
from msgkit.testing.brokers.install.telling import Say, timed
from msgkit.testing.brokers.trouble import Trouble

__all__ = ["JAVA", "POLICY", "install", "installing", "missing", "obstacle", "require", "services_left_alone", "update"]

POLICY = Path("/usr/sbin/policy-rc.d")
#: By what a package is known to be there, whoever installed it.
_PROGRAMS = {
    "debootstrap": "debootstrap",
    "docker.io": "dockerd",
    "iptables": "iptables",
    "maven": "mvn",
    "rabbitmq-server": "rabbitmq-server",
}
_OURS = "# of msgkit.testing.brokers, while it installs"
JAVA = "default-jre-headless"
_ENV = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
#: Seconds for which another apt is waited for.
_PATIENCE = 300
_OPTIONS = (
    "-q",
    "-y",
    "-o",
    f"DPkg::Lock::Timeout={_PATIENCE}",
    "-o",
    "Dpkg::Options::=--force-confdef",
    "-o",
    "Dpkg::Options::=--force-confold",
)


def missing(packages: Sequence[str]) -> tuple[str, ...]:
    """Return those of these packages whose programs are not on this machine."""
    return tuple(package for package in packages if not _is_there(package))


def obstacle() -> str | None:
    """Say why nothing can be installed here, if so."""
    if program("apt-get") is None:
        return "there is no apt-get on this machine"
    return None if os.geteuid() == 0 else "only root can install packages"


def installing(packages: Sequence[str]) -> str:
    """Tell a person how to install packages."""
    if program("apt-get") is None:
        return (
            f"install {', '.join(_PROGRAMS.get(package, 'java') for package in packages)}, so that the PATH leads there"
        )
    return f"sudo apt-get install --no-install-recommends {shlex.join(packages)}"


def require(packages: Sequence[str], say: Say) -> None:
    """See that these packages are there, and install those that are missing.

    :raises Trouble: when that cannot be done, or fails
    """
    if not (absent := missing(packages)):
        return
    if (why := obstacle()) is not None:
        raise Trouble(f"missing: {', '.join(absent)}; {why}", mend=installing(absent))
    with locked("apt", say):
        # Another process may have been faster.
        if absent := missing(absent):
            install(absent, say)
    if still := missing(absent):
        raise Trouble(f"{', '.join(still)} was installed, but is not what is needed", mend=_newer(still))


def install(packages: Sequence[str], say: Say) -> None:
    mend = installing(packages)
    with services_left_alone(POLICY), timed(say, f"apt-get install {' '.join(packages)}"):
        # Ends what an earlier installation left when it was ended in the middle.
        run("dpkg", "--configure", "-a", "--force-confdef", "--force-confold", env=_ENV, mend="dpkg --configure -a")
        trouble = update()
        try:
            run("apt-get", "install", "--no-install-recommends", *_OPTIONS, *packages, env=_ENV, mend=mend)
        except Trouble as failed:
            raise Trouble(f"{failed.why}\n{trouble}" if trouble else failed.why, mend=mend) from failed


@cache
def update() -> str:
    """Have apt look up what there is, once. Old lists may do, so that a failure is returned, and not raised."""
    try:
        run("apt-get", "update", *_OPTIONS, env=_ENV, mend="apt-get update")
    except Trouble as trouble:
        return trouble.why
    return ""


@contextmanager
def services_left_alone(policy: Path) -> Generator[None]:
    """Have no package start its service meanwhile. A policy of somebody else's is left as it is."""
    if policy.exists() and _OURS not in policy.read_text():
        yield
        return
    # Without effect once this process is gone, should it not get to remove it.
    policy.write_text(
        f"#!/bin/sh\n{_OURS}\nif kill -0 {os.getpid()} 2>/dev/null; then exit 101; fi\nrm -f '{policy}'\n"
    )
    try:
        policy.chmod(0o755)
        yield
    finally:
        policy.unlink(missing_ok=True)


def _is_there(package: str) -> bool:
    return java() is not None if package == JAVA else program(_PROGRAMS[package]) is not None


def _newer(packages: Sequence[str]) -> str:
    if JAVA in packages:
        return f"install a Java of version {OLDEST_JAVA} or newer, and set JAVA_HOME"
    return f"look at what `{installing(packages)}` says"
