"""What a broker has left on this machine, found by the name of its instance."""

import asyncio
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from msgkit.testing.brokers import Provider

__all__ = ["gone", "traces"]


def traces(instance: str, provider: Provider) -> list[str]:
    """Name each folder, process, container and network of an instance."""
    found = [str(folder) for folder in Path(tempfile.gettempdir()).glob(f"msgkit-{instance}-*")]
    found += _processes(instance)
    if provider == "container":
        found += _containers(instance)
    return found


async def gone(instance: str, provider: Provider, within: float) -> None:
    """Return when nothing of an instance is left.

    :raises AssertionError: naming what is
    """
    until = time.monotonic() + within
    while left := await asyncio.to_thread(traces, instance, provider):
        assert time.monotonic() < until, f"left after {within:g} s: {', '.join(left)}"
        await asyncio.sleep(0.2)


def _processes(instance: str) -> Iterator[str]:
    for process in Path("/proc").glob("[0-9]*"):
        # Its keeper is called with it, and all that the keeper starts has its folder as home.
        with suppress(OSError):
            said = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
            if instance.encode() in said and "pytest" not in said.decode(errors="replace"):
                yield f"process {process.name}: {said[:200]!r}"


def _containers(instance: str) -> Iterator[str]:
    import docker  # noqa: PLC0415 -- for those alone who have an engine

    engine: Any = docker.from_env()  # its stubs say less than it takes
    filters = {"label": f"msgkit.instance={instance}"}
    try:
        yield from (f"container {each.name}" for each in engine.containers.list(all=True, filters=filters))
        yield from (f"network {each.name}" for each in engine.networks.list(filters=filters))
    finally:
        engine.close()
