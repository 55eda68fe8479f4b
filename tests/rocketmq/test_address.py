"""Where a RocketMQ is, and what can be said of it."""

import ssl
from pathlib import Path
from typing import Any

import pytest

from msgkit import Settings
from msgkit.errors import ConfigurationError, UnknownSetting
from msgkit.reaching import Address
from msgkit_rocketmq.address import RocketSettings
from msgkit_rocketmq.options import Rocket
from tests.certificates import made

parse = RocketSettings.parse


@pytest.mark.parametrize(
    ("url", "servers"),
    [
        ("rocketmq://", ["localhost:9876"]),
        ("rocketmq:///", ["localhost:9876"]),
        ("ROCKETMQ://one:1", ["one:1"]),
        ("rocketmq://a:1,b,c:3/", ["a:1", "b:9876", "c:3"]),
        ("rocketmq://a,a:9876?lease=20", ["a:9876"]),
        ("rocketmq://k:s@[::1]:7", ["[::1]:7"]),
    ],
)
def test_a_url_names_the_name_servers(url: str, servers: list[str]) -> None:
    assert [str(server) for server in parse(url).servers] == servers


def test_what_nobody_says_has_a_default() -> None:
    plain = parse("rocketmq://host")
    assert plain == RocketSettings(servers=(Address("host", 9876),))
    assert (plain.lease, plain.request_timeout, plain.namespace) == (30, 10, "")
    assert (plain.user, plain.password, plain.token, plain.tls) == ("", "", "", None)


def test_a_url_says_who_connects() -> None:
    settings = parse("rocketmq://a%40b:p%2F%3F%23%25+@host?token=t%2B1")
    assert (settings.user, settings.password, settings.token) == ("a@b", "p/?#%+", "t+1")


def test_options_stand_in_the_url_or_beside_it_where_they_go_first() -> None:
    url = "rocketmq://k:s@host?lease=20&request_timeout=2.5&namespace=shop"
    said = parse(url)
    assert (said.lease, said.request_timeout, said.namespace) == (20, 2.5, "shop")
    beside = parse(url, Rocket(lease=5, user="other", password="x"))  # noqa: S106 -- no password of anything
    assert (beside.lease, beside.user, beside.password, beside.namespace) == (5, "other", "x", "shop")


def test_options_of_the_settings_are_typed_and_may_be_text_as_the_environment_has_it() -> None:
    settings = Settings(url="rocketmq://host", brokers={"default": {"options": Rocket(namespace="a")}})
    assert parse(settings.url, settings.broker().options).namespace == "a"
    assert parse("rocketmq://host", {"lease": "40"}).lease == 40


@pytest.mark.parametrize(("query", "nearest"), [("leese=5", "lease"), ("cafile=x", "ca_file"), ("Lease=5", "lease")])
def test_an_unknown_option_is_refused_with_the_nearest_there_is(query: str, nearest: str) -> None:
    with pytest.raises(UnknownSetting, match=f"'{nearest}' is the nearest of .*verify"):
        parse(f"rocketmq://host?{query}")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"lease": 0.5}, "lease must be seconds between 1 and 86400, not 0.5"),
        ({"request_timeout": "nan"}, "request_timeout must be seconds between 0.1 and 300"),
        ({"user": "app"}, "has the access key 'app', and no secret"),
        ({"password": "hidden"}, "has a secret, and no access key"),
        ({"password": 5, "user": "app"}, "password must be text, not int"),
        ({"token": "hidden"}, "token goes with an access key"),
        ({"namespace": "a.b"}, r"namespace is 'a\.b': RocketMQ takes letters"),
        ({"namespace": "a" * 31}, "namespace has 31 characters, and at most 30 fit"),
        ({"verify": "false"}, "verify is for rocketmqs://"),
        ({"server_hostname": "x"}, "server_hostname is for rocketmqs://"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(options: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why) as refused:
        parse("rocketmq://host", options)
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "rocketmq://key:hid/den@host",
        "rocketmq://key:12?hidden@host",
        "rocketmq://:hidden@host",
        "rocketmq://key:hidden@",
        "rocketmq://key:hidden@host:0",
        "rocketmq://key:hidden@host/topic",
        "rocketmq://key:hidden@host?lease=0",
        "rocketmq://key@host?token=hidden",
        "kafka://key:hidden@host",
        "hidden",
    ],
)
def test_what_a_url_cannot_mean_is_refused_and_no_secret_is_shown(url: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        parse(url)
    assert "hid" not in " ".join(map(repr, [refused.value, refused.value.__cause__]))


def test_no_repr_holds_a_secret() -> None:
    settings = parse("rocketmq://app:hidden@host?token=hidden")
    assert settings.password == settings.token == "hidden"  # noqa: S105 -- no password of anything
    assert "hidden" not in repr(settings)
    assert "app" in repr(settings)


def test_the_secure_scheme_trusts_whom_it_is_told_to(tmp_path: Path) -> None:
    certificates = made(tmp_path)
    settings = parse("rocketmqs://host", {"ca_file": certificates.certificate})
    assert settings.tls is not None
    assert settings.tls.verify_mode is ssl.CERT_REQUIRED
    with pytest.raises(ConfigurationError, match="ca_file names a file that cannot be read"):
        parse("rocketmqs://host?ca_file=/nowhere.pem")
