import asyncio
import re

import pytest

from msgkit import Application, Exchange, Message, MessageTemplate, Queue, Reject, Settings, listener
from msgkit.testing import VirtualClock, probe
from msgkit.testing.stage import StageSettings, on_broker, on_memory
from tests.core.workshop import Place

jobs = Queue("jobs", int)
results = Queue("results", int)
audit = Exchange("audit", int, broker="archive")
entries = audit.queue("entries")


@listener(jobs)
async def work(number: int, template: MessageTemplate) -> None:
    await template.send(results, number * 2)


@listener(results)
async def store(number: int, template: MessageTemplate) -> None:
    await template.send(audit, number)


@listener(entries)
async def note(number: int) -> None:
    # Longer than it takes to find that another application does nothing.
    await asyncio.sleep(0.8)
    if number < 0:
        raise Reject("negative")


@pytest.fixture(params=["memory", "broker"])
def stage(request: pytest.FixtureRequest, place: Place) -> StageSettings:
    return on_memory({}) if request.param == "memory" else on_broker(place.url, {})


async def test_applications_on_one_stage_meet_and_are_idle_together(stage: StageSettings) -> None:
    working, storing = Application([work], topology=[results]), Application([store, note])
    async with probe(working, stage) as one, probe(storing, stage) as other:
        await one.template.send(jobs, 21)
        await one.idle()
        assert [message.payload for message in other.handled(note)] == [42]


async def test_time_is_the_same_for_all_on_a_stage_of_memory() -> None:
    stage = on_memory({})
    working, storing = Application([work], topology=[results]), Application([store], topology=[entries])
    async with probe(working, stage) as one, probe(storing, stage) as other:
        assert isinstance(one.template.clock, VirtualClock)
        assert one.template.clock is other.template.clock
        await one.template.send(results, 1, delay=60)
        await one.advance(60)
        assert len(other.handled(store)) == 1


async def test_two_stages_know_nothing_of_each_other(place: Place) -> None:
    for stages in ((on_memory({}), on_memory({})), (on_broker(place.url, {}), on_broker(place.url, {}))):
        one, other = Application([note]), Application([note])
        async with probe(one, stages[0]) as here, probe(other, stages[1]) as there:
            await here.template.send(audit, 1)
            await here.idle()
            await there.idle()
            assert (len(here.handled(note)), len(there.handled(note))) == (1, 0)


async def test_the_names_of_a_stage_begin_with_its_prefix_on_every_broker(place: Place) -> None:
    stage = on_broker(place.url, {})
    assert re.fullmatch("t[0-9a-f]{10}-", stage.prefix)
    async with probe(Application([store, note]), stage) as probed:
        await probed.template.send(audit, -1)
        await probed.idle()
        (letter,) = probed.dead(entries)
        archive = stage.prefix.replace("-", "archive-")
        assert letter.headers["msgkit-dead-queue"] == f"{archive}entries"
        assert set(place.broker.depths()) == {
            f"{stage.prefix}results",
            f"{stage.prefix}results.dlq",
            f"{archive}entries",
            f"{archive}entries.dlq",
        }


@pytest.mark.parametrize("name", ["archive", "far.away", "über_x"])
def test_every_name_of_a_broker_makes_a_prefix_that_any_broker_takes(place: Place, name: str) -> None:
    app = Application(topology=[Queue("entries", int, broker=name)])
    assert re.fullmatch("t[a-z0-9]+-", on_broker(place.url, {}).of(app).broker(name).prefix)


async def test_what_a_test_says_besides_holds_and_where_brokers_are_it_does_not_say(place: Place) -> None:
    here: Settings = on_broker(
        place.url,
        {
            "url": "nowhere://",
            "drain": 3,
            "queues": {"jobs": {"broker": "archive"}},
            "brokers": {"archive": {"url": "nowhere://", "topology": "verify"}, "default": {"options": {"retain": 9}}},
        },
    )
    assert (here.url, here.drain, here.broker("archive").url) == (place.url, 3, place.url)
    assert (here.broker("archive").topology, here.broker().options) == ("verify", {"retain": 9})
    assert here.queue("jobs") == {"broker": "archive"}


async def test_a_stage_reads_nothing_around_it(monkeypatch: pytest.MonkeyPatch, stage: StageSettings) -> None:
    monkeypatch.setenv("MSGKIT_QUEUES__JOBS__NAME", "jobs.of.production")
    monkeypatch.setenv("MSGKIT_NO_SUCH_SETTING", "5")

    @listener(jobs)
    async def take(message: Message[int]) -> None:
        """Take a job."""

    async with probe(Application([take]), stage) as probed:
        await probed.template.send(jobs, 1)
        await probed.idle()
        assert len(probed.handled(take)) == 1
