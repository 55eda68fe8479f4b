import pytest

from msgkit.errors import DeliveryLost
from msgkit.spi import failed


async def test_a_settlement_that_failed_at_once_tells_whoever_waits_for_it_why() -> None:
    lost = DeliveryLost("it was taken back")
    settled = failed(lost)

    assert settled.done()
    with pytest.raises(DeliveryLost) as told:
        await settled
    assert told.value is lost
