"""Real brokers from the command line: install what they need, run them, say which can be had."""

import argparse
import asyncio
import signal
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from types import FrameType

from msgkit.errors import ConfigurationError, MessagingError
from msgkit.testing.brokers import Broker, Kafka, RabbitMQ, RocketMQ
from msgkit.testing.brokers.cache import cache, disk_used
from msgkit.testing.brokers.supply import Provider, variable
from msgkit.testing.brokers.trouble import Trouble

__all__ = ["main"]

_BROKERS: Mapping[str, type[Broker]] = {each.name: each for each in (RabbitMQ, Kafka, RocketMQ)}
_INSTALLED = ("container", "process")
_ENDING = (signal.SIGINT, signal.SIGTERM)
#: Where the recipes stand in a checkout; an installed package has none.
_RECIPES = Path(__file__).parents[3] / "tests" / "images"


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says, and return what it ends with.

    0 when all was had that was asked for, 1 when something was not, 2 for what cannot work, 130 when
    interrupted.
    """
    asked = _parser().parse_args(arguments)
    try:
        match asked.command:
            case "install":
                return _install(asked.brokers or list(_BROKERS), asked.provider, asked.images, newer=asked.newer)
            case "up":
                return asyncio.run(_up(asked.brokers, asked.provider, asked.version))
            case _:
                return _status()
    except KeyboardInterrupt:
        return 130
    except ConfigurationError as error:
        return _failed(str(error))
    except ModuleNotFoundError as error:
        return _failed(f"{error.name} is missing: pip install 'msgkit-messaging[testing]'")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m msgkit.testing.brokers", description="Real brokers for tests.")
    commands = parser.add_subparsers(dest="command", required=True)

    what = "install what brokers need: packages, jars, a container engine, images; what is there is reused"
    install = commands.add_parser("install", help=what, description=what)
    _add_brokers(install, "*", "all of them when none is named")
    install.add_argument("--provider", choices=_INSTALLED, help="only what this one needs")
    install.add_argument(
        "--images",
        type=_folder,
        default=_RECIPES if _RECIPES.is_dir() else None,
        metavar="FOLDER",
        help="recipes of images, for where the official ones cannot be pulled",
    )
    install.add_argument("--newer", action="store_true", help="a newer version of each beside the usual one")

    what = "run brokers until Ctrl-C or SIGTERM, and print a URL for each"
    up = commands.add_parser("up", help=what, description=what)
    _add_brokers(up, "+", "one or more")
    up.add_argument("--provider", choices=("external", *_INSTALLED), help="the only one to ask")
    up.add_argument("--version", help="where one broker is named: its version")

    what = "say which broker can be had by which provider, and how to get the others"
    commands.add_parser("status", help=what, description=what)
    return parser


def _add_brokers(parser: argparse.ArgumentParser, number: str, which: str) -> None:
    known = ", ".join(_BROKERS)
    parser.add_argument("brokers", nargs=number, type=_known, metavar="BROKER", help=f"{known}; {which}")


def _known(name: str) -> str:
    if name not in _BROKERS:
        raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(_BROKERS)}")
    return name


def _folder(path: str) -> Path:
    folder = Path(path).absolute()
    if not (folder / "base" / "make").is_file():
        raise argparse.ArgumentTypeError(f"{path} holds no recipes of images")
    return folder


# -- install


def _install(names: Sequence[str], provider: str | None, recipes: Path | None, *, newer: bool) -> int:
    from msgkit.testing.brokers.install.installing import install, wishes  # noqa: PLC0415 -- needs an extra

    began = perf_counter()
    wanted = wishes(list(dict.fromkeys(names)), [provider] if provider else _INSTALLED, newer=newer)
    with _ended_by_sigterm():
        outcomes = install(wanted, recipes, _progress)
    _tell("")
    _tell_outcomes({f"{_named(wish.name, wish.version):<15} {wish.provider:<9}": how for wish, how in outcomes.items()})
    used = disk_used(cache()) / 1e6
    _tell(f"\n{perf_counter() - began:.1f} s; the cache in {cache()} takes {used:.0f} MB")
    return 1 if any(isinstance(outcome, Trouble) for outcome in outcomes.values()) else 0


def _named(name: str, version: str | None = None) -> str:
    title = _BROKERS[name].title
    return f"{title} {version}" if version else title


@contextmanager
def _ended_by_sigterm() -> Generator[None]:
    """Have SIGTERM end this like Ctrl-C, so that nothing temporary stays behind."""
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


# -- up


async def _up(names: Sequence[str], provider: Provider | None, version: str | None) -> int:
    if version is not None and len(names) > 1:
        raise ConfigurationError("--version is of one broker, and several are named")
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for number in _ENDING:
        loop.add_signal_handler(number, stopped.set)
    stopping = asyncio.create_task(stopped.wait())
    running = [asyncio.create_task(_run(_BROKERS[name](version, provider=provider))) for name in dict.fromkeys(names)]
    # A broker's task ends by itself only when it cannot be had; the others are then of no use either.
    await asyncio.wait([stopping, *running], return_when=asyncio.FIRST_COMPLETED)
    for number in _ENDING:
        # Who asks twice does not want to wait: what is left of the brokers is for their keepers.
        loop.remove_signal_handler(number)
    for task in (stopping, *running):
        task.cancel()
    ended = await asyncio.gather(*running, return_exceptions=True)
    for error in ended:
        if error is not None and not isinstance(error, MessagingError | asyncio.CancelledError):
            raise error
    failed = [str(error) for error in ended if isinstance(error, MessagingError)]
    return _failed("\n".join(failed), code=1) if failed else 0


async def _run(broker: Broker) -> None:
    # Apart from what a program may read.
    sys.stderr.write(f"starting {broker.title} ...\n")
    sys.stderr.flush()
    async with broker:
        # One that is somebody else's may have a password.
        url = f"${variable(broker.name)}" if broker.provider == "external" else broker.url
        _tell(f"MSGKIT_URL={url}   # {broker.title} {broker.version}, {broker.provider}")
        await asyncio.Event().wait()


# -- status


def _status() -> int:
    from msgkit.testing.brokers.install.readiness import PROVIDERS, served_or_not  # noqa: PLC0415 -- needs an extra

    _tell_outcomes({f"{_named(name):<9} {by:<9}": served_or_not(name, by) for name in _BROKERS for by in PROVIDERS})
    return 0


# -- telling


def _tell_outcomes(outcomes: Mapping[str, str | Trouble]) -> None:
    told: set[str] = set()
    for what, outcome in outcomes.items():
        match outcome:
            case Trouble() if str(outcome) in told:
                _tell(f"{what}  no   for the same reason")
            case Trouble(why=why, mend=mend):
                _tell(f"{what}  no   {why}")
                _tell(f"{'':{len(what)}}       -> {mend}")
            case _:
                _tell(f"{what}  yes  {outcome}")
        told.add(str(outcome))


def _progress(line: str) -> None:
    _tell(f"  {line}")


def _tell(line: str) -> None:
    # At once, also where it is piped.
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _failed(why: str, code: int = 2) -> int:
    sys.stderr.write(f"{why}\n")
    return code
