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


async def _nothing(*_: object, **__: object) -> None:
    return None
