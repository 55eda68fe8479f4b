"""What callers meet at the face: clocks, names, declarations, groups, the command, and refusals in words."""

import asyncio
import queue as queue_of_python
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process, create_subprocess_exec
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import pytest

from msgkit import (
    Accept,
    Application,
    Backoff,
    Batch,
    Delivery,
    Exchange,
    Json,
    Listeners,
    Queue,
    Route,
    Settings,
    listener,
)
from msgkit.application.signals import Signals
from msgkit.cli import main
from msgkit.cli.loading import load_application
from msgkit.clock import SystemClock
from msgkit.errors import ConfigurationError
from msgkit.listener import collect
from msgkit.naming import Naming
from msgkit.spi import BindingOptions
from msgkit.testing import probe


class Machine:
    """The two clocks of a machine, which stand until they are turned."""

    def __init__(self) -> None:
        self.steady = 100.0
        self.wall = 1_700_000_000.0

    def pass_by(self, seconds: float) -> None:
        self.steady += seconds
        self.wall += seconds


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    monkeypatch.setattr(time, "monotonic", lambda: machine.steady)
    monkeypatch.setattr(time, "time", lambda: machine.wall)
    return machine


def test_a_moment_follows_the_wall_within_a_second_of_a_suspend(machine: Machine) -> None:
    clock = SystemClock()
    machine.wall += 3600
    machine.pass_by(1)
    assert clock.now() == machine.wall


def test_a_moment_does_not_follow_what_differs_by_less_than_a_second(machine: Machine) -> None:
    clock = SystemClock()
    machine.wall += 0.5
    machine.pass_by(10)
    assert clock.now() == machine.wall - 0.5


def test_a_wall_that_is_set_back_is_let_catch_up_without_time_going_back(machine: Machine) -> None:
    clock = SystemClock()
    machine.pass_by(10)
    before = clock.now()
    machine.wall -= 60
    machine.pass_by(1)
    moments = [before, clock.now()]
    for _ in range(200):
        machine.pass_by(0.7)
        moments.append(clock.now())
    steps = [later - earlier for earlier, later in pairwise(moments)]
    assert min(steps) >= 0.7 / 2 - 1e-3
    assert max(steps) <= 1 + 1e-3
    assert abs(moments[-1] - machine.wall) <= 1


def test_the_options_of_a_binding_are_not_in_its_repr() -> None:
    options = BindingOptions(url="memory://", options={"sasl_password": "s3cret"})
    assert "s3cret" not in repr(options)


# -- names


@pytest.mark.parametrize("kind", [Queue, Exchange])
def test_two_destinations_under_one_name_on_a_broker_are_refused(kind: type[Queue[Any]] | type[Exchange[Any]]) -> None:
    settings = Settings(
        queues={"a": {"name": "x"}, "b": {"name": "x"}}, exchanges={"a": {"name": "x"}, "b": {"name": "x"}}
    )
    said = rf"{kind.__name__}\('a'\) and {kind.__name__}\('b'\) would both be called 'x' on broker 'default'"
    with pytest.raises(ConfigurationError, match=said):
        Naming(settings).topologies([kind("a"), kind("b")])


def test_a_queue_and_an_exchange_may_have_one_name_and_queues_may_share_their_dead_letters() -> None:
    naming = Naming(Settings(queues={"a": {"name": "x"}}))
    queues = [Queue("a", dead_letters="graves"), Queue("b", dead_letters="graves"), Queue("graves", bytes)]
    (topology,) = naming.topologies([*queues, Exchange("x")]).values()
    assert set(topology.queues) == {"x", "b", "graves", "graves.dlq"}


# -- converters


class Swapped:
    """Writes lower case as upper case."""

    content_types = ("text/x-swapped",)

    def encodes(self, kind: object, /) -> bool:
        return kind is Swapped

    def encode(self, payload: Any, /) -> bytes:
        return str(payload).swapcase().encode()

    def decode(self, body: bytes, into: Any, /) -> Any:
        return into(body.decode().swapcase())


swapped = Swapped()
cased = Exchange("cased", str, converter=swapped)
plain = Exchange("plain", str)


@pytest.mark.parametrize(
    "queue",
    [cased.queue("a"), Queue("b", cased.where()), Queue("c", cased.where("x"), cased.where("y")), cased.where()],
    ids=str,
)
def test_a_queue_has_the_converter_of_the_exchange_that_it_takes_from(queue: Queue[str] | Route[str]) -> None:
    found = queue if isinstance(queue, Queue) else Queue.anonymous(queue)
    assert found.converter is swapped


def test_a_queue_of_exchanges_with_two_converters_must_say_which() -> None:
    with pytest.raises(ConfigurationError, match=r"takes from Exchange\('cased'\).*and from Exchange\('plain'\)"):
        Queue("both", cased.where(), plain.where())
    assert Queue("both", cased.where(), plain.where(), converter=swapped).converter is swapped


@pytest.mark.parametrize("make", [Queue, Exchange])
def test_what_is_no_converter_is_refused_in_words(make: Any) -> None:
    class OnlyTwo:
        encode = decode = Swapped.encode

    with pytest.raises(ConfigurationError, match=r"not its class; write converter=Json\(\)"):
        make("q", str, converter=Json)
    with pytest.raises(ConfigurationError, match=r"\('q'\): converter=.*OnlyTwo lacks content_types, encodes"):
        make("q", str, converter=OnlyTwo())


class Coin:
    """What no converter that is installed can write."""

    def __init__(self, side: str) -> None:
        self.side = side


class Coins:
    """Writes coins, and nothing else."""

    content_types = ("application/x-coin",)

    def encodes(self, kind: object, /) -> bool:
        return kind is Coin

    def encode(self, payload: Any, /) -> bytes:
        return str(payload.side).encode()

    def decode(self, body: bytes, _into: Any, /) -> Any:
        return Coin(body.decode())


tossed = Queue("tossed", Coin, converter=Coins())


@listener(tossed)
async def turned(coin: Coin) -> Coin:
    return Coin("tails" if coin.side == "heads" else "heads")


@listener(tossed)
async def turned_by_hand(delivery: Delivery[Coin]) -> None:
    await delivery.reply(await turned(delivery.payload))


@pytest.mark.parametrize("handler", [turned, turned_by_hand])
async def test_an_answer_is_written_by_the_converter_of_the_queue_that_was_asked(handler: Any) -> None:
    async with Application([handler]) as app:
        answer = await app.template.request(tossed, Coin("heads"), Coin, timeout=5)
    assert answer.side == "tails"


@listener(tossed)
async def counted(_coin: Coin) -> int:
    return 1


async def test_an_answer_that_the_queues_converter_cannot_write_is_written_by_another() -> None:
    async with Application([counted]) as app:
        assert await app.template.request(tossed, Coin("heads"), int, timeout=5) == 1


def test_what_is_no_route_makes_no_anonymous_queue() -> None:
    anonymous: Any = Queue.anonymous
    with pytest.raises(ConfigurationError, match=r"takes a route, such as exchange.where\(\), not 'x'"):
        anonymous("x")


# -- the command

SERVICE = """
import asyncio

from msgkit import Application, Queue, Settings, listener
from msgkit_memory import Broker

held = Queue("held", str)

@listener(held)
async def hold(text: str) -> None:
    print("held", flush=True)
    await asyncio.sleep(60)

class Holding(Application):
    async def __aenter__(self):
        await super().__aenter__()
        await self.template.send(held, "text")
        return self

class Waiting(Application):
    async def __aenter__(self):
        Broker.at("memory://holding").faults.stop()
        print("held", flush=True)
        return await super().__aenter__()

app = {0}([hold], settings=Settings(url="memory://holding", wait_for_broker=60, drain=60))
"""


@asynccontextmanager
async def service(folder: Path, kind: str) -> AsyncGenerator[Process]:
    """Run a service from the command line, from when it says that it is held up."""
    (folder / "service.py").write_text(SERVICE.format(kind))
    command = ("-m", "msgkit.cli", "run", "service.py")
    process = await create_subprocess_exec(sys.executable, *command, cwd=folder, stdout=PIPE, stderr=PIPE)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(20):
            assert await process.stdout.readline() == b"held\n"
            yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def end(process: Process) -> tuple[int | None, str]:
    _, said = await process.communicate()
    return process.returncode, said.decode()


async def test_a_second_signal_ends_a_program_at_once_and_without_a_traceback(tmp_path: Path) -> None:
    async with service(tmp_path, "Holding") as process:
        assert process.stderr is not None
        process.terminate()
        while b"finishing" not in await process.stderr.readline():
            pass
        process.terminate()
        code, said = await end(process)
    assert code == 128 + signal.SIGTERM
    assert "stopping at once" in said
    assert "Traceback" not in said
    assert "CancelledError" not in said


async def test_a_signal_ends_the_wait_for_a_broker_at_once_and_cleanly(tmp_path: Path) -> None:
    async with service(tmp_path, "Waiting") as process:
        process.terminate()
        code, said = await end(process)
    assert code == 0
    assert "starting no further" in said
    assert "Traceback" not in said


async def test_a_task_that_others_cancel_ends_cancelled() -> None:
    entered = asyncio.Event()

    class Entered(Application):
        async def __aenter__(self) -> Self:
            await super().__aenter__()
            entered.set()
            return self

    task = asyncio.create_task(Entered([], settings=Settings(url="memory://cancelled")).run_until_signalled())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_running_in_another_thread_is_refused_in_words() -> None:
    app = Application([], settings=Settings(url="memory://elsewhere"))
    with (
        ThreadPoolExecutor(1) as elsewhere,
        pytest.raises(ConfigurationError, match="only the main thread gets signals"),
    ):
        elsewhere.submit(app.run).result()


async def test_signals_are_heard_where_the_loop_takes_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(asyncio.get_running_loop(), "add_signal_handler", refuse)
    before = signal.getsignal(signal.SIGTERM)
    signals = Signals()
    async with asyncio.timeout(10):
        with signals.heard():
            signal.raise_signal(signal.SIGTERM)
            await signals.asked()
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget what is imported from now on."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.usefixtures("forgetful")
@pytest.mark.parametrize("name", ["queue.py", "service.py"])
def test_a_file_is_loaded_itself_whatever_its_name(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("import msgkit\napp = msgkit.Application([])\n")
    found = load_application(str(tmp_path / name))
    assert load_application(f"{tmp_path / name}:app") is found
    assert sys.modules["queue"] is queue_of_python


@pytest.mark.usefixtures("forgetful")
def test_pruning_ends_well_when_it_did_all_that_could_be_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pruned.py").write_text("from msgkit import *\napp = Application([], topology=[Queue('kept')])\n")
    monkeypatch.setenv("MSGKIT_URL", "memory://pruned")
    assert main(["plan", str(tmp_path / "pruned.py")]) == 1
    assert main(["prune", str(tmp_path / "pruned.py")]) == 0
    assert "queue kept" in capsys.readouterr().out


# -- refusals in words

BAD: dict[str, tuple[Callable[[], object], str]] = {
    "a topology of names": (lambda: _untyped(Application)(topology=["x"]), "exchanges and queues, and 'x' is none"),
    "a topology of one": (
        lambda: _untyped(Application)(topology=plain),
        r"a list of exchanges and queues, not Exchange\('plain'\)",
    ),
    "no interceptor": (
        lambda: _untyped(Application)(handling=[None]),
        r"handling=\) takes functions, and None is none",
    ),
    "one interceptor": (lambda: _untyped(Application)(sending=print), r"sending=\) takes a list of functions"),
    "an interceptor of a listener": (
        lambda: _untyped(listener)(Queue("q"), interceptors=["x"]),
        r"@listener\(Queue\('q'\)\): interceptors= takes functions, and 'x' is none",
    ),
    "an interceptor of a group": (
        lambda: _untyped(Listeners)(interceptors=None),
        "takes a list of functions, not None",
    ),
    "a start by a word": (lambda: _untyped(listener)(Queue("q"), autostart="no"), "must be True or False, not 'no'"),
    "a factor in letters": (lambda: _untyped(Backoff)(factor="2"), r"factor=\) must be a number, not '2'"),
    "a jitter in letters": (lambda: _untyped(Backoff)(jitter="0"), r"jitter=\) must be a number, not '0'"),
    "a pause before now": (lambda: Backoff(first=-1), "must not be negative"),
    "a limit in letters": (lambda: _untyped(Backoff)(limit="1"), "must be seconds or a timedelta, not str"),
    "a timeout in letters": (lambda: _untyped(listener)(Queue("q"), timeout="1"), "timeout= must be seconds"),
    "a batch before now": (lambda: Batch(5, within=-1), "must not be negative"),
}


def _untyped(make: Any) -> Any:
    return make


@pytest.mark.parametrize("what", BAD)
def test_what_cannot_be_configured_is_refused_in_words(what: str) -> None:
    make, said = BAD[what]
    with pytest.raises(ConfigurationError, match=said):
        make()


# -- what listens in a module

MODULE = """
from msgkit import Listeners, Queue, listener

class Service:
    @listener(Queue("grouped"))
    async def take(self, body: bytes) -> None: ...

service = Service()

@listener(Queue("plain"))
async def plain(body: bytes) -> None: ...

@listener(Queue("both"))
async def both(body: bytes) -> None: ...

alias = plain
group = other_name = Listeners(service, both, concurrency=3)
"""


def module(name: str, code: str, **imported: object) -> Any:
    made = ModuleType(name)
    vars(made).update(imported)
    exec(code, vars(made))  # noqa: S102 -- a module without a file
    return made


def test_a_module_gives_its_functions_and_groups_once_whatever_their_names() -> None:
    listeners, _ = collect([module("shop", MODULE)])
    found = [(bound.spec.queue.name, dict(bound.defaults)) for bound in listeners]
    assert found == [("grouped", {"concurrency": 3}), ("both", {"concurrency": 3}), ("plain", {})]


def test_a_group_that_a_listed_module_imports_from_another_is_taken_once() -> None:
    shop = module("shop", MODULE)
    listeners, _ = collect([shop, module("whole", "", group=shop.group)])
    assert len(listeners) == 3


def test_a_module_with_objects_alone_is_refused_since_they_are_to_be_listed_themselves() -> None:
    made = module("objects", MODULE.partition('@listener(Queue("plain"))')[0])
    with pytest.raises(ConfigurationError, match="nothing listens in module objects"):
        collect([made])


# -- probes


async def test_a_probe_is_idle_while_a_delivery_is_kept_and_busy_while_its_handler_runs() -> None:
    kept: list[Delivery[str]] = []
    may_return = asyncio.Event()

    @listener(Queue("kept", str, ordered=True), settle="later")
    async def keep(delivery: Delivery[str]) -> None:
        kept.append(delivery)
        await may_return.wait()

    async with probe(Application([keep])) as probed:
        # The second waits behind the first.
        for text in ("first", "second"):
            await probed.template.send(Queue("kept", str), text, key="k")
        with pytest.raises(TimeoutError, match="kept"):
            await probed.idle(timeout=0.05)
        may_return.set()
        await probed.idle()
        assert [delivery.payload for delivery in kept] == ["first"]
        await kept[0].settle(Accept())
        await probed.idle()
        assert [delivery.payload for delivery in kept] == ["first", "second"]
        await kept[1].settle(Accept())
        await probed.idle()


async def test_a_probe_keeps_a_queue_and_an_exchange_of_one_name_apart() -> None:
    queue, exchange = Queue("one", str), Exchange("one", str)
    async with probe(Application([], topology=[queue, exchange])) as probed:
        await probed.template.send(queue, "to the queue")
        await probed.template.send(exchange, "to the exchange")
        assert [message.payload for message in probed.sent(queue)] == ["to the queue"]
        assert [message.payload for message in probed.sent(exchange)] == ["to the exchange"]
