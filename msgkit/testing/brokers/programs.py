"""What a broker is made of, and what can be done to it, wherever it runs."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

__all__ = ["LOOPBACK", "Host", "Program", "Running"]

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One program of a broker, the same in a container and as a process.

    A shell runs the script, in the host's `home`; it should end in `exec`. Files are written
    there before each start.
    """

    name: str
    script: str
    env: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    files: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    #: What clients connect to, by the port that the program itself listens on.
    ports: Mapping[int, int] = field(default_factory=lambda: MappingProxyType({}))


class Running(ABC):
    """A program that was given to a host. Everything here blocks until it is done."""

    @abstractmethod
    def start(self) -> None: ...

    @abstractmethod
    def stop(self, within: float) -> None:
        """Ask the program to end, and wait until it has; one that is frozen goes on to do so.

        :raises TimeoutError: when it did not; it is killed then
        """

    @abstractmethod
    def kill(self) -> None:
        """End the program by SIGKILL; returns when nothing is left of it but its data."""

    @abstractmethod
    def pause(self) -> None: ...

    @abstractmethod
    def resume(self) -> None: ...

    @abstractmethod
    def is_alive(self) -> bool: ...

    @abstractmethod
    def execute(self, command: Sequence[str]) -> str:
        """Run a command where the program runs, with its environment, and return what it printed.

        :raises MessagingError: with what it printed, when it failed
        """

    @abstractmethod
    def log(self) -> str:
        """Return what the program has printed so far."""


class Host(ABC):
    """Where the programs of one broker run, out of the way of everything else."""

    #: The folder of the programs, as they see it themselves.
    home: str
    #: The address that the programs listen on, as they see it themselves.
    bind: str
    #: The same as clients see it.
    address: str

    @abstractmethod
    def reserve(self, *also: int) -> int:
        """Return a port that is nobody else's, together with those at the distances `also`."""

    @abstractmethod
    def add(self, program: Program) -> Running: ...

    @abstractmethod
    def name_of(self, program: str) -> str:
        """Return the name or the address by which programs of the broker find each other."""

    @abstractmethod
    def give_up(self) -> None:
        """Have whatever is being started fail soon; `close` comes next."""

    @abstractmethod
    def close(self) -> None:
        """End all programs, and leave nothing behind. Does no harm twice."""
