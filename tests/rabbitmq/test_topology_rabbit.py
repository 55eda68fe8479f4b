"""What is declared on RabbitMQ, told to the letter; what others changed there; and what stays whatever happens."""

import asyncio
import re
from collections.abc import Sequence

import pytest

from msgkit import Application, Exchange, Queue, Settings, listener
from msgkit.application import PlannedBroker
from msgkit.cli.planning import plan_lines
from msgkit.envelope import Kind, new_id
from msgkit.errors import TopologyMismatch, Unroutable
from msgkit.settlement import ACCEPT
from msgkit.spi import Gap, PlanAction, QueueSpec, Release, RouteSpec
from msgkit.testing.brokers import RabbitMQ
from msgkit.values import Option
from msgkit_rabbitmq import RabbitExchange, RabbitQueue
from tests.bench import Bench
from tests.interop.inbox import Inbox
from tests.rabbitmq.trouble import bindings, plain, queues, settings
from tests.waiting import until

pytestmark = pytest.mark.broker


def told(planned: Sequence[PlannedBroker]) -> list[str]:
    """Return the lines of a plan that tell what is to be done."""
    lines = list(plan_lines(planned))
    return [line.strip() for line in lines[1 : lines.index("  capabilities")]]


def seen(broker: RabbitMQ) -> Settings:
    """Return settings with which routes can be seen."""
    return Settings(url=f"{broker.url}?management={broker.management_url}")


def newest(broker: RabbitMQ) -> bool:
    return not broker.version.startswith("3.")


# -- the plan


async def test_the_plan_tells_exchanges_queues_and_routes_with_their_arguments(broker: RabbitMQ) -> None:
    name = new_id()
    full = RabbitQueue(max_length=1000, arguments={"x-quorum-initial-group-size": 3})
    orders = Exchange(f"{name}.orders", str, options=[RabbitExchange(alternate_exchange="amq.fanout")])
    loud = Exchange(f"{name}.loud", str, kind="headers")
    billing = orders.queue(f"{name}.billing", "placed.*", ordered=True, options=[full])
    urgent = Queue(f"{name}.urgent", loud.where(headers={"x-level": 5}), priorities=9, dead_letters=False)
    app = Application(topology=[billing, urgent], settings=settings(broker))
    never = ", x-delivery-limit=-1" if newest(broker) else ""
    first = told(await app.plan())
    assert first == [
        f"+ create   exchange {name}.orders: kind='topic', alternate-exchange='amq.fanout'",
        f"+ create   exchange {name}.loud: kind='headers'",
        (
            f"+ create   queue {name}.billing: x-queue-type='quorum', x-single-active-consumer=True{never}, "
            "x-max-length=1000, x-overflow='reject-publish', x-quorum-initial-group-size=3"
        ),
        f"+ create   route {name}.orders [placed.*] -> {name}.billing",
        f"+ create   queue {name}.billing.dlq: x-queue-type='quorum'{never}",
        f"+ create   queue {name}.urgent: x-queue-type='classic', x-max-priority=9",
        f"+ create   route {name}.loud [x-level=5] -> {name}.urgent",
        first[-1],
    ]
    assert "delays msgkit.delay.*: exchanges and quorum queues that all queues share" in first[-1]
    # A plan makes nothing; a run makes all of it, and the second one has nothing to do.
    assert not [each for each in await queues(broker) if each["name"].startswith(name)]
    async with app:
        pass
    async with app:
        pass
    assert {line.split()[0] for line in told(await app.plan())} == {"exists"}
    made = {each["name"]: each["arguments"] for each in await queues(broker, "arguments")}
    assert f"{name}.billing" in made


async def test_options_of_other_brokers_are_told_to_be_without_effect(broker: RabbitMQ) -> None:
    class Foreign(Option):
        schemes = ("elsewhere",)

    name = new_id()
    app = Application(topology=[Queue(name, str, options=[Foreign()])], settings=settings(broker))
    assert f"· ignored  option {name}: Foreign is for elsewhere://" in told(await app.plan())


# -- what is there already


async def test_routes_that_nobody_declares_any_more_are_stale_and_pruned_and_delays_are_not(broker: RabbitMQ) -> None:
    name = new_id()
    orders = Exchange(name, str)
    jobs = orders.queue(f"{name}.q", "placed.*")
    app = Application(topology=[jobs], settings=seen(broker))
    async with app, plain(broker) as channel:
        # What was sent later once has a way of its own to the queue.
        await app.template.send(jobs, "x", delay=0.1)
        queue = await channel.get_queue(jobs.name)
        await queue.bind(name, "cancelled.*")
        await queue.bind("amq.topic", "others.#")
    why = "nobody declares it here any more; pruning takes it away"
    assert sorted(line for line in told(await app.plan()) if line.startswith("-")) == sorted(
        [
            f"- stale    route {name} [cancelled.*] -> {jobs.name}: {why}",
            f"- stale    route amq.topic [others.#] -> {jobs.name}: {why}",
        ]
    )
    await app.plan(prune=True)
    left = {
        (each["source_name"], each["routing_key"])
        for each in await bindings(broker)
        if each["destination_name"] == jobs.name
    }
    assert left == {("", jobs.name), (name, "placed.*"), ("msgkit.due", "")}
    assert not [line for line in told(await app.plan()) if "stale" in line]


async def test_a_route_that_somebody_took_away_is_missed_and_made_again(broker: RabbitMQ) -> None:
    name = new_id()
    orders = Exchange(name, str)
    jobs = orders.queue(f"{name}.q", "placed.*")
    app = Application(topology=[jobs], settings=seen(broker))
    async with app, plain(broker) as channel:
        await (await channel.get_queue(jobs.name)).unbind(name, "placed.*")
    assert f"+ create   route {name} [placed.*] -> {jobs.name}" in told(await app.plan())
    strict = Application(
        topology=[jobs], settings=Settings(url=f"{broker.url}?management={broker.management_url}", topology="verify")
    )
    with pytest.raises(TopologyMismatch, match=r"route .*placed.* does not exist"):
        async with strict:
            pass
    async with app:
        assert await app.template.send(orders, "x", subject="placed.eu", require_route=True)


@pytest.mark.parametrize("routed", [False, True], ids=["sent to", "routed to"])
async def test_what_is_somebody_elses_and_is_not_there_is_refused_and_not_made(
    broker: RabbitMQ,
    routed: bool,  # noqa: FBT001 -- a parameter of the test
) -> None:
    name = new_id()
    routes = (RouteSpec(exchange=name),) if routed else ()
    async with Bench.open(broker.url) as bench:
        with pytest.raises(TopologyMismatch, match=f"queue '{name}': it is somebody else's, and it is not there"):
            await bench.declare(QueueSpec(name=name, routes=routes, options=(RabbitQueue(declare=False),)))
    assert not [each for each in await queues(broker) if each["name"].startswith(name)]


async def test_an_exchange_that_is_somebody_elses_and_is_not_there_is_refused(broker: RabbitMQ) -> None:
    name = new_id()
    theirs = Exchange(name, str, options=[RabbitExchange(declare=False)])
    app = Application(topology=[theirs.queue(f"{name}.q", "#")], settings=settings(broker))
    with pytest.raises(TopologyMismatch, match=f"exchange '{name}': it is somebody else's, and it is not there"):
        async with app:
            pass


async def test_what_is_somebody_elses_is_used_as_it_is(broker: RabbitMQ) -> None:
    name = new_id()
    theirs = Exchange(name, str, options=[RabbitExchange(declare=False)])
    jobs = Queue(f"{name}.q", theirs.where("a"), options=[RabbitQueue(declare=False)])
    got = Inbox[str]()

    @listener(jobs)
    async def work(heard: str) -> None:
        got.put(heard)

    async with plain(broker) as channel:
        await channel.declare_exchange(name, "direct", durable=False, auto_delete=False)
        await channel.declare_queue(f"{name}.q", durable=True, arguments={"x-max-length": 5, "x-queue-mode": "lazy"})
        async with Application([work], settings=settings(broker)) as app:
            await app.template.send(theirs, "x", subject="a")
            assert await got.next() == "x"
        await channel.exchange_delete(name)


async def test_verifying_makes_nothing_and_names_all_that_is_missing(broker: RabbitMQ) -> None:
    name = new_id()
    jobs = Exchange(name, str).queue(f"{name}.q", "#")
    strict = Application(topology=[jobs], settings=settings(broker, topology="verify"))
    with pytest.raises(TopologyMismatch) as refused:
        async with strict:
            pass
    for missing in (f"exchange '{name}' does not exist", f"queue '{name}.q' does not exist", f"'{name}.q.dlq'"):
        assert missing in str(refused.value)
    assert not [each for each in await queues(broker) if each["name"].startswith(name)]


async def test_a_queue_from_before_limits_lives_on_with_a_word_about_its_limit(
    broker: RabbitMQ, caplog: pytest.LogCaptureFixture
) -> None:
    name = new_id()
    async with Bench.open(broker.url) as bench, plain(broker) as channel:
        await channel.declare_queue(name, durable=True, arguments={"x-queue-type": "quorum"})
        plan = await bench.declare(QueueSpec(name=name))
        assert plan.entries[0].action is PlanAction.EXISTS
        assert any(name in each and "set_policy" in each for each in caplog.messages) == newest(broker)


# -- what stays


async def test_a_message_that_goes_back_thirty_times_stays(broker: RabbitMQ) -> None:
    queue = QueueSpec(name=new_id())
    async with Bench.open(broker.url) as bench, asyncio.timeout(40):
        await bench.declare(queue)
        taker = await bench.consume(queue, credit=1)
        await bench.send("x", queue.name)
        for _ in range(30):
            taken = await taker.take()
            assert (taken.attempt, taken.crashes) == (1, 0)
            await taker.settle(taken, Release())
        taken = await taker.take()
        assert taken.envelope.body == b"x"
        await taker.settle(taken, ACCEPT)


async def test_consumers_that_die_thirty_times_lose_nothing_and_are_counted(broker: RabbitMQ) -> None:
    queue = QueueSpec(name=new_id())
    async with Bench.open(broker.url) as bench, plain(broker) as channel, asyncio.timeout(40):
        await bench.declare(queue)
        await bench.send("x", queue.name)
        kept = await channel.get_queue(queue.name)
        for _ in range(30):
            # To give back what another client took is all that a broker sees of a death.
            found = await until(lambda: kept.get(fail=False))
            assert found is not None
            await found.nack(requeue=True)
        taker = await bench.consume(queue)
        taken = await taker.take()
        assert (taken.attempt, taken.crashes) == (1, 30)
        await taker.settle(taken, ACCEPT)


async def test_an_anonymous_queue_goes_a_minute_after_its_consumer(broker: RabbitMQ) -> None:
    orders = Exchange(new_id(), str)
    mine = Queue.anonymous(orders.where("#"))

    @listener(mine)
    async def work(_: str) -> None: ...

    async with Application([work], settings=settings(broker)):
        found = [each for each in await queues(broker, "arguments", "durable") if each["name"] == mine.name]
    assert re.search(r"x-expires\W.*\b60000\b", str(found[0]["arguments"]))


async def test_an_anonymous_queue_that_went_while_the_connection_was_lost_is_made_again_and_told_of(
    broker: RabbitMQ,
) -> None:
    name = new_id()
    spec = QueueSpec(name=f"{name}.q", routes=(RouteSpec(exchange=name),), anonymous=True)
    async with Bench.open(broker.url) as bench, plain(broker) as channel, asyncio.timeout(40):
        await bench.declare(spec)
        taker = await bench.consume(spec)
        await broker.proxy.refuse()
        await broker.proxy.cut()
        await channel.queue_delete(spec.name)
        await broker.proxy.heal()
        told: list[object] = []
        while not told or not isinstance(told[-1], Gap):
            told.append(await taker.events.get())
        assert told[-1] == Gap(spec.name, "it was removed while the connection was lost")

        async def is_heard() -> bool:
            try:
                await bench.send("after", name, kind=Kind.EXCHANGE, require_route=True)
            except Unroutable:
                return False
            return True

        await until(is_heard)
        assert (await taker.take()).envelope.body == b"after"
        assert told.count(told[-1]) == 1
