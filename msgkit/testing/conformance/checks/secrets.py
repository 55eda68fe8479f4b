"""Secrets: a password is in no log, no repr, no error and no plan; nor is what messages carry."""

import logging
import traceback
from collections.abc import Generator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

from msgkit.application import Application
from msgkit.listener import listener
from msgkit.message import Message
from msgkit.policy import Backoff
from msgkit.settlement import Reject
from msgkit.template import MessageTemplate
from msgkit.testing.conformance.capturing import Captured
from msgkit.testing.conformance.handlers import Boom
from msgkit.testing.conformance.keeping import Kept
from msgkit.testing.conformance.lab import Lab
from msgkit.testing.conformance.registry import check
from msgkit.topology import Queue

__all__: list[str] = []

PASSWORD = "hunter2-and-more"  # noqa: S105 -- nobody's


@contextmanager
def everything_logged(logger: str = "") -> Generator[list[str]]:
    """Return all that is logged at DEBUG while inside, tracebacks included."""
    lines: list[str] = []
    root = logging.getLogger(logger)
    level = root.level
    root.setLevel(logging.DEBUG)
    try:
        with Captured(logger) as captured:
            yield lines
    finally:
        root.setLevel(level)
    formatter = logging.Formatter("%(name)s %(message)s")
    lines += [formatter.format(record) for record in captured.records]


def with_password(url: str) -> str:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"somebody:{PASSWORD}@{host or 'localhost'}"))


def told(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


@check(19)
async def a_password_is_told_to_nobody(lab: Lab) -> None:
    """Whether the broker takes it or not, and whether the binding takes such a URL or not."""
    queue = lab.queue()
    settings = lab.harness.settings(url=with_password(lab.harness.url), wait_for_broker=0.1)
    template = MessageTemplate(settings)
    app = Application([Kept(lab, queue, str).function], settings=settings)
    said = [repr(settings), str(settings), repr(template), repr(app), repr(settings.broker())]
    with everything_logged() as lines:
        try:
            async with template:
                said.append(repr(await template.send(queue, "who hears?", timeout=0.1)))
        except Exception as error:  # noqa: BLE001 -- whatever it is, it must not tell
            said.append(told(error))
        try:
            said.append(repr(await app.plan()))
            async with app:
                said += [repr(app), repr(await app.health()), repr(app.template)]
        except Exception as error:  # noqa: BLE001 -- as above
            said.append(told(error))
    for text in (*said, *lines):
        assert PASSWORD not in text, text


@check(19)
async def the_password_in_use_is_told_to_nobody(lab: Lab) -> None:
    password = urlsplit(lab.harness.url).password
    queue = lab.queue()

    @listener(queue, retry=Backoff(2, first=0.02))
    async def fails(_: str) -> None:
        raise Boom

    with everything_logged() as lines:
        async with lab.application(fails) as app:
            said = [repr(app), repr(await app.health()), repr(lab.capabilities)]
            await app.template.send(queue, "fails")
            await lab.dead(queue)
        said.append(repr(await Application([fails], settings=lab.settings()).plan()))
        said.append(repr(lab.harness.binding("shown")))
    assert lines
    for text in (*said, *lines):
        assert not password or password not in text, text


@check(19)
async def no_log_tells_what_a_message_carries(lab: Lab) -> None:
    queue = lab.queue()
    seen: list[str] = []

    @listener(queue, retry=Backoff(2, first=0.02))
    async def handles(message: Message[str]) -> None:
        seen.append(repr(message))
        if message.payload.endswith("fails"):
            raise Boom
        if message.payload.endswith("is refused"):
            raise Reject("told on purpose")

    kinds = ("passes", "fails", "is refused")
    with everything_logged("msgkit") as lines:
        async with lab.application(handles) as app:
            for kind in kinds:
                text = f"{PASSWORD} {kind}"
                await app.template.send(queue, text, headers={"authorization": PASSWORD})
            poison = PASSWORD.encode() + b"\xff"
            await app.template.send(Queue(queue.name, bytes), poison, content_type="text/plain")
            await lab.dead(queue, 3)
        assert seen
    for text in (*seen, *lines):
        assert PASSWORD not in text, text
