"""Which brokers a test run is for, as its options and the environment name them."""

from collections.abc import Mapping, Sequence

from msgkit.errors import ConfigurationError, UnsupportedCapability

__all__ = ["MEMORY_URL", "REAL", "REQUIRE", "Given", "begins", "named", "required", "shown"]

MEMORY_URL = "memory://"
#: What the URL of each begins with.
_KNOWN: Mapping[str, str] = {
    "memory": MEMORY_URL,
    "rabbitmq": "amqp://",
    "kafka": "kafka://",
    "rocketmq": "rocketmq://",
}
#: Those that are started for the run.
REAL = tuple(name for name in _KNOWN if name != "memory")
#: Names the brokers without which no test may be skipped.
REQUIRE = "MSGKIT_TEST_REQUIRE"

_OURS = frozenset({"stop", "start", "kill", "pause", "resume", "proxy", "addresses", "direct", "provider", "version"})


class Given:
    """A broker that the run did not start: `memory://`, or what somebody gave a URL of. It has no faults."""

    #: As of a broker that others run.
    nodes = ()

    def __init__(self, url: str) -> None:
        self.url = url
        self.name = url.partition("://")[0]

    def __repr__(self) -> str:
        return f"<Given {shown(self.url)}>"

    def __getattr__(self, name: str) -> object:
        if name not in _OURS:
            msg = f"{type(self).__name__!r} object has no attribute {name!r}"
            raise AttributeError(msg)
        msg = (
            f"broker.{name} is for brokers that the test run starts, and {shown(self.url)} is none: "
            f"run with --msgkit-brokers={','.join(REAL)}, or skip the test where broker.nodes is empty"
        )
        raise UnsupportedCapability(msg)

    async def log(self) -> str:
        """Return nothing: whoever runs it has its log."""
        return ""


def named(text: str) -> Sequence[str]:
    """Return the brokers that a list names, each once; a URL stands for itself.

    :raises ConfigurationError: naming those that are known
    """
    found: list[str] = []
    for part in (part.strip() for part in text.split(",")):
        if "://" in part or part in _KNOWN:
            found.append("memory" if part == MEMORY_URL else part)
        elif ":" in part and found and "://" in found[-1]:
            # More of one URL: kafka://one:9092,two:9092
            found[-1] += f",{part}"
        else:
            msg = f"there is no broker {part!r}; known are {', '.join(_KNOWN)}, and any URL"
            raise ConfigurationError(msg)
    return tuple(dict.fromkeys(found))


def begins(name: str) -> str:
    """Return what the URL of a broker begins with, which is known before there is one."""
    return _KNOWN.get(name, name)


def required(text: str) -> frozenset[str]:
    """Return the brokers that the environment requires.

    :raises ConfigurationError: naming those that can be
    """
    names = frozenset(part.strip() for part in text.split(",") if part.strip())
    if unknown := sorted(names.difference(REAL)):
        msg = f"{REQUIRE} names {unknown[0]!r}; it may name {', '.join(REAL)}"
        raise ConfigurationError(msg)
    return names


def shown(name: str) -> str:
    """Return how people are shown a broker: its name, or its URL without the password."""
    from msgkit.settings import redact  # noqa: PLC0415 -- a run on memory shows nothing

    return redact(name) if "://" in name else name
