"""What was accepted lately, and comes again because of a fault."""

from msgkit_rocketmq.memory import Memory

ONE, OTHER = ("broker-a", "t", 0, 1), ("broker-a", "t", 0, 2)


def test_what_was_accepted_before_a_fault_is_known_for_a_while_after_it() -> None:
    memory = Memory()
    memory.note(ONE, 100.0)
    assert not memory.knows(ONE, 101.0), "without a fault, it is wanted again"
    memory.trouble(105.0)
    memory.note(OTHER, 110.0)
    assert memory.knows(ONE, 150.0)
    assert memory.knows(OTHER, 150.0)
    assert not memory.knows(ONE, 300.0)


def test_what_was_accepted_long_before_a_fault_is_forgotten() -> None:
    memory = Memory()
    memory.note(ONE, 100.0)
    memory.trouble(120.0)
    assert not memory.knows(ONE, 121.0)


def test_who_reads_again_forgets_all() -> None:
    memory = Memory()
    memory.note(ONE, 100.0)
    memory.trouble(101.0)
    memory.clear()
    assert not memory.knows(ONE, 102.0)


def test_it_holds_no_more_than_the_last_ones() -> None:
    memory = Memory()
    memory.trouble(0.0)
    for number in range(60_000):
        memory.note(("b", "t", 0, number), 1.0)
    assert memory.knows(("b", "t", 0, 59_999), 2.0)
    assert memory.knows(("b", "t", 0, 10_000), 2.0)
    assert not memory.knows(("b", "t", 0, 9_999), 2.0)
