"""Routing: patterns of subjects, the kinds of exchanges, and one copy for each queue."""

from collections.abc import Mapping, Sequence

from msgkit.errors import MessagingError
from msgkit.spi import Power
from msgkit.testing.conformance.handlers import Handler, accept, numbered
from msgkit.testing.conformance.lab import Lab
from msgkit.testing.conformance.raising import may_raise
from msgkit.testing.conformance.registry import check
from msgkit.topology import Exchange, Queue

__all__: list[str] = []

#: Which subjects a pattern takes: AMQP's rules, written out. A subject without any text has no
#: words; dots stand between words, which may be empty.
Table = Mapping[str, Sequence[str]]


async def asserts_routes(lab: Lab, exchange: Exchange[str], table: Table) -> None:
    """Give each pattern a queue, send each subject once, and see who got what."""
    subjects = list(dict.fromkeys(subject for row in table.values() for subject in row))
    handlers = {pattern: lab.handler(lab.queue("takes", exchange.where(pattern))).does(accept) for pattern in table}
    async with lab.application(*handlers.values()):
        for subject in subjects:
            await lab.send(exchange, f"about {subject!r}", subject=subject)
        for pattern, handler in handlers.items():
            await lab.accepts(handler, len(table[pattern]))
        await lab.quiet(*handlers.values())
    for pattern, handler in handlers.items():
        due = sorted(f"about {subject!r}" for subject in table[pattern])
        assert sorted(handler.payloads) == due, f"the route {pattern!r} took {handler.payloads}"


@check(2)
async def a_star_is_one_word(lab: Lab) -> None:
    table = {
        "#": ["a", "b", "a.b", "b.b", "a.c", "a.b.c", "a.b.c.d"],
        "*": ["a", "b"],
        "a.*": ["a.b", "a.c"],
        "*.b": ["a.b", "b.b"],
        "*.*": ["a.b", "b.b", "a.c"],
        "a.*.c": ["a.b.c"],
        "*.b.*": ["a.b.c"],
    }
    await asserts_routes(lab, lab.exchange(), table)


@check(2)
async def a_hash_is_any_number_of_words(lab: Lab) -> None:
    table = {
        "#": ["a", "b", "a.b", "b.a", "a.x.b", "a.x.y.b", "ab"],
        "a.#": ["a", "a.b", "a.x.b", "a.x.y.b"],
        "#.b": ["b", "a.b", "a.x.b", "a.x.y.b"],
        "a.#.b": ["a.b", "a.x.b", "a.x.y.b"],
        "#.x.#": ["a.x.b", "a.x.y.b"],
        "*.#": ["a", "b", "a.b", "b.a", "a.x.b", "a.x.y.b", "ab"],
        "#.*.#": ["a", "b", "a.b", "b.a", "a.x.b", "a.x.y.b", "ab"],
        "*.#.b": ["a.b", "a.x.b", "a.x.y.b"],
        "#.*.*": ["a.b", "b.a", "a.x.b", "a.x.y.b"],
    }
    await asserts_routes(lab, lab.exchange(), table)


@check(2)
async def empty_words_are_words_and_no_subject_has_none(lab: Lab) -> None:
    table = {
        "#": ["", "a", "a.", ".a", ".", "a..b", ".."],
        "*": ["a"],
        "*.*": ["a.", ".a", "."],
        "a.*": ["a."],
        "a.#": ["a", "a.", "a..b"],
        "*.a": [".a"],
        "a.*.b": ["a..b"],
        "*.#": ["a", "a.", ".a", ".", "a..b", ".."],
        "*.*.*": ["a..b", ".."],
        "#.a": ["a", ".a"],
    }
    await asserts_routes(lab, lab.exchange(), table)


@check(2)
async def all_other_characters_mean_themselves(lab: Lab) -> None:
    table = {
        "#": ["a.b", "axb", "A.b", "a+b", "aab", "a b", "[ab]", "(a|b)", "^a", "a$", "%", "a_b"],
        "a.b": ["a.b"],
        "a+b": ["a+b"],
        "a b": ["a b"],
        "[ab]": ["[ab]"],
        "(a|b)": ["(a|b)"],
        "a$": ["a$"],
        "%": ["%"],
        "a_b": ["a_b"],
    }
    await asserts_routes(lab, lab.exchange(), table)


@check(2)
async def subjects_may_be_of_any_script(lab: Lab) -> None:
    table = {
        "#": ["zażółć.gęślą", "订单.已付", "ß.ss", "e\u0301", "\u00e9"],
        "zażółć.*": ["zażółć.gęślą"],
        "*.已付": ["订单.已付"],
        "ß.*": ["ß.ss"],
        "\u00e9": ["\u00e9"],
    }
    await asserts_routes(lab, lab.exchange(), table)


@check(2)
async def a_long_subject_is_routed_by_all_of_it(lab: Lab) -> None:
    long = ".".join(["word"] * 40)
    table = {
        "#": [f"{long}.a", f"{long}.b"],
        f"{long}.a": [f"{long}.a"],
        f"{long}.*": [f"{long}.a", f"{long}.b"],
    }
    await asserts_routes(lab, lab.exchange(), table)


@check(2)
async def a_direct_exchange_routes_by_the_whole_subject(lab: Lab) -> None:
    table = {
        "paid": ["paid"],
        "paid.eu": ["paid.eu"],
        "paid.*": ["paid.*"],
        "Paid": ["Paid"],
    }
    await asserts_routes(lab, lab.exchange(kind="direct"), table)


@check(2)
async def a_fanout_exchange_asks_for_no_subject(lab: Lab) -> None:
    exchange = lab.exchange(kind="fanout")
    handlers = [lab.handler(lab.queue(f"all{n}", exchange.where())).does(accept) for n in range(3)]
    async with lab.application(*handlers):
        await lab.send(exchange, "about a", subject="a")
        await lab.send(exchange, "about a.b.c", subject="a.b.c")
        await lab.send(exchange, "about nothing")
        for handler in handlers:
            await lab.accepts(handler, 3)
        await lab.quiet(*handlers)


@check(2, 17)
async def a_headers_exchange_routes_by_all_headers_asked_for(lab: Lab) -> None:
    exchange = lab.exchange(kind="headers")
    if lab.refused(Power.HEADERS_EXCHANGE):
        with lab.refusal(exchange.name, "headers"):
            async with lab.application(topology=[exchange]):
                pass
        return
    routes = {
        "red": exchange.where(headers={"colour": "red"}),
        "big red": exchange.where(headers={"colour": "red", "size": 7}),
        "any": exchange.where(),
    }
    handlers = {name: lab.handler(lab.queue("takes", route)).does(accept) for name, route in routes.items()}
    async with lab.application(*handlers.values()):
        await lab.send(exchange, "none")
        await lab.send(exchange, "red", headers={"colour": "red", "other": True})
        await lab.send(exchange, "blue", headers={"colour": "blue", "size": 7})
        await lab.send(exchange, "big red", headers={"colour": "red", "size": 7})
        await lab.send(exchange, "small red", headers={"colour": "red", "size": 6})
        await lab.accepts(handlers["any"], 5)
        await lab.accepts(handlers["red"], 3)
        await lab.accepts(handlers["big red"], 1)
        await lab.quiet(*handlers.values())
    assert sorted(handlers["red"].payloads) == ["big red", "red", "small red"]
    assert handlers["big red"].payloads == ["big red"]


@check(2)
async def what_has_no_subject_goes_where_anything_goes(lab: Lab) -> None:
    topics, directs = lab.exchange(), lab.exchange(kind="direct")
    handlers = [
        lab.handler(lab.queue("any", topics.where())).does(accept),
        lab.handler(lab.queue("word", topics.where("*"))).does(accept),
        lab.handler(lab.queue("exact", directs.where("x"))).does(accept),
    ]
    async with lab.application(*handlers):
        await lab.send(topics, "about nothing")
        await lab.send(directs, "about nothing, too")
        await lab.accepts(handlers[0], 1)
        await lab.quiet(*handlers)
    assert [len(handler.payloads) for handler in handlers] == [1, 0, 0]


@check(2, 3)
async def a_queue_with_several_matching_routes_gets_one_copy(lab: Lab) -> None:
    exchange = lab.exchange()
    routes = (exchange.where("a.*"), exchange.where("*.b"), exchange.where("#"))
    handler = lab.handler(Queue(lab.name("jobs"), *routes)).does(accept)
    async with lab.application(handler):
        for subject in ("a.b", "a.c", "c"):
            await lab.send(exchange, subject, subject=subject)
        await lab.accepts(handler, 3)
        await lab.quiet(handler)


@check(2)
async def a_queue_takes_from_two_exchanges_and_what_is_sent_to_it(lab: Lab) -> None:
    one, two = lab.exchange(), lab.exchange()
    queue = Queue(lab.name("both"), one.where("a.*"), two.where())
    handler = lab.handler(queue).does(accept)
    async with lab.application(handler):
        await lab.send(one, "from one", subject="a.x")
        await lab.send(one, "not this", subject="b.x")
        await lab.send(two, "from two", subject="b.x")
        await lab.send(queue, "directly", subject="b.x")
        await lab.accepts(handler, 3)
        await lab.quiet(handler)
    assert sorted(handler.payloads) == ["directly", "from one", "from two"]


@check(2)
async def what_is_sent_to_a_queue_reaches_no_other(lab: Lab) -> None:
    exchange = lab.exchange()
    target, other = (lab.queue(word, exchange.where()) for word in ("target", "other"))
    handlers = [lab.handler(queue).does(accept) for queue in (target, other)]
    async with lab.application(*handlers):
        await lab.send_all(target, numbered("direct", 10), subject="x")
        await lab.send_all(exchange, numbered("event", 10), subject="x")
        await lab.accepts(handlers[0], 20)
        await lab.accepts(handlers[1], 10)
        await lab.quiet(*handlers)


@check(2, 10)
async def one_of_many_queues_in_a_process_may_come_later_than_the_others(lab: Lab) -> None:
    """Who reads for all of them over a few connections must not forget the one that is behind."""
    exchange = lab.exchange()
    gate = lab.gate()
    quick = [lab.handler(lab.queue(f"quick{n}", exchange.where())).does(accept) for n in range(11)]
    late = lab.handler(lab.queue("late", exchange.where())).does(gate, max_in_flight=1)
    large = [f"{n}" * 200_000 for n in range(6)]
    async with lab.application(*quick, late):
        for payload in large:
            await lab.send(exchange, payload, subject="x", key="k")
        for handler in quick:
            await lab.accepts(handler, len(large))
        await lab.quiet(*quick)
        gate.open()
        await lab.accepts(late, len(large))


@check(2)
async def an_exchange_and_a_queue_of_one_name_are_two_or_refused(lab: Lab) -> None:
    """Where both would be one thing of the broker's, saying so is better than mixing them."""
    exchange = lab.exchange()
    same = Queue(exchange.name, str)
    routed = lab.queue("routed", exchange.where())
    with may_raise(MessagingError, exchange.name) as refused:
        await lab.declare(same, routed)
    if refused.found is not None:
        return
    handlers: list[Handler] = [lab.handler(queue).does(accept) for queue in (same, routed)]
    async with lab.application(*handlers):
        await lab.send(same, "to the queue", subject="x")
        await lab.send(exchange, "to the exchange", subject="x")
        for handler in handlers:
            await lab.accepts(handler, 1)
        await lab.quiet(*handlers)
