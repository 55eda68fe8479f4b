"""Brokers in containers of an engine that answers, started by testcontainers."""

import platform
import shlex
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from docker.errors import APIError, NotFound
from docker.models.containers import Container
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer
from testcontainers.core.docker_client import DockerClient
from testcontainers.core.network import Network
from testcontainers.core.utils import inside_container

from msgkit.errors import MessagingError
from msgkit.testing.brokers.ports import Ports
from msgkit.testing.brokers.processes import Keeper
from msgkit.testing.brokers.programs import LOOPBACK, Host, Program, Running

__all__ = ["ContainerHost"]

_LABEL = "msgkit.instance"
_ANYWHERE = "0.0.0.0"  # noqa: S104 -- within a container, or where the engine is on another machine
#: Seconds that the engine has for what it does at once.
_PATIENCE = 30.0
_LOOK = 0.05
_KILLED = 137
_RUNNING, _PAUSED = "running", "paused"
#: What an engine says that lost a race.
_RACE = "unable to freeze"
_ryuk = threading.Lock()


class ContainerHost(Host):
    """Containers of one image, which find each other by their names."""

    bind = _ANYWHERE
    home = "/tmp/msgkit"  # noqa: S108 -- within the container

    def __init__(self, instance: str, image: str) -> None:
        self._instance = instance
        self._image = image
        self.address = _address_of_engine()
        self._ports = Ports()
        self._network: Network | None = None
        self._containers: list[_Container] = []
        self._keeper = Keeper(instance)
        self._keeper.ask("containers")

    def reserve(self, *also: int) -> int:
        return self._ports.reserve(*also)

    def add(self, program: Program) -> Running:
        container = _Container(self._made(program), program, self._keeper)
        self._containers.append(container)
        return container

    def name_of(self, program: str) -> str:
        if self._network is None:
            self._network = Network(docker_network_kw={"labels": {_LABEL: self._instance}}).create()
        return self._name(program)

    def give_up(self) -> None:
        self._keeper.give_up()

    def close(self) -> None:
        try:
            for container in self._containers:
                container.remove()
            if self._network is not None:
                with suppress(NotFound):
                    self._network.remove()
        finally:
            self._containers, self._network = [], None
            try:
                self._keeper.close()
            finally:
                self._ports.close()

    def _name(self, program: str) -> str:
        return f"msgkit-{self._instance}-{program}"

    def _made(self, program: Program) -> DockerContainer:
        texts = dict(enumerate(program.files.values()))
        made = DockerContainer(
            self._image,
            name=self._name(program.name),
            env={**program.env, "HOME": self.home, **{f"MSGKIT_FILE_{n}": text for n, text in texts.items()}},
            labels={_LABEL: self._instance},
            # Whatever the image does at its start is for those who do not say what they want.
            entrypoint=["sh", "-c", self._script(program)],
        )
        where = LOOPBACK if self.address == LOOPBACK else _ANYWHERE
        # The engine takes an address too, which is more than testcontainers says of it.
        ports: dict[str, Any] = made.ports
        ports.update({f"{inner}/tcp": (where, outer) for inner, outer in program.ports.items()})
        if self._network is not None:
            made.with_network(self._network)
        return made

    def _script(self, program: Program) -> str:
        lines = ["set -e", f"mkdir -p {self.home}", f"cd {self.home}"]
        for n, name in enumerate(program.files):
            file = shlex.quote(name)
            lines += [
                f'mkdir -p "$(dirname {file})"',
                # A cookie may be read by its owner alone, or Erlang refuses it.
                f'rm -f {file}; (umask 077; printf %s "$MSGKIT_FILE_{n}" > {file})',
            ]
        return "\n".join([*lines, program.script])


class _Container(Running):
    def __init__(self, made: DockerContainer, program: Program, keeper: Keeper) -> None:
        self._keeper = keeper
        self._made = made
        self._program = program
        self._started: Container | None = None

    def start(self) -> None:
        self._keeper.check()
        try:
            if self._started is None:
                with _without_ryuk():
                    self._made.start()
                self._started = self._made.get_wrapped_container()
            else:
                self._started.start()
        except APIError as error:
            msg = f"the container engine could not start {self._program.name}: {error.explanation}"
            raise MessagingError(msg) from error

    def stop(self, within: float) -> None:
        if not self.is_alive():
            return
        container = self._container
        container.stop(timeout=round(within))
        if container.wait(timeout=_PATIENCE)["StatusCode"] == _KILLED:
            msg = f"{self._program.name} had not ended after {within:g} s"
            raise TimeoutError(msg)

    def kill(self) -> None:
        if self.is_alive():
            self._container.kill()
        self._container.wait(timeout=_PATIENCE)

    def pause(self) -> None:
        if self._status() == _RUNNING:
            self._freeze()
            self._wait_for(_PAUSED)

    def _freeze(self) -> None:
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                self._container.pause()
            except APIError as error:
                # With control groups of version 1 the engine gives up when threads are born faster than it stops them.
                if _RACE not in str(error.explanation) or time.monotonic() > until:
                    raise
                time.sleep(_LOOK)
            else:
                return

    def resume(self) -> None:
        if self._status() == _PAUSED:
            self._container.unpause()
            self._wait_for(_RUNNING)

    def is_alive(self) -> bool:
        self._keeper.check()
        return self._started is not None and self._status() in {_RUNNING, _PAUSED}

    def execute(self, command: Sequence[str]) -> str:
        try:
            done = self._container.exec_run(list(command), demux=True)
        except APIError as error:
            msg = f"{shlex.join(command)} cannot be run in {self._program.name}: {error.explanation}"
            raise MessagingError(msg) from error
        # With `demux` it is a pair, of which the stubs know nothing.
        out, err = (bytes(part or b"").decode(errors="replace") for part in done.output)
        if done.exit_code:
            msg = f"{shlex.join(command)} ended with {done.exit_code}: {out}{err}"
            raise MessagingError(msg)
        return out

    def log(self) -> str:
        return bytes(self._started.logs()).decode(errors="replace") if self._started else ""

    def remove(self) -> None:
        with suppress(NotFound):
            self._made.stop()

    @property
    def _container(self) -> Container:
        if self._started is None:
            msg = f"{self._program.name} has not been started"
            raise MessagingError(msg)
        return self._started

    def _status(self) -> str:
        self._container.reload()
        return self._container.status

    def _wait_for(self, status: str) -> None:
        until = time.monotonic() + _PATIENCE
        while (found := self._status()) != status:
            if time.monotonic() > until:
                msg = f"{self._program.name} is {found}, not {status}, after {_PATIENCE:g} s"
                raise TimeoutError(msg)
            time.sleep(_LOOK)


@contextmanager
def _without_ryuk() -> Generator[None]:
    """Start no second guard: the keeper sees to these containers, and needs no image for it."""
    with _ryuk:
        before = testcontainers_config.ryuk_disabled
        testcontainers_config.ryuk_disabled = True
        try:
            yield
        finally:
            testcontainers_config.ryuk_disabled = before


def _address_of_engine() -> str:
    """Return where the ports of containers are found."""
    client = DockerClient()
    try:
        here = str(client.client.info().get("Name")) == platform.node()
        host = LOOPBACK if here and inside_container() else client.host()
    except APIError as error:
        msg = f"the container engine answers, but does not tell of itself: {error}"
        raise MessagingError(msg) from error
    finally:
        client.client.close()
    return LOOPBACK if host == "localhost" else host
