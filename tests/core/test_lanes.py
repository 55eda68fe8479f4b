import random

from msgkit.deliveries import Lanes
from msgkit.spi import RawDelivery
from tests.core.tiny import raw


def bodies(deliveries: list[RawDelivery]) -> list[str]:
    return [delivery.envelope.body.decode() for delivery in deliveries]


def filled(*named: str, enabled: bool = True) -> tuple[Lanes, dict[str, RawDelivery]]:
    """Return lanes with deliveries in them, which are named by their lane and a number: a1, a2, b1."""
    lanes = Lanes(enabled=enabled)
    made = {name: raw(name, lane=None if name[0] == "-" else name[0]) for name in named}
    for each in made.values():
        lanes.add(each)
    return lanes, made


def ready(lanes: Lanes) -> list[str]:
    return bodies(list(lanes.ready))


def test_what_is_in_no_lane_is_ready_at_once() -> None:
    lanes, _ = filled("-1", "-2", "-3")
    assert ready(lanes) == ["-1", "-2", "-3"]


def test_of_each_lane_only_the_first_is_ready() -> None:
    lanes, _ = filled("a1", "a2", "b1", "a3", "-1", "b2")
    assert ready(lanes) == ["a1", "b1", "-1"]
    assert lanes.waiting == 6


def test_the_next_of_a_lane_is_ready_when_the_one_before_it_is_done() -> None:
    lanes, made = filled("a1", "a2", "b1", "a3")
    lanes.ready.popleft()
    assert lanes.done(made["a1"])
    assert ready(lanes) == ["b1", "a2"]
    lanes.ready.clear()
    assert lanes.done(made["a2"])
    assert not lanes.done(made["a3"])


def test_a_lane_that_is_done_begins_anew() -> None:
    lanes, made = filled("a1")
    lanes.ready.popleft()
    assert not lanes.done(made["a1"])
    lanes.add(raw("a2", lane="a"))
    assert ready(lanes) == ["a2"]


def test_what_comes_while_its_lane_is_at_work_waits() -> None:
    lanes, _ = filled("a1")
    lanes.ready.popleft()
    lanes.add(raw("a2", lane="a"))
    assert ready(lanes) == []
    assert lanes.waiting == 1


def test_what_kept_its_lane_is_ready_once_more_and_its_successors_are_not() -> None:
    lanes, made = filled("a1", "a2")
    lanes.ready.popleft()
    lanes.again(made["a1"])
    assert ready(lanes) == ["a1"]


def test_lanes_that_are_switched_off_hold_nothing_back() -> None:
    lanes, made = filled("a1", "a2", "b1", enabled=False)
    assert ready(lanes) == ["a1", "a2", "b1"]
    assert not lanes.done(made["a1"])


def test_what_is_taken_out_of_the_middle_is_missed_by_nobody() -> None:
    lanes, made = filled("a1", "a2", "a3")
    assert lanes.take_out(lambda each: each is made["a2"]) == [made["a2"]]
    lanes.ready.popleft()
    lanes.done(made["a1"])
    assert ready(lanes) == ["a3"]


def test_when_the_first_is_taken_out_the_next_is_ready() -> None:
    lanes, made = filled("a1", "a2", "b1")
    assert lanes.take_out(lambda each: each is made["a1"]) == [made["a1"]]
    assert ready(lanes) == ["b1", "a2"]


def test_when_all_is_taken_out_of_a_lane_it_begins_anew() -> None:
    lanes, _ = filled("a1", "a2", "-1", "b1")
    taken = lanes.take_out(lambda each: each.lane != "b")
    assert sorted(bodies(taken)) == ["-1", "a1", "a2"]
    assert ready(lanes) == ["b1"]
    lanes.add(raw("a3", lane="a"))
    assert ready(lanes) == ["b1", "a3"]


def test_what_runs_is_not_taken_out() -> None:
    lanes, made = filled("a1", "a2")
    lanes.ready.popleft()
    assert bodies(lanes.take_out(lambda _: True)) == ["a2"]
    assert not lanes.done(made["a1"])


def test_after_clearing_nothing_is_left() -> None:
    lanes, made = filled("a1", "a2", "b1", "-1")
    lanes.clear()
    assert (ready(lanes), lanes.waiting) == ([], 0)
    assert not lanes.done(made["a1"])
    assert ready(lanes) == []


def number(delivery: RawDelivery) -> int:
    return int(delivery.envelope.body)


def is_of_one(delivery: RawDelivery) -> bool:
    return delivery.scope == 1


def is_of_two(delivery: RawDelivery) -> bool:
    return delivery.scope == 2


def test_in_any_history_lanes_keep_their_order_and_run_one_at_a_time_and_lose_nothing() -> None:
    draw = random.Random(5)  # noqa: S311 -- the same history each time
    for _ in range(50):
        lanes = Lanes()
        added, begun, running, taken = (list[RawDelivery]() for _ in range(4))
        for _ in range(200):
            act = draw.random()
            if act < 0.45:
                lane = draw.choice([None, "a", "b", "c"])
                added.append(raw(str(len(added)), lane=lane, scope=draw.choice([1, 2])))
                lanes.add(added[-1])
            elif act < 0.7 and lanes.ready:
                running.append(lanes.ready.popleft())
                begun.append(running[-1])
            elif act < 0.97 and running:
                lanes.done(running.pop(draw.randrange(len(running))))
            elif act >= 0.97:
                taken += lanes.take_out([is_of_one, is_of_two][draw.randrange(2)])
            at_work = [each.lane for each in (*running, *lanes.ready) if each.lane is not None]
            assert len(at_work) == len(set(at_work))
        while running or lanes.ready:
            while lanes.ready:
                running.append(lanes.ready.popleft())
                begun.append(running[-1])
            lanes.done(running.pop())
        assert sorted(map(number, begun + taken)) == list(range(len(added)))
        assert lanes.waiting == 0
        for lane in ("a", "b", "c"):
            of_lane = [number(each) for each in begun if each.lane == lane]
            assert of_lane == sorted(of_lane)
