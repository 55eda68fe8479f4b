"""How one queue is consumed: what its listeners say, overridden by the settings; contradictions are refused."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from msgkit.errors import AmbiguousListener, ConfigurationError
from msgkit.listener import Batch, BoundListener
from msgkit.policy import Backoff
from msgkit.settings import QueueSettings
from msgkit.topology import Queue
from msgkit.values import seconds

__all__ = ["ConsumerOptions", "consumer_options"]

_OF_THE_QUEUE = frozenset({"concurrency", "max_in_flight", "retry", "timeout", "autostart", "on_lost"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerOptions:
    """How one queue is consumed."""

    concurrency: int = 1
    max_in_flight: int = 16
    retry: Backoff
    timeout: float | None = None
    autostart: bool = True
    on_lost: Literal["cancel", "finish"] = "cancel"
    batch: Batch | None = None


def consumer_options(queue: Queue[Any], listeners: Sequence[BoundListener], settings: QueueSettings) -> ConsumerOptions:
    """Return the options of a queue.

    :raises ConfigurationError: when two listeners say different things, or the numbers do not fit
    """
    said = _agreed(queue, listeners)
    concurrency = settings.get("concurrency", said.get("concurrency", 1))
    batch = _batch(queue, listeners)
    enough = max(16, 4 * concurrency, 2 * concurrency * batch.size if batch else 0)
    in_flight = settings.get("max_in_flight", said.get("max_in_flight", enough))
    if in_flight < concurrency:
        msg = f"{queue}: max_in_flight={in_flight} is less than concurrency={concurrency}; some would never work"
        raise ConfigurationError(msg)
    if batch is not None and in_flight < batch.size:
        msg = f"{queue}: max_in_flight={in_flight} is less than {batch}, so that no batch would ever be full"
        raise ConfigurationError(msg)
    retry: Backoff = said.get("retry", Backoff())
    if "attempts" in settings:
        retry = retry.with_attempts(settings["attempts"])
    return ConsumerOptions(
        concurrency=concurrency,
        max_in_flight=in_flight,
        retry=retry,
        timeout=seconds(said["timeout"], "timeout=") if "timeout" in said else None,
        autostart=settings.get("autostart", said.get("autostart", True)),
        on_lost=said.get("on_lost", "cancel"),
        batch=batch,
    )


def _agreed(queue: Queue[Any], listeners: Sequence[BoundListener]) -> Mapping[str, Any]:
    """Merge what the listeners of a queue say of it; defaults of their groups count where all of them are silent."""
    own = _said_once(queue, [(bound.name, bound.spec.options) for bound in listeners])
    defaults = [{name: bound.defaults[name] for name in bound.defaults.keys() - own.keys()} for bound in listeners]
    groups = _said_once(queue, [(bound.name, said) for bound, said in zip(listeners, defaults, strict=True)])
    return {**groups, **own}


def _said_once(queue: Queue[Any], said: Sequence[tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
    agreed: dict[str, tuple[Any, str]] = {}
    for who, options in said:
        for name in options.keys() & _OF_THE_QUEUE:
            value, other = agreed.setdefault(name, (options[name], who))
            if value != options[name]:
                msg = (
                    f"{queue} is consumed with {name}={value!r} by {other}() "
                    f"and with {name}={options[name]!r} by {who}(); say it once"
                )
                raise ConfigurationError(msg)
    return {name: value for name, (value, _) in agreed.items()}


def _batch(queue: Queue[Any], listeners: Sequence[BoundListener]) -> Batch | None:
    batches = [bound for bound in listeners if bound.spec.batch is not None]
    if batches and len(listeners) > 1:
        msg = f"{batches[0].name}() takes batches of {queue}, so it must be the queue's only listener"
        raise AmbiguousListener(msg)
    return batches[0].spec.batch if batches else None
