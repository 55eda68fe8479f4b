"""Which frames a broker is sent, read as it reads them."""

import struct
from random import Random

import pytest

from msgkit.envelope import Envelope, Kind
from msgkit.spi import RawDelivery
from msgkit_rabbitmq.unsettled import Unsettled
from msgkit_rabbitmq.wire import Channel, WireError
from msgkit_rabbitmq.wire.frames import END, FRAME_MAX, METHOD

_FRAME = struct.Struct(">BHLHHQBB")
_BASIC, _ACK, _NACK = 60, 80, 120


class Broker:
    """The other end of a channel, which knows what is unacknowledged there."""

    frame_max = FRAME_MAX

    def __init__(self) -> None:
        self.unacknowledged: set[int] = set()
        #: Tags, and whether they stood for all before them, too.
        self.acks: list[tuple[int, bool]] = []
        self.acknowledged: list[int] = []
        self.returned: list[int] = []

    def write(self, data: bytes | memoryview, /) -> None:
        kind, channel, size, of, method, tag, bits, end = _FRAME.unpack(data)
        assert (kind, channel, size, of, end) == (METHOD, 1, 13, _BASIC, END)
        multiple = bool(bits & 1)
        # Else it closes the channel.
        assert tag in self.unacknowledged
        ended = sorted(each for each in self.unacknowledged if each <= tag) if multiple else [tag]
        self.unacknowledged.difference_update(ended)
        if method == _ACK:
            self.acks.append((tag, multiple))
            self.acknowledged += ended
        else:
            assert method == _NACK
            self.returned += ended

    def forget(self, number: int) -> None:
        raise AssertionError(number)


class Talk:
    """A channel with what is unsettled on it, and the broker behind it."""

    def __init__(self) -> None:
        self.broker = Broker()
        self.channel = Channel(self.broker, 1, _nobody_hears)
        self.unsettled = Unsettled()
        self.deliveries: dict[int, RawDelivery] = {}

    def came(self, *tags: int) -> None:
        for tag in tags:
            self.broker.unacknowledged.add(tag)
            self.unsettled.came(tag)

    def handed(self, *tags: int) -> None:
        for tag in tags:
            self.deliveries[tag] = delivery(tag)
            self.unsettled.handed(tag, self.deliveries[tag])

    def is_in_hand(self, tag: int) -> bool:
        return tag in self.deliveries and self.unsettled.is_in_hand(tag, self.deliveries[tag])

    def went_back(self, tag: int) -> None:
        self.unsettled.went_back(tag)
        self.channel.nack(tag)

    def told(self, *accepted: int) -> list[tuple[int, bool]]:
        """Accept, and return what the broker hears of it."""
        for tag in accepted:
            self.unsettled.accept(tag)
        before = len(self.broker.acks)
        self.unsettled.acknowledge(self.channel)
        return self.broker.acks[before:]

    def in_hand(self) -> list[int]:
        return [int(raw.envelope.message_id) for raw in self.unsettled.in_hand()]


def _nobody_hears(_: WireError) -> None:
    return None


def delivery(tag: int) -> RawDelivery:
    return RawDelivery(Envelope(b"", "jobs", Kind.QUEUE, str(tag)), 1, 0, None, 0, tag)


@pytest.fixture
async def talk() -> Talk:
    """Five messages, all of them in hand."""
    talk = Talk()
    talk.came(1, 2, 3, 4, 5)
    talk.handed(1, 2, 3, 4, 5)
    return talk


@pytest.mark.parametrize(
    ("accepted", "frames"),
    [
        ([], []),
        ([1], [(1, False)]),
        ([1, 2], [(2, True)]),
        ([3, 1, 2], [(3, True)]),
        ([5, 4, 3, 2, 1], [(5, True)]),
        ([2], [(2, False)]),
        ([3, 2], [(2, False), (3, False)]),
        ([1, 3], [(1, False), (3, False)]),
        ([1, 2, 4], [(2, True), (4, False)]),
        ([5, 1, 2, 4], [(2, True), (4, False), (5, False)]),
    ],
)
async def test_the_oldest_are_acknowledged_by_one_frame_and_the_others_by_one_each(
    talk: Talk, accepted: list[int], frames: list[tuple[int, bool]]
) -> None:
    found = talk.told(*accepted)
    # In what order the later ones go makes no difference.
    assert sorted(found) == frames
    assert found[:1] == frames[:1] or 1 not in accepted
    assert sorted(talk.broker.acknowledged) == sorted(accepted)


async def test_the_broker_is_told_once(talk: Talk) -> None:
    assert talk.told(1, 4) == [(1, False), (4, False)]
    assert talk.told() == []
    # The fourth is gone, so that those around it follow each other.
    assert talk.told(2, 3, 5) == [(5, True)]
    assert talk.told() == []


async def test_what_went_back_holds_up_nothing(talk: Talk) -> None:
    talk.went_back(1)
    assert talk.told(2, 3) == [(3, True)]
    assert (talk.broker.returned, talk.broker.acknowledged) == ([1], [2, 3])


async def test_what_was_not_handed_over_yet_is_not_acknowledged_with_what_follows(talk: Talk) -> None:
    talk.came(6, 7)
    talk.handed(7)
    assert talk.told(1, 2, 3, 4, 5, 7) == [(5, True), (7, False)]


async def test_what_was_accepted_is_open_no_more_even_before_the_broker_knows(talk: Talk) -> None:
    talk.came(6)
    talk.unsettled.accept(2)
    assert talk.in_hand() == [1, 3, 4, 5]
    assert [talk.is_in_hand(tag) for tag in range(1, 8)] == [True, False, True, True, True, False, False]
    talk.told()
    assert not talk.is_in_hand(2)
    assert talk.in_hand() == [1, 3, 4, 5]


async def test_a_message_that_was_taken_back_is_in_hand_again_by_its_new_delivery_only(talk: Talk) -> None:
    before = talk.deliveries[2]
    talk.unsettled.took_back(2)
    assert not talk.is_in_hand(2)
    assert talk.in_hand() == [1, 3, 4, 5]
    # It still stands where it came.
    assert talk.told(1, 3) == [(1, False), (3, False)]
    talk.handed(2)
    assert talk.is_in_hand(2)
    assert not talk.unsettled.is_in_hand(2, before)
    assert talk.told(2, 4) == [(4, True)]


async def test_nothing_is_open_after_the_channel_was_let_go(talk: Talk) -> None:
    talk.unsettled.accept(1)
    talk.unsettled.clear()
    assert talk.told() == []
    assert talk.in_hand() == []
    assert not talk.is_in_hand(2)
    # The tags of the next one begin again, and nothing is known of these.
    again = Talk()
    again.unsettled = talk.unsettled
    again.came(1, 2)
    assert again.told(2) == [(2, False)]


@pytest.mark.parametrize("seed", range(30))
async def test_nothing_is_ever_acknowledged_that_was_not_accepted(seed: int) -> None:
    random = Random(seed)  # noqa: S311 -- no secret
    talk, accepted, returned, last = Talk(), set[int](), set[int](), 0
    waiting: list[int] = []
    for _ in range(300):
        hand = talk.in_hand()
        match random.choice(["come", "come", "hand", "hand", "accept", "accept", "return", "give up", "tell"]):
            case "come":
                last += 1
                talk.came(last)
                waiting.append(last)
            case "hand" if waiting:
                # An ordered queue hands over what came back in an order of its own.
                talk.handed(waiting.pop(random.randrange(min(3, len(waiting)))))
            case "accept" if hand:
                accepted.add(tag := random.choice(hand[:4]))
                talk.unsettled.accept(tag)
            case "return" if hand:
                returned.add(tag := random.choice(hand[:4]))
                talk.went_back(tag)
            case "give up" if waiting and random.random() < 0.2:
                returned.add(tag := waiting.pop())
                talk.went_back(tag)
            case "tell":
                talk.told()
                assert set(talk.broker.acknowledged) == accepted
            case _:
                continue
    talk.told()
    assert sorted(talk.broker.acknowledged) == sorted(accepted)
    assert set(talk.broker.returned) == returned
    assert talk.broker.unacknowledged == {*waiting, *talk.in_hand()}
    assert talk.told(*talk.in_hand()) == [] or talk.broker.unacknowledged == set(waiting)
    # In fewer frames than messages.
    assert len(talk.broker.acks) < len(talk.broker.acknowledged)
