"""Animals that bring messages to the wrong place."""

from asyncio import Future
from dataclasses import replace

from msgkit.envelope import Envelope, Kind, Receipt
from msgkit.patterns import compile_pattern
from msgkit.spi import (
    Plan,
    ProvisionMode,
    QueueSpec,
    RouteSpec,
    Topology,
)
from msgkit.topology import ExchangeKind
from tests.zoo.animal import Animal, Line, caught_by

__all__: list[str] = []


class _Routes(Animal):
    def spec(self, queue: QueueSpec) -> QueueSpec:
        return replace(queue, routes=tuple(self.route(route) for route in queue.routes))

    def route(self, route: RouteSpec) -> RouteSpec:
        return route


class _Subjects(_Routes):
    def out(self, envelope: Envelope) -> Envelope:
        subject = envelope.subject
        return envelope if subject is None else envelope._replace(subject=self.subject(subject))

    def route(self, route: RouteSpec) -> RouteSpec:
        return replace(route, subject=self.subject(route.subject))

    def subject(self, subject: str) -> str:
        return subject


class _Kinds(_Routes):
    def kind(self, kind: ExchangeKind) -> ExchangeKind:
        return kind

    def route(self, route: RouteSpec) -> RouteSpec:
        return replace(route, kind=self.kind(route.kind))

    async def provision(self, topology: Topology, mode: ProvisionMode) -> Plan:
        exchanges = {
            name: replace(exchange, kind=self.kind(exchange.kind)) for name, exchange in topology.exchanges.items()
        }
        return await super().provision(Topology(exchanges, topology.queues), mode)


@caught_by("a_hash_is_any_number_of_words", "a_queue_takes_from_two_exchanges_and_what_is_sent_to_it")
class TakesAHashForAWord(_Routes):
    """Matches one word by `#`."""

    def route(self, route: RouteSpec) -> RouteSpec:
        return replace(route, subject=route.subject.replace("#", "*"))


@caught_by("a_star_is_one_word", "a_hash_is_any_number_of_words")
class TakesAStarForAnything(_Routes):
    """Matches any number of words by `*`."""

    def route(self, route: RouteSpec) -> RouteSpec:
        return replace(route, subject=route.subject.replace("*", "#"))


@caught_by("empty_words_are_words_and_no_subject_has_none")
class SkipsEmptyWords(_Subjects):
    """Takes two dots for one."""

    def subject(self, subject: str) -> str:
        return ".".join(filter(None, subject.split(".")))


@caught_by("a_direct_exchange_routes_by_the_whole_subject")
class FoldsSubjects(_Subjects):
    """Takes small letters for great ones."""

    def subject(self, subject: str) -> str:
        return subject.lower()


@caught_by("all_other_characters_mean_themselves")
class ReadsSubjectsAsPatterns(_Subjects):
    """Takes what is left of a bracket for all there is."""

    def subject(self, subject: str) -> str:
        return subject.partition("[")[0].replace("+", "")


@caught_by("subjects_may_be_of_any_script")
class KnowsOnlyAscii(_Subjects):
    """Writes a question mark for every character that it does not know."""

    def subject(self, subject: str) -> str:
        return subject.encode("ascii", "replace").decode()


@caught_by("a_long_subject_is_routed_by_all_of_it")
class CutsLongSubjects(_Subjects):
    """Looks at the first 127 characters of a subject."""

    def subject(self, subject: str) -> str:
        return subject[:127]


@caught_by("a_direct_exchange_routes_by_the_whole_subject")
class MatchesDirectly(_Kinds):
    """Takes the subject of a direct route for a pattern."""

    def kind(self, kind: ExchangeKind) -> ExchangeKind:
        return "topic" if kind == "direct" else kind


@caught_by("a_fanout_exchange_asks_for_no_subject")
class FansOutBySubject(_Kinds):
    """Asks for the subject of what is for everybody."""

    def kind(self, kind: ExchangeKind) -> ExchangeKind:
        return "direct" if kind == "fanout" else kind


@caught_by("a_fanout_exchange_asks_for_no_subject", "each_queue_of_an_exchange_gets_a_copy_of_its_own")
class FansOutToOne(Animal):
    """Gives what is for everybody to one of them."""

    def out(self, envelope: Envelope) -> Envelope:
        exchange = self.broker.content.exchanges.get(envelope.destination)
        if envelope.kind is not Kind.EXCHANGE or exchange is None:
            return envelope
        with self.broker.lock:
            queues = exchange.match(envelope)
        if len(queues) < 2:
            return envelope
        one = queues[len(envelope.message_id) % len(queues)]
        return envelope._replace(kind=Kind.QUEUE, destination=one.name)


@caught_by("a_headers_exchange_routes_by_all_headers_asked_for")
class AsksForAnyHeader(Animal):
    """Takes one header of those that a route asks for as enough."""

    def spec(self, queue: QueueSpec) -> QueueSpec:
        routes = [
            replace(route, headers={name: value}) for route in queue.routes for name, value in route.headers.items()
        ]
        plain = [route for route in queue.routes if not route.headers]
        return replace(queue, routes=(*plain, *routes))


@caught_by("a_queue_with_several_matching_routes_gets_one_copy")
class CopiesForEachRoute(Animal):
    """Gives a queue as many copies as it has routes that match."""

    def send(self, envelope: Envelope) -> "Future[Receipt]":
        sent = super().send(envelope)
        exchange = self.broker.content.exchanges.get(envelope.destination)
        if envelope.kind is Kind.EXCHANGE and exchange is not None and exchange.kind == "topic":
            for name, queue in self.broker.content.queues.items():
                routes = exchange.routes_of(name)
                fits = [key for key in routes if _fits(key.subject, envelope)]
                for _ in fits[1:]:
                    with self.broker.lock:
                        queue.put(envelope)
        return sent


def _fits(pattern: str, envelope: Envelope) -> bool:
    return compile_pattern(pattern)(envelope.subject or "")


@caught_by("what_is_sent_to_a_queue_reaches_no_other")
class SendsToTheNeighbours(Animal):
    """Gives what is sent to a queue to all queues of its exchange."""

    def send(self, envelope: Envelope) -> "Future[Receipt]":
        sent = super().send(envelope)
        content = self.broker.content
        if envelope.kind is Kind.QUEUE:
            for exchange in content.exchanges.values():
                if exchange.routes_of(envelope.destination):
                    for name, queue in content.queues.items():
                        if name != envelope.destination and exchange.routes_of(name):
                            with self.broker.lock:
                                queue.put(envelope)
        return sent


@caught_by("an_exchange_and_a_queue_of_one_name_are_two_or_refused")
class MixesUpNames(Animal):
    """Takes an exchange and a queue of one name for one thing."""

    def send(self, envelope: Envelope) -> "Future[Receipt]":
        namesake = self.broker.content.queues.get(envelope.destination)
        if envelope.kind is Kind.EXCHANGE and namesake is not None:
            with self.broker.lock:
                namesake.put(envelope)
        return super().send(envelope)


@caught_by("a_queue_takes_from_two_exchanges_and_what_is_sent_to_it", "a_new_route_brings_nothing_from_before_it")
class HasOneRoute(Animal):
    """Reads only the first route of a queue."""

    def spec(self, queue: QueueSpec) -> QueueSpec:
        return replace(queue, routes=queue.routes[:1])


@caught_by("what_has_no_subject_goes_where_anything_goes")
class NeedsASubject(Animal):
    """Drops what is about nothing."""

    def send(self, envelope: Envelope) -> "Future[Receipt]":
        if envelope.kind is Kind.EXCHANGE and envelope.subject is None:
            return self.confirm(envelope)
        return super().send(envelope)


@caught_by("one_of_many_queues_in_a_process_may_come_later_than_the_others")
class ForgetsTheLast(Animal):
    """Reads for so many queues at once, and always for the same."""

    def born(self) -> None:
        self.fed: list[Line] = []

    def credit(self, line: Line, n: int) -> None:
        if line not in self.fed and len(self.fed) < 8:
            self.fed.append(line)
        if line in self.fed:
            super().credit(line, n)
