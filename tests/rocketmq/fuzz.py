"""Fuzzing of what reads RocketMQ's answers, as coverage leads: `make fuzz`, or `python -m tests.rocketmq.fuzz 600`.

It runs for so many seconds. An error that is not the client's own ends it, and so does a hang or a memory that fills;
what led there is left in a file. Inputs that led somewhere new stay in a folder of their own. It takes atheris, which
is there for Linux.
"""

import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

__all__ = ["main"]

_SECONDS = 600
#: Seconds that one input may take.
_HANGS_AFTER = 10


def main(seconds: int = _SECONDS) -> None:
    atheris: Any = import_module("atheris")
    with atheris.instrument_imports(include=["msgkit_rocketmq"]):
        from tests.rocketmq.reading import SEEDS, read_one  # noqa: PLC0415 -- what is imported here is watched
    # It ends the process itself, so that nobody can take this away.
    inputs = Path(tempfile.mkdtemp(prefix="msgkit-fuzz-"))
    for number, seed in enumerate(SEEDS):
        (inputs / f"seed-{number}").write_bytes(seed)
    options = [f"-max_total_time={seconds}", f"-timeout={_HANGS_AFTER}", "-max_len=4096", "-rss_limit_mb=1024"]
    atheris.Setup([sys.argv[0], *options, str(inputs)], read_one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
