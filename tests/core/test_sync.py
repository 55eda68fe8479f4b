import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from msgkit import Accept, Application, Queue, Reject, SyncTemplate, listener
from msgkit.errors import AlreadySettled, Closed, ConfigurationError, InvalidMessage, Unroutable
from tests.core.workshop import Place, until

jobs = Queue("jobs", int)
ON_A_LOOP = "a SyncTemplate would block the event loop here; use the MessageTemplate, or a plain def listener"


def portals() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "msgkit:sync"]


def test_making_one_connects_nothing_and_starts_nothing(place: Place) -> None:
    SyncTemplate(place.settings()).close()
    assert place.is_untouched
    assert portals() == []


def test_what_is_sent_is_there_when_the_call_returns(place: Place) -> None:
    with SyncTemplate(place.settings()) as template:
        template.declare(jobs)
        receipt = template.send(jobs, 1, message_id="m", headers={"x": 1})
        assert (receipt.message_id, receipt.destination) == ("m", "jobs")
        assert len(template.send_many(jobs, [2, 3])) == 2
        assert place.waiting == 3
        assert [message.payload for message in template.browse(jobs)] == [1, 2, 3]
        assert [message.payload for message in template.browse(jobs, limit=2)] == [1, 2]


def test_what_is_taken_is_accepted_at_a_clean_end_and_goes_back_at_an_error(place: Place) -> None:
    with SyncTemplate(place.settings()) as template:
        template.declare(jobs)
        template.send_many(jobs, [1, 2, 3])

        def fail() -> None:
            with template.receive(jobs, limit=2) as deliveries:
                assert [delivery.payload for delivery in deliveries] == [1, 2]
                raise TimeoutError

        with pytest.raises(TimeoutError):
            fail()
        assert place.waiting == 3
        with template.receive(jobs, limit=2) as (first, _):
            assert (first.attempt, dict(first.headers), first.message.id) == (1, {}, first.id)
            first.settle(Reject("no"))
            with pytest.raises(AlreadySettled):
                first.settle(Accept())
        assert place.broker.depths()["jobs"].ready == 1
        assert place.broker.depths()["jobs.dlq"].ready == 1


def test_errors_come_out_as_they_are(place: Place) -> None:
    with SyncTemplate(place.settings()) as template:
        with pytest.raises(Unroutable):
            template.send(jobs, 1)
        with pytest.raises(InvalidMessage, match="delay= must not be negative"):
            template.send(jobs, 1, delay=-1)


def test_after_closing_the_next_use_connects_again(place: Place) -> None:
    template = SyncTemplate(place.settings())
    for number in (1, 2):
        template.declare(jobs)
        template.send(jobs, number)
        assert len(portals()) == 1
        template.close()
        template.close()
        assert portals() == []
        assert not place.broker.clients
    assert place.waiting == 2


def test_many_threads_at_once_share_one_connection(place: Place) -> None:
    with SyncTemplate(place.settings()) as declaring:
        declaring.declare(jobs)
    with SyncTemplate(place.settings()) as template:
        gate = threading.Barrier(16)

        def send(number: int) -> None:
            gate.wait()
            for _ in range(25):
                template.send(jobs, number)

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(send, range(16)))
        assert place.waiting == 400
        assert len(portals()) == len(place.broker.clients) == 1


async def test_on_an_event_loop_it_is_refused_and_nothing_is_sent(place: Place) -> None:
    """Whichever loop that is: what blocks there blocks everything else on it."""
    async with place.template(jobs):
        template = SyncTemplate(place.settings())
        uses: list[Callable[[], object]] = [
            lambda: template.send(jobs, 1),
            lambda: template.send_many(jobs, [1]),
            lambda: template.request(jobs, 1, int),
            lambda: template.declare(jobs),
            lambda: ExitStack().enter_context(template.receive(jobs)),
            lambda: next(template.browse(jobs)),
        ]
        for use in uses:
            with pytest.raises(ConfigurationError) as caught:
                use()
            assert str(caught.value) == ON_A_LOOP
        assert place.waiting == 0
        await asyncio.to_thread(template.send, jobs, 1)
        assert place.waiting == 1
        await asyncio.to_thread(template.close)


async def test_in_a_plain_listener_it_is_the_applications_own_template(place: Place) -> None:
    done = Queue("done", int)

    @listener(jobs)
    def double(number: int, template: SyncTemplate) -> None:
        assert portals() == []
        template.send(done, 2 * number)

    async with Application([double], topology=[done], settings=place.settings()) as app:
        await app.template.send(jobs, 2)
        await until(lambda: place.broker.depths()["done"].ready)
        assert len(place.broker.clients) == 1


async def test_the_one_of_an_application_ends_with_it(place: Place) -> None:
    kept: list[SyncTemplate] = []

    @listener(jobs)
    def keep(_: int, template: SyncTemplate) -> None:
        kept.append(template)

    async with Application([keep], settings=place.settings()) as app:
        await app.template.send(jobs, 1)
        await until(lambda: kept)
    with pytest.raises(Closed):
        await asyncio.to_thread(kept[0].send, jobs, 2)


# -- processes


def printed(program: str) -> list[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "MSGKIT_URL": "memory://sync"}
    command = [sys.executable, "-W", "error", "-c", program]
    ran = subprocess.run(command, env=environment, check=False, capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout.split()


AT_EXIT = """
import atexit, threading
from msgkit import Queue, SyncTemplate
from msgkit_memory import Broker

atexit.register(lambda: print(len(Broker.at("memory://sync").clients), threading.active_count()))
template = SyncTemplate()
jobs = Queue("jobs", int)
template.declare(jobs)
template.send(jobs, 1)
print(len(Broker.at("memory://sync").clients))
"""


def test_it_closes_when_the_program_ends() -> None:
    assert printed(AT_EXIT) == ["1", "0", "1"]


FORKED = """
import os, threading
from msgkit import Queue, SyncTemplate
from msgkit_memory import Broker

template = SyncTemplate()
jobs = Queue("jobs", int)
template.declare(jobs)
template.send(jobs, 1)
reading, writing = os.pipe()
child = os.fork()
if child == 0:
    # The parent's loop and thread are not here; a broker of this process is.
    Broker.forget("memory://sync")
    template.declare(jobs)
    ids = [template.send(jobs, number).message_id for number in range(3)]
    template.close()
    template.send(Queue("jobs", int), 3)
    os.write(writing, f"{len(set(ids))} {Broker.at('memory://sync').depths()['jobs'].ready}".encode())
    os._exit(0)
os.close(writing)
_, status = os.waitpid(child, 0)
template.send(jobs, 2)
print(status, os.read(reading, 100).decode(), Broker.at("memory://sync").depths()["jobs"].ready)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_fork_has_a_connection_of_its_own_and_the_parent_keeps_its_own() -> None:
    assert printed(FORKED) == ["0", "3", "4", "2"]


FORKED_AT_WORK = """
import os, threading, time
from msgkit import Queue, SyncTemplate
from msgkit.errors import Closed
from msgkit_memory import Broker

template = SyncTemplate()
jobs = Queue("jobs", int)
template.declare(jobs)
stop = threading.Event()

def send():
    while not stop.is_set():
        try:
            template.send(jobs, 1)
            template.close()
        except Closed:
            # By another of the threads, meanwhile.
            continue

threads = [threading.Thread(target=send) for _ in range(4)]
for thread in threads:
    thread.start()
failed = 0
for _ in range(20):
    child = os.fork()
    if child == 0:
        Broker.forget("memory://sync")
        template.declare(jobs)
        template.send(jobs, 1)
        os._exit(0)
    for _ in range(500):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            failed += bool(status)
            break
        time.sleep(0.01)
    else:
        os.kill(child, 9)
        failed += 1
stop.set()
for thread in threads:
    thread.join()
print(failed)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_fork_in_the_midst_of_work_never_hangs() -> None:
    """Locks that other threads held at the fork have nobody in the child to release them."""
    program = FORKED_AT_WORK
    if sys.version_info >= (3, 12):
        program = "import warnings; warnings.simplefilter('ignore', DeprecationWarning)\n" + program
    assert printed(program) == ["0"]
