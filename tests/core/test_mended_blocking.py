"""Blocking templates in bad times: forks, other threads, event loops."""

import os
import sys
import threading
import time
from contextlib import suppress

import pytest

from msgkit import Queue, SyncTemplate
from msgkit.errors import Closed, ConfigurationError, MessagingError
from tests.core.workshop import Place

orders = Queue("orders", str)

_QUICKLY = 5.0


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_threads_of_a_forked_child_all_get_the_template_of_the_child(place: Place) -> None:
    template = SyncTemplate(place.settings())
    template.declare(orders)
    child = os.fork()
    if child == 0:
        returned: list[str] = []
        sys.setswitchinterval(1e-6)

        def use() -> None:
            with suppress(MessagingError):
                template.send(orders, "x", timeout=1)
            returned.append("")

        threads = [threading.Thread(target=use, daemon=True) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(_QUICKLY)
        os._exit(len(threads) - len(returned))
    _, status = os.waitpid(child, 0)
    template.close()
    assert os.waitstatus_to_exitcode(status) == 0


def test_closing_ends_the_wait_of_other_threads(place: Place) -> None:
    template, began = SyncTemplate(place.settings()), threading.Event()
    template.declare(orders)
    errors: list[BaseException] = []

    def wait() -> None:
        began.set()
        try:
            with template.receive(orders, timeout=60):
                pass
        except Closed as error:
            errors.append(error)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    began.wait(_QUICKLY)
    while not place.broker.clients:
        time.sleep(0.001)
    template.close()
    thread.join(_QUICKLY)
    assert not thread.is_alive()
    assert errors


async def test_a_blocking_template_refuses_to_block_any_event_loop(place: Place) -> None:
    with SyncTemplate(place.settings()) as template, pytest.raises(ConfigurationError, match="would block"):
        template.declare(orders)
