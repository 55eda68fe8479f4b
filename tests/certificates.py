import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

__all__ = ["Certificates", "made"]


@dataclass(frozen=True, slots=True)
class Certificates:
    """One certificate that trusts itself, for a host of the name `broker.test`, and its key."""

    certificate: Path
    key: Path
    #: The same key, encrypted with `secret`.
    locked: Path
    #: A key of somebody else.
    other: Path


def made(folder: Path) -> Certificates:
    """Make them, or skip the test where there is no OpenSSL."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    there = Certificates(*(folder / f"{name}.pem" for name in ("certificate", "key", "locked", "other")))
    subject = "-subj /CN=broker.test -addext subjectAltName=DNS:broker.test -days 2"
    new = "req -x509 -nodes -newkey rsa:2048"
    _openssl(f"{new} {subject} -keyout {there.key} -out {there.certificate}")
    _openssl(f"{new} {subject} -keyout {there.other} -out {folder / 'unused.pem'}")
    _openssl(f"rsa -aes256 -passout pass:secret -in {there.key} -out {there.locked}")
    return there


def _openssl(arguments: str) -> None:
    subprocess.run(["openssl", *arguments.split()], check=True, capture_output=True)  # noqa: S607 -- whichever is installed
