"""An application while it runs: its brokers, its queues' runners, and the order in which they come and go."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgkit.application.assembly import Assembled, assemble
from msgkit.clock import Clock
from msgkit.container import HandlingObserver, QueueRunner
from msgkit.converter import Converter
from msgkit.dispatch import Handler
from msgkit.envelope import Envelope, Receipt
from msgkit.errors import ConfigurationError, SendFailed, UnsupportedCapability
from msgkit.interception import HandleInterceptor
from msgkit.listener import BoundChecker, BoundListener
from msgkit.message import Message
from msgkit.policy import GiveUp
from msgkit.spi import Capabilities, Power, TwoPhase
from msgkit.template import MessageTemplate, Sender, Session, SyncTemplate
from msgkit.topology import Destination, Queue

__all__ = ["Running", "label"]

logger = logging.getLogger("msgkit")

#: Seconds that a stop may take when whoever asked for it waits no longer.
_HURRIED = 5.0


class Running:
    """One run of an application, from its first connection to its last."""

    def __init__(self, template: MessageTemplate, session: Session) -> None:
        self._template = template
        self._session = session
        self.settings = session.settings
        self.runners: dict[str, QueueRunner] = {}
        self._assembled: list[Assembled] = []
        self._said_nowhere: set[str] = set()

    def assemble(self, listeners: Sequence[BoundListener], interceptors: Sequence[HandleInterceptor]) -> None:
        """Put the listeners together; nothing is connected yet."""
        loop = asyncio.get_running_loop()
        resources: Mapping[Any, Any] = {
            MessageTemplate: self._template,
            Sender: self._template,
            SyncTemplate: SyncTemplate.over(self._template, loop),
        }
        self._assembled = assemble(
            listeners,
            settings=self.settings,
            conversion=self._session.conversion,
            resources=resources,
            outlet=self,
            interceptors=interceptors,
        )

    async def start(
        self,
        destinations: Sequence[Destination[Any]],
        checkers: Sequence[BoundChecker],
        *,
        clock: Clock,
        observer: HandlingObserver | None,
    ) -> None:
        """Declare everything, then consume; what the brokers cannot keep is refused before the first message."""
        await self._session.declare(tuple(destinations))
        for assembled in self._assembled:
            link = await self._session.link_of(assembled.queue)
            _require(link.capabilities, assembled)
            self.runners[label(assembled.queue)] = QueueRunner(
                self._session.naming.queue_spec(assembled.queue),
                dispatcher=assembled.dispatcher,
                options=assembled.options,
                binding=link.binding,
                clock=clock,
                reply=self._replier(link.broker.name, assembled.queue.converter),
                fail_reply=self._failure_replier(link.broker.name),
                observer=observer,
            )
        if checkers:
            await self._answer_checks({checker.name: checker.handler for checker in checkers})
        autostarted = [label(assembled.queue) for assembled in self._assembled if assembled.options.autostart]
        await asyncio.gather(*(self.runners[name].start() for name in autostarted))

    async def _answer_checks(self, by_name: Mapping[str, Callable[..., Any]]) -> None:
        """Register who answers for half messages, with every broker that has them."""

        async def check(name: str, envelope: Envelope) -> bool | None:
            try:
                answer = by_name[name](Message.received(envelope.body, envelope))
                decided: bool | None = await answer if hasattr(answer, "__await__") else answer
            except Exception:
                logger.exception("@checker(%r) failed over message %s; it is asked again", name, envelope.message_id)
                return None
            return decided

        if not any(True for _ in self._session.links):
            # Whoever only prepares messages declares nothing.
            await self._session.links.get("default")
        answering = 0
        for link in self._session.links:
            if link.capabilities.has(Power.PREPARE) and isinstance(link.binding, TwoPhase):
                link.binding.answer_checks(check, list(by_name))
                answering += 1
        if not answering:
            first = next(iter(by_name))
            msg = f"@checker({first!r}) answers for half messages, which no broker of this application has"
            raise UnsupportedCapability(msg)

    async def stop(self) -> None:
        """Begin nothing more, finish what runs within the time for it, and let go of everything."""
        closing = [asyncio.create_task(runner.close(self.settings.drain)) for runner in self.runners.values()]
        try:
            if closing:
                await asyncio.wait(closing)
        except asyncio.CancelledError:
            # Whoever insists need not wait for handlers; but nothing of them may be left behind.
            for runner in self.runners.values():
                runner.hurry()
            done, _ = await asyncio.wait(closing, timeout=_HURRIED)
            for task in done:
                # Looked at, since it will not be told any more.
                task.exception()
            raise
        finally:
            for assembled in self._assembled:
                if assembled.executor is not None:
                    assembled.executor.shutdown(wait=False, cancel_futures=True)
            await self._template.detach()
        errors = [error for task in closing if isinstance(error := task.exception(), Exception)]
        if errors:
            msg = "queues were not left in order"
            raise ExceptionGroup(msg, errors)

    def runner(self, queue: Queue[Any]) -> QueueRunner:
        if label(queue) not in self.runners:
            known = ", ".join(sorted(self.runners)) or "none"
            msg = f"nothing listens to {queue} here; the queues of this application are {known}"
            raise ConfigurationError(msg)
        return self.runners[label(queue)]

    def health(self) -> Mapping[str, object]:
        """Return how brokers and queues fare; `status` is `up` when all is well."""
        brokers = {
            link.broker.name: {"connected": link.connected, "trouble": link.trouble} for link in self._session.links
        }
        queues = {
            name: {
                "consuming": runner.is_open,
                "idle": runner.idle,
                "in_flight": runner.in_flight,
                "trouble": runner.trouble,
                "gaps": runner.gaps,
                **runner.counts.as_dict(),
            }
            for name, runner in self.runners.items()
        }
        troubles = [each.trouble for each in (*self._session.links, *self.runners.values())]
        return {
            "status": "down" if any(troubles) else "up",
            "brokers": brokers,
            "queues": queues,
            "late_answers": self._session.late_answers,
        }

    # -- the outlet

    async def result(self, handler: Handler, envelope: Envelope, raw: object, value: object, /) -> None:
        spec = handler.bound.spec
        # The handler has done its part in time; how long its answer takes is not its fault.
        self.runner(spec.queue).off_watch(raw)
        if envelope.reply_to is not None:
            broker = self._session.naming.broker(spec.queue)
            try:
                await self._session.answer(envelope, value, broker, spec.queue.converter)
            except SendFailed as error:
                # The handler has done its work; doing it again would not make the asker come back.
                logger.warning("the answer of %s() to %s was lost: %s", handler.name, envelope.message_id, error)
            except Exception as error:  # noqa: BLE001 -- converters and interceptors may raise anything
                logger.warning("the answer of %s() to %s cannot be sent: %s", handler.name, envelope.message_id, error)
                await self._failure_replier(broker)(envelope, GiveUp("the answer cannot be sent", error))
        elif spec.send_to is not None:
            correlation = envelope.correlation_id or envelope.message_id
            await self._template.send(spec.send_to, value, correlation_id=correlation)
        elif handler.name not in self._said_nowhere:
            self._said_nowhere.add(handler.name)
            logger.info(
                "%s() returned a value that nobody asked for; name a target with send_to=",
                handler.name,
            )

    def _replier(self, broker: str, converter: Converter | None) -> Callable[[Envelope, object], Any]:
        async def reply(request: Envelope, payload: object) -> Receipt:
            return await self._session.answer(request, payload, broker, converter)

        return reply

    def _failure_replier(self, broker: str) -> Callable[[Envelope, GiveUp], Any]:
        async def fail(request: Envelope, why: GiveUp) -> None:
            try:
                await self._session.answer_failure(request, why, broker)
            except Exception as error:  # noqa: BLE001 -- as above, and no worker may end of it
                logger.warning(
                    "the failure of %s could not be told to who asked: %s",
                    request.message_id,
                    error,
                )

        return fail


def label(queue: Queue[Any]) -> str:
    """Return what a queue is called where several brokers may have one of its name."""
    return queue.name if queue.broker == "default" else f"{queue.broker}:{queue.name}"


def _require(capabilities: Capabilities, assembled: Assembled) -> None:
    """Refuse what the listeners of a queue ask for and this broker cannot keep."""
    hold = capabilities.max_hold
    if hold is None:
        return
    options = assembled.options
    held = options.retry.longest if assembled.queue.ordered else 0.0
    longest = (options.timeout or 0.0) + held
    if longest > hold:
        who = assembled.dispatcher.handlers[0].name
        msg = (
            f"{who}() may hold a message of {assembled.queue} for {longest:g} s (timeout and pauses), "
            f"but {capabilities.broker} takes it back after {hold:g} s; shorten timeout= or retry="
        )
        raise UnsupportedCapability(msg)
