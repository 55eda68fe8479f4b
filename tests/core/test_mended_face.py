"""What callers meet at the face: clocks, names, declarations, groups, the command, and refusals in words."""

import time

import pytest

from msgkit.clock import SystemClock
from msgkit.spi import BindingOptions


class Machine:
    """The two clocks of a machine, which stand until they are turned."""

    def __init__(self) -> None:
        self.steady = 100.0
        self.wall = 1_700_000_000.0

    def pass_by(self, seconds: float) -> None:
        self.steady += seconds
        self.wall += seconds


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    monkeypatch.setattr(time, "monotonic", lambda: machine.steady)
    monkeypatch.setattr(time, "time", lambda: machine.wall)
    return machine


def test_a_moment_follows_the_wall_within_a_second_of_a_suspend(machine: Machine) -> None:
    clock = SystemClock()
    machine.wall += 3600
    machine.pass_by(1)
    assert clock.now() == machine.wall


def test_a_moment_does_not_follow_what_differs_by_less_than_a_second(machine: Machine) -> None:
    clock = SystemClock()
    machine.wall += 0.5
    machine.pass_by(10)
    assert clock.now() == machine.wall - 0.5


def test_a_wall_that_is_set_back_is_let_catch_up_without_time_going_back(machine: Machine) -> None:
    clock = SystemClock()
    machine.pass_by(10)
    before = clock.now()
    machine.wall -= 60
    machine.pass_by(1)
    moments = [before, clock.now()]
    for _ in range(200):
        machine.pass_by(0.7)
        moments.append(clock.now())
    steps = [later - earlier for earlier, later in zip(moments, moments[1:], strict=False)]
    assert min(steps) >= 0.7 / 2 - 1e-3
    assert max(steps) <= 1 + 1e-3
    assert abs(moments[-1] - machine.wall) <= 1


def test_the_options_of_a_binding_are_not_in_its_repr() -> None:
    options = BindingOptions(url="memory://", options={"sasl_password": "s3cret"})
    assert "s3cret" not in repr(options)
