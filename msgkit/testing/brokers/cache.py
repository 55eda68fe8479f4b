"""Where things for real brokers are kept between runs: jars, a base for images, the engine's log."""

import os
from pathlib import Path

from msgkit.testing.brokers.trouble import Trouble

__all__ = ["cache", "disk_used"]


def cache() -> Path:
    """Return the folder of what is worth keeping. It may not exist yet.

    :raises Trouble: when nothing says where, as for a user without a home
    """
    if chosen := os.environ.get("MSGKIT_TEST_CACHE"):
        return Path(chosen).absolute()
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "msgkit"
    except RuntimeError as error:
        raise Trouble("this user has no home to keep downloads in", mend="set MSGKIT_TEST_CACHE to a folder") from error


def disk_used(folder: Path) -> int:
    """Return the bytes that the files below a folder take."""
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*")) if folder.is_dir() else 0
