"""From deliveries that are ready to how they end: judged, handled, decided, settled."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, cast

from msgkit.container.options import ConsumerOptions
from msgkit.container.worker import Interrupted, Watchdog, Worker
from msgkit.deliveries import Observer, Settling, current
from msgkit.dispatch import NOTHING_SAID, Dispatcher, Handler, Outcome, handle_batch, isolated
from msgkit.envelope import Envelope
from msgkit.errors import ConfigurationError
from msgkit.message import Message, Settler
from msgkit.policy import GiveUp
from msgkit.settlement import Accept, Reject, Retry, Settlement
from msgkit.spi import RawDelivery

__all__ = ["FailReply", "Handling", "HandlingObserver"]

logger = logging.getLogger("msgkit")

#: Tells whoever asked that there will be no answer.
FailReply = Callable[[Envelope, GiveUp], Awaitable[None]]


class HandlingObserver(Observer, Protocol):
    """Sees what is handled, too."""

    def handled(self, handler: Handler, message: Message[Any], /) -> None: ...


class Handling:
    """What the workers of one queue share, while it is consumed."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        options: ConsumerOptions,
        *,
        settling: Settling,
        settler: Settler,
        watchdog: Watchdog,
        fail_reply: FailReply,
        observer: HandlingObserver | None,
    ) -> None:
        self._dispatcher = dispatcher
        self._timeout = options.timeout
        self._settling = settling
        self._settler = settler
        self._watchdog = watchdog
        self._fail_reply = fail_reply
        self._observer = observer

    async def one(self, worker: Worker, raw: RawDelivery) -> None:
        """Handle one delivery, whatever comes of it."""
        envelope = current(raw)
        settling = self._settling
        if raw not in settling.held or not settling.fit(raw, envelope):
            return
        seen: list[Message[Any]] | None = None if self._observer is None else []
        later = False
        self._begin(worker, (raw,))
        try:
            handler = self._dispatcher.choose(envelope)
            later = handler.settles_later
            worker.can_cancel = handler.executor is None
            outcome: Outcome = await isolated(handler.handle(envelope, self._settler, raw, seen))
            if seen:
                self._handled(handler, seen)
        except asyncio.CancelledError:
            outcome = worker.cancelled()
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 -- whatever a handler raises becomes a settlement
            outcome = _told(error)
        finally:
            worker.finish()
        if not settling.is_open(raw, envelope.attempt):
            settling.finished(raw)
            _warn_of(raw, outcome)
        elif outcome.__class__ is not Accept:
            await self._conclude(raw, envelope, outcome)
        elif not later or outcome is not NOTHING_SAID:
            settling.accept(raw)

    async def batch(self, worker: Worker, raws: Sequence[RawDelivery]) -> None:
        """Handle a batch; each of it ends for itself."""
        pairs = [(raw, current(raw)) for raw in raws]
        fit = [
            (raw, envelope)
            for raw, envelope in pairs
            if raw in self._settling.held and self._settling.fit(raw, envelope)
        ]
        if not fit:
            return
        handler = self._dispatcher.handlers[0]
        worker.can_cancel = handler.executor is None
        seen: list[Message[Any]] | None = None if self._observer is None else []
        self._begin(worker, tuple(raw for raw, _ in fit))
        try:
            outcomes: list[Outcome] = await isolated(handle_batch(handler, [envelope for _, envelope in fit], seen))
            if seen:
                self._handled(handler, seen)
        except asyncio.CancelledError:
            outcomes = [worker.cancelled()] * len(fit)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 -- whatever a handler raises becomes a settlement
            outcomes = [_told(error)] * len(fit)
        finally:
            worker.finish()
        for (raw, envelope), outcome in zip(fit, outcomes, strict=True):
            if raw in self._settling.held:
                await self._conclude(raw, envelope, outcome)
            else:
                self._settling.finished(raw)

    async def settle_by_hand(self, raw: RawDelivery, outcome: Settlement) -> None:
        """End a delivery as its handler asks, and return when the broker has heard of it.

        :raises ConfigurationError: for what is no settlement
        """
        if not isinstance(outcome, (Accept, Retry, Reject)):  # pyright: ignore[reportUnnecessaryIsInstance] -- callers without a type checker
            msg = f"settle() takes Accept(), Retry() or Reject(reason), not {outcome!r}"
            raise ConfigurationError(msg)
        await self._conclude(raw, current(raw), outcome)
        await self._settling.heard(raw)

    def _begin(self, worker: Worker, raws: Sequence[RawDelivery]) -> None:
        worker.begin(raws)
        if self._timeout is not None:
            self._watchdog.watch(worker, self._timeout)

    async def _conclude(self, raw: RawDelivery, envelope: Envelope, outcome: Outcome) -> None:
        if isinstance(outcome, Interrupted):
            # Lost, stopped or paused: no failure.
            if outcome.args[0] == "stop":
                self._settling.leave_open(raw)
            if outcome.args[0] == "pause":
                self._settling.hand_back(raw)
            if outcome.args[0] != "timeout":
                return
            outcome = TimeoutError(f"the handler took longer than {self._timeout:g} s")
        decision = self._settling.decide(raw, outcome)
        if isinstance(decision, GiveUp) and envelope.reply_to is not None:
            await self._fail_reply(envelope, decision)
        if self._settling.is_open(raw, envelope.attempt):
            self._settling.carry_out(raw, envelope, decision)

    def _handled(self, handler: Handler, seen: Sequence[Message[Any]]) -> None:
        if self._observer is not None:
            for message in seen:
                self._observer.handled(handler, message)


def _told(error: BaseException) -> BaseException:
    """Return what was raised to end the message, even when a task group has wrapped it."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    group = cast("BaseExceptionGroup[BaseException]", error)
    inner = _told(group.exceptions[0]) if len(group.exceptions) == 1 else None
    return inner if isinstance(inner, (Retry, Reject)) else group


def _warn_of(raw: RawDelivery, outcome: Outcome) -> None:
    """Say that a handler failed after its delivery had ended: nothing follows from it any more."""
    if isinstance(outcome, Exception) and not isinstance(outcome, (Interrupted, Retry, Reject)):
        text = "message %s: the handler failed after it had settled the message, or had lost it"
        logger.warning(text, raw.envelope.message_id, exc_info=outcome)
