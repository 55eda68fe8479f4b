from pathlib import Path

import pytest

from msgkit import Settings
from msgkit.errors import TopologyMismatch
from msgkit.spi import PlanAction
from msgkit.testing import probe
from tests.scenarios.shop import OrderPlaced
from tests.scenarios.two_brokers import ENV, TOML, app, orders, relay, tasks

ORDER = OrderPlaced("1", "17", "eu", 30)
work = tasks.queue("work")


async def test_a_message_goes_from_one_broker_to_the_other() -> None:
    async with probe(app) as probed:
        await probed.template.declare(work)
        to_stream = await probed.template.send(orders, ORDER)
        await probed.idle()
        assert [message.payload for message in probed.handled(relay)] == [ORDER]
        async with probed.template.receive(work) as (task,):
            assert task.payload == ORDER
        assert to_stream.broker == "stream"


async def test_the_environment_says_where_the_brokers_are(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENV.items():
        monkeypatch.setenv(name, value)
    settings = Settings.load()
    assert settings.broker().url == "memory://two-env"
    assert settings.broker("stream").url == "memory://two-env-stream"
    assert settings.queue("billing") == {"concurrency": 16}
    async with app:
        assert (await app.template.send(orders, ORDER)).broker == "stream"


async def test_a_file_says_it_too_and_what_is_only_verified_has_to_be_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "msgkit.toml").write_text(TOML)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TopologyMismatch, match=r"'shop\.orders\.v1' does not exist"):
        await app.__aenter__()
    operator = Settings.load(brokers={"stream": {"topology": "create"}})
    async with app.running(operator):
        pass
    async with app:
        receipt = await app.template.send(orders, ORDER)
        assert receipt.destination == "shop.orders.v1"


async def test_the_plan_lists_the_options_that_no_broker_here_understands() -> None:
    urls = Settings(url="memory://two-plan", brokers={"stream": {"url": "memory://two-plan-stream"}})
    planned = {name: plan for name, _, plan in await app.plan(urls)}
    ignored = [entry for entry in planned["stream"].entries if entry.action is PlanAction.IGNORED]
    assert [(entry.name, entry.detail.split()[0]) for entry in ignored] == [
        ("orders", "KafkaTopicOptions"),
        ("billing", "RabbitQueueOptions"),
    ]
