"""The command `msgkit`."""

from msgkit.cli.command import main

__all__ = ["main"]
