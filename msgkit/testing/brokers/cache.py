"""Where things for real brokers are kept between runs: jars, a base for images, the engine's log."""

import os
from pathlib import Path

__all__ = ["cache", "disk_used"]


def cache() -> Path:
    """Return the folder of what is worth keeping. It may not exist yet."""
    if chosen := os.environ.get("MSGKIT_TEST_CACHE"):
        return Path(chosen).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "msgkit"


def disk_used(folder: Path) -> int:
    """Return the bytes that the files below a folder take."""
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*")) if folder.is_dir() else 0
