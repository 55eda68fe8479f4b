"""Where a broker comes from, and what is said where it cannot come from anywhere."""

from pathlib import Path

import pytest

from msgkit.errors import ConfigurationError
from msgkit.testing.brokers import Broker, Kafka, RabbitMQ, RocketMQ, Unavailable

KINDS: tuple[type[Broker], ...] = (RabbitMQ, Kafka, RocketMQ)
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MSGKIT_TEST_PROVIDER", raising=False)
    for kind in KINDS:
        monkeypatch.delenv(f"MSGKIT_TEST_{kind.name.upper()}_URL", raising=False)


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine with no engine, no broker and an empty cache."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    monkeypatch.setenv("MSGKIT_TEST_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("msgkit.testing.brokers.rabbitmq._DEBIAN", tmp_path)


URLS: dict[type[Broker], str] = {
    RabbitMQ: "amqp://user:secret@broker.example:5673/shop",
    Kafka: "kafka://one.example:9092,two.example",
    RocketMQ: "rocketmq://names.example:9876",
}


@each_kind
async def test_an_address_in_the_environment_comes_first(kind: type[Broker], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"MSGKIT_TEST_{kind.name.upper()}_URL", URLS[kind])
    async with kind() as broker:
        assert (broker.provider, broker.url) == ("external", URLS[kind])
        assert broker.addresses[0].host.endswith(".example")
        assert "secret" not in repr(broker)
        for fault in (broker.stop, broker.start, broker.kill, broker.pause, broker.resume):
            with pytest.raises(ConfigurationError, match=f"MSGKIT_TEST_{kind.name.upper()}_URL"):
                await fault()
        assert await broker.log() == ""


async def test_addresses_have_the_usual_port_where_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MSGKIT_TEST_KAFKA_URL", URLS[Kafka])
    async with Kafka() as broker:
        assert [str(address) for address in broker.addresses] == ["one.example:9092", "two.example:9092"]


async def test_a_proxy_stands_before_a_rabbitmq_of_somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MSGKIT_TEST_RABBITMQ_URL", URLS[RabbitMQ])
    async with RabbitMQ(proxied=True) as broker:
        assert broker.url == f"amqp://user:secret@{broker.proxy.address}/shop"
        assert str(broker.direct[0]) == "broker.example:5673"


@pytest.mark.parametrize("kind", [Kafka, RocketMQ], ids=lambda kind: kind.name)
async def test_no_proxy_stands_before_brokers_that_tell_their_own_address(
    kind: type[Broker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"MSGKIT_TEST_{kind.name.upper()}_URL", URLS[kind])
    with pytest.raises(ConfigurationError, match="its own address"):
        await kind(proxied=True).__aenter__()


@each_kind
@pytest.mark.usefixtures("bare")
async def test_what_is_missing_is_said_of_each_provider_with_how_to_get_it(kind: type[Broker]) -> None:
    with pytest.raises(Unavailable) as failed:
        await kind().__aenter__()
    said = str(failed.value)
    assert f"no {kind.title} can be had here" in said
    assert f"external: MSGKIT_TEST_{kind.name.upper()}_URL is not set" in said
    assert "container: the container engine at unix:" in said
    assert f"python -m msgkit.testing.brokers install {kind.name}" in said


@each_kind
@pytest.mark.usefixtures("bare")
async def test_a_provider_that_is_forced_is_the_only_one(kind: type[Broker], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MSGKIT_TEST_PROVIDER", "process")
    with pytest.raises(Unavailable) as failed:
        await kind().__aenter__()
    assert "container" not in str(failed.value)
    with pytest.raises(Unavailable, match="is not set"):
        await kind(provider="external").__aenter__()


async def test_an_unknown_provider_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MSGKIT_TEST_PROVIDER", "kubernetes")
    with pytest.raises(ConfigurationError, match="MSGKIT_TEST_PROVIDER is 'kubernetes'; known are external, container"):
        await RabbitMQ().__aenter__()


async def test_a_version_that_is_not_at_hand_is_no_other_one() -> None:
    with pytest.raises(Unavailable, match=r"1\.0"):
        await Kafka("1.0", provider="process").__aenter__()
    with pytest.raises(Unavailable, match=r"1\.0 is asked for|not installed"):
        await RabbitMQ("1.0", provider="process").__aenter__()


async def test_how_to_get_a_version_is_said_that_processes_do_not_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts = tmp_path / "rabbitmq_server-3.10.8" / "sbin"
    scripts.mkdir(parents=True)
    (scripts / "rabbitmq-server").touch(mode=0o755)
    monkeypatch.setattr("msgkit.testing.brokers.rabbitmq._DEBIAN", scripts)
    with pytest.raises(Unavailable) as lacking:
        await RabbitMQ("4", provider="process").__aenter__()
    assert "RabbitMQ 4 is asked for, and 3.10.8 is at hand; other versions come as containers: " in str(lacking.value)
    assert "run `python -m msgkit.testing.brokers install rabbitmq --provider container`" in str(lacking.value)


@pytest.mark.parametrize("nodes", [0, 2, 4])
def test_a_cluster_is_of_three(nodes: int) -> None:
    with pytest.raises(ConfigurationError, match=f"not {nodes}"):
        Kafka(nodes=nodes)


@pytest.mark.parametrize("what", ["url", "addresses", "direct", "provider", "version", "nodes", "proxy"])
def test_a_broker_that_was_not_started_says_so(what: str) -> None:
    with pytest.raises(ConfigurationError, match="has not been started"):
        getattr(RabbitMQ(), what)


async def test_a_broker_is_started_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MSGKIT_TEST_RABBITMQ_URL", URLS[RabbitMQ])
    broker = RabbitMQ()
    async with broker:
        with pytest.raises(ConfigurationError, match="make another one"):
            await broker.__aenter__()
        assert broker.url
    with pytest.raises(ConfigurationError, match="has ended"):
        _ = broker.url


async def test_a_broker_without_a_proxy_says_how_to_have_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MSGKIT_TEST_RABBITMQ_URL", URLS[RabbitMQ])
    async with RabbitMQ() as broker:
        with pytest.raises(ConfigurationError, match=r"RabbitMQ\(proxied=True\)"):
            _ = broker.proxy


async def test_a_cluster_elsewhere_is_named_as_ours_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MSGKIT_TEST_RABBITMQ_URL", "amqp://user:secret@one.example:5673,two.example/shop")
    async with RabbitMQ(proxied=True) as broker:
        assert [str(address) for address in broker.direct] == ["one.example:5673", "two.example:5672"]
        one, two = broker.proxy.addresses
        assert broker.url == f"amqp://user:secret@{one},{two}/shop"


@pytest.mark.parametrize("url", ["amqp://", "amqp://user:secret@host:port"])
async def test_a_url_without_an_address_is_refused_without_its_password(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MSGKIT_TEST_RABBITMQ_URL", url)
    with pytest.raises(ConfigurationError, match="names no address") as failed:
        await RabbitMQ().__aenter__()
    assert "secret" not in str(failed.value)


@pytest.mark.parametrize("kind", [RabbitMQ, Kafka], ids=lambda kind: kind.name)
async def test_a_cluster_is_of_processes_whoever_else_is_asked_for(
    kind: type[Broker], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Unavailable, match="only 'container' may be asked"):
        await kind(nodes=3, provider="container").__aenter__()
    monkeypatch.setenv("MSGKIT_TEST_PROVIDER", "external")
    with pytest.raises(Unavailable, match="only 'external' may be asked"):
        await kind(nodes=3).__aenter__()


async def test_a_user_without_a_home_is_told_to_name_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MSGKIT_TEST_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(Unavailable, match="set MSGKIT_TEST_CACHE"):
        await Kafka(provider="process").__aenter__()
