"""What a RocketMQ keeps, by what its brokers say."""

from dataclasses import replace

import pytest

from msgkit.errors import ConfigurationError
from msgkit.spi import Power
from msgkit.values import MAX_BODY
from msgkit_rocketmq.capabilities import capabilities
from msgkit_rocketmq.client.brokers import Settings

PLAIN = Settings(
    cluster="DefaultCluster",
    largest_message=4 * 1024 * 1024,
    longest_delay=3 * 24 * 3600,
    keeps_leases=False,
    filters_pulled=True,
    lends=True,
    makes_topics=False,
    makes_groups=True,
    newer_retry_topics=False,
    moves_groups=True,
    writes_every=5,
    asks_after=6,
    asks_every=30,
    notes_every=3,
)


def test_the_slowest_broker_says_how_late_a_retry_may_be_and_the_strictest_how_long_a_delay() -> None:
    quick = replace(PLAIN, keeps_leases=True)
    assert capabilities([quick, quick]).delay.lateness < capabilities([quick, PLAIN]).delay.lateness
    assert capabilities([PLAIN, replace(PLAIN, longest_delay=60)]).delay.longest == 60


def test_brokers_that_lend_nothing_are_refused_with_what_to_set() -> None:
    with pytest.raises(ConfigurationError, match="set timerWheelEnable=true on every broker"):
        capabilities([PLAIN, replace(PLAIN, lends=False)])


def test_brokers_that_take_less_than_others_say_how_large_a_message_may_be() -> None:
    small = replace(PLAIN, largest_message=512 * 1024)
    assert capabilities([PLAIN]).max_body == MAX_BODY
    assert capabilities([PLAIN, small]).max_body < 512 * 1024


def test_powers_that_hang_on_settings_are_refused_with_what_to_set() -> None:
    found = capabilities([PLAIN, replace(PLAIN, moves_groups=False)])
    assert "set useServerSideResetOffset=true" in str(found.support(Power.REPLAY))
    assert "useServerSideResetOffset=true" in str(found.support(Power.INSPECT))
    assert capabilities([PLAIN]).has(Power.PREPARE)
    for hasty in (replace(PLAIN, asks_after=3), replace(PLAIN, asks_every=3)):
        assert "set transactionTimeOut" in str(capabilities([PLAIN, hasty]).support(Power.PREPARE))


def test_what_may_come_again_after_a_kill_depends_on_how_often_brokers_write_down_how_far_groups_are() -> None:
    assert capabilities([PLAIN, replace(PLAIN, writes_every=0.5)]).settle_window == 6
