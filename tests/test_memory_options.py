import asyncio

import pytest

from msgkit.errors import ConfigurationError, UnknownSetting
from msgkit.spi import BindingOptions
from msgkit_memory import Broker, MemoryBinding
from msgkit_memory.options import MemoryOptions


def test_a_url_names_a_broker_and_its_options() -> None:
    assert MemoryOptions.parse("memory://").name == ""
    assert MemoryOptions.parse("memory://stream?retain=5&check_after=2.5&transient=1") == (
        MemoryOptions(name="stream", retain=5, check_after=2.5, transient=True)
    )
    assert MemoryOptions.parse("memory://", {"retain": 7}).retain == 7


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("memory://?retian=5", "no option 'retian'; there are check_after, retain"),
        ("memory://?retain=-1", "number of messages, not '-1'"),
        ("memory://?retain=", "number of messages, not ''"),
        ("memory://?check_after=0", "seconds above 0"),
        ("memory://?check_after=nan", "seconds above 0"),
        ("memory://?transient=maybe", "true or false"),
        ("memory://name/path", "memory:// or memory://name"),
        ("memory://user:secret@name", "memory:// or memory://name"),
        ("amqp://host", "'amqp'"),
    ],
)
def test_what_a_url_cannot_mean_is_refused_before_connecting(url: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as refused:
        MemoryBinding(BindingOptions(url=url))
    assert "secret" not in str(refused.value)


def test_an_unknown_option_is_an_unknown_setting() -> None:
    with pytest.raises(UnknownSetting):
        MemoryBinding(BindingOptions(url="memory://", options={"colour": "red"}))


def test_one_url_is_one_broker_until_it_is_forgotten() -> None:
    broker = Broker.at("memory://same?retain=5")
    assert Broker.at("memory://same") is broker
    assert Broker.at("memory://other") is not broker
    Broker.forget("memory://same")
    assert Broker.at("memory://same") is not broker
    for name in ("same", "other"):
        Broker.forget(f"memory://{name}")


def test_a_broker_cannot_have_two_opinions_of_one_option() -> None:
    Broker.at("memory://opinion?retain=5")
    binding = MemoryBinding(BindingOptions(url="memory://opinion?retain=6"))
    with pytest.raises(ConfigurationError, match="retain=5, not 6"):
        asyncio.run(binding.connect(print))
    Broker.forget("memory://opinion")
