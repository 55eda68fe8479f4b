import asyncio
from threading import Event

import pytest

from msgkit.testing import FaultProxy
from msgkit.testing.brokers import Broker
from tests.brokers.doing import CHECKS, Check

pytestmark = pytest.mark.broker

each_check = pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)


@each_check
async def test_a_fault_does_what_its_name_says(check: Check, hurt: Broker) -> None:
    await check.run(hurt, 10)


@each_check
async def test_a_fault_that_does_nothing_is_noticed(
    check: Check, hurt: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = FaultProxy if check.owner == "proxy" else Broker
    with monkeypatch.context() as patch:
        patch.setattr(owner, check.fault, _nothing)
        with pytest.raises((AssertionError, TimeoutError, OSError, pytest.fail.Exception)):
            await check.run(hurt, 2)


async def test_a_start_waits_for_a_stop_that_was_given_up(hurt: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, over = Event(), Event()
    running = vars(hurt.nodes[0])["_running"]
    stop = running.stop

    def watched(patience: float) -> None:
        begun.set()
        stop(patience)
        over.set()

    with monkeypatch.context() as patch:
        patch.setattr(running, "stop", watched)
        stopping = asyncio.create_task(hurt.stop())
        assert await asyncio.to_thread(begun.wait, 10)
        stopping.cancel()
        await hurt.start()
    assert over.is_set()
    assert all([await node.is_alive() for node in hurt.nodes])


async def _nothing(*_: object, **__: object) -> None:
    return None
