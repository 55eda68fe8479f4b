"""What is told of connections, of consumers that are away, and of what was declared."""

from msgkit.spi import Down, Event, Fatal, Up
from msgkit_rabbitmq.news import News

OTHERWISE = "queue 'first': kind='quorum' is declared, but kind='classic' is there"
REFUSED = "queue 'second' cannot be consumed"


class Client:
    """One with a connection of each kind, and perhaps a consumer that is away."""

    def __init__(self) -> None:
        self._told: list[Event] = []
        self.away: list[str | None] = []
        self.news = News(self._told.append, lambda: self.away)
        self.comes_up("publishing", "consuming")

    def loses(self, *which: str) -> None:
        for each in which:
            self.news.went_down(each, f"{each} was cut", always=each == "publishing")

    def comes_up(self, *which: str) -> None:
        for each in which:
            self.news.came_up(each)

    def hears(self) -> list[Event]:
        """Return what was told since it was asked last."""
        told, self._told[:] = self._told.copy(), []
        return told


def test_nothing_is_told_where_nothing_was_lost() -> None:
    assert Client().hears() == []


def test_what_is_there_instead_is_told_once_all_is_back_so_that_it_is_told_last() -> None:
    client = Client()
    client.loses("publishing", "consuming")
    assert client.hears() == [Down("publishing was cut")]
    client.news.found(OTHERWISE)
    client.comes_up("publishing")
    assert client.hears() == []
    client.comes_up("consuming")
    assert client.hears() == [Up(), Fatal(OTHERWISE)]


def test_what_is_there_instead_is_told_again_after_a_connection_that_knows_nothing_of_it_is_back() -> None:
    client = Client()
    client.news.found(OTHERWISE)
    assert client.hears() == [Fatal(OTHERWISE)]
    client.loses("consuming")
    client.comes_up("consuming")
    assert client.hears() == [Down("consuming was cut"), Up(), Fatal(OTHERWISE)]


def test_what_is_there_instead_is_told_once_however_often_it_is_found() -> None:
    client = Client()
    for _ in range(3):
        client.news.found(OTHERWISE)
    assert client.hears() == [Fatal(OTHERWISE)]


def test_all_is_well_when_what_was_declared_is_there_again() -> None:
    client = Client()
    client.news.found(OTHERWISE)
    client.news.found(None)
    client.news.found(None)
    assert client.hears() == [Fatal(OTHERWISE), Up()]


def test_all_is_not_well_yet_when_what_was_declared_is_there_again_and_a_consumer_is_away() -> None:
    client = Client()
    client.away = [None]
    client.news.is_away()
    client.news.found(OTHERWISE)
    client.news.found(None)
    assert client.hears() == [Fatal(OTHERWISE)]
    client.away = []
    client.news.tell_if_well()
    assert client.hears() == [Up()]


def test_who_does_not_come_back_is_told_of_again_when_the_connections_were_lost_meanwhile() -> None:
    client = Client()
    client.away = [REFUSED, None]
    client.news.alarm(REFUSED)
    assert client.hears() == [Fatal(REFUSED)]
    client.loses("publishing")
    client.comes_up("publishing")
    assert client.hears() == [Down("publishing was cut"), Fatal(REFUSED)]
    client.away = []
    client.news.tell_if_well()
    assert client.hears() == [Up()]
