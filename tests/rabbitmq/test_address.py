import math
import ssl
from pathlib import Path
from typing import Any

import pytest

from msgkit import Settings
from msgkit.errors import ConfigurationError, UnknownSetting
from msgkit.reaching import Address
from msgkit_rabbitmq.address import Page, Rabbit, RabbitSettings
from tests.certificates import Certificates, made

parse = RabbitSettings.parse


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return made(tmp_path_factory.mktemp("certificates"))


# -- where it is


@pytest.mark.parametrize(
    ("url", "addresses"),
    [
        ("amqp://", ["localhost:5672"]),
        ("amqp:///shop", ["localhost:5672"]),
        ("amqp://rabbit", ["rabbit:5672"]),
        ("AMQP://rabbit:1", ["rabbit:1"]),
        ("amqps://rabbit", ["rabbit:5671"]),
        ("amqp://a:1,b,c:3/", ["a:1", "b:5672", "c:3"]),
        ("amqp://a,a:5672", ["a:5672"]),
        ("amqp://[::1]", ["[::1]:5672"]),
        ("amqp://u:p@host_1,[fe80::1%25eth0]:7", ["host_1:5672", "[fe80::1%eth0]:7"]),
    ],
)
def test_a_url_names_the_hosts_of_a_cluster(url: str, addresses: list[str]) -> None:
    assert [str(address) for address in parse(url).addresses] == addresses


@pytest.mark.parametrize(
    ("path", "vhost"),
    [("", "/"), ("/", "/"), ("//", "/"), ("/%2F", "/"), ("/prod", "prod"), ("/%2Fprod", "/prod"), ("/a%20b", "a b")],
)
def test_a_path_is_a_vhost(path: str, vhost: str) -> None:
    assert parse(f"amqp://host{path}?heartbeat=5").vhost == vhost


@pytest.mark.parametrize(
    ("url", "user", "password"),
    [
        ("amqp://host", "guest", "guest"),
        ("amqp://guest@host", "guest", "guest"),
        ("amqp://app:pw@host", "app", "pw"),
        ("amqp://app:@host", "app", ""),
        ("amqp://app:a:b@c@host", "app", "a:b@c"),
        ("amqp://a%40b:p%2F%3F%23%25+@host", "a@b", "p/?#%+"),
    ],
)
def test_a_url_says_who_connects(url: str, user: str, password: str) -> None:
    settings = parse(url)
    assert (settings.user, settings.password) == (user, password)
    assert settings.addresses == (Address("host", 5672),)


# -- what else is said


def test_what_nobody_says_has_a_default() -> None:
    assert parse("amqp://host") == RabbitSettings(addresses=(Address("host", 5672),))
    plain = parse("amqp://host")
    assert (plain.heartbeat, plain.connect_timeout, plain.consumer_timeout) == (5, 10, 1800)
    assert (plain.management, plain.connection_name, plain.auth, plain.tls) == (None, None, "plain", None)


def test_options_stand_in_the_url_or_beside_it_where_they_go_first() -> None:
    url = "amqp://u:p@host/v?heartbeat=3&connect_timeout=2.5&consumer_timeout=inf&connection_name=till+%31&auth=PLAIN"
    said = parse(url)
    assert (said.heartbeat, said.connect_timeout, said.consumer_timeout) == (3, 2.5, math.inf)
    assert (said.connection_name, said.auth) == ("till+1", "plain")
    beside = parse(url, Rabbit(heartbeat=2, user="other", password="x", vhost="/"))  # noqa: S106 -- no password of anything
    assert (beside.heartbeat, beside.user, beside.password, beside.vhost) == (2, "other", "x", "/")
    assert beside.connection_name == "till+1"


def test_options_of_the_settings_are_typed_and_may_be_text_as_the_environment_has_it() -> None:
    settings = Settings(url="amqp://host", brokers={"default": {"options": Rabbit(heartbeat=3)}})
    assert parse(settings.url, settings.broker().options).heartbeat == 3
    assert parse("amqp://app@host", {"heartbeat": "4", "password": "pw"}).heartbeat == 4


@pytest.mark.parametrize(
    ("query", "nearest"),
    [
        ("heartbaet=5", "heartbeat"),
        ("cafile=x", "ca_file"),
        ("Heartbeat=5", "heartbeat"),
        ("connection_timeout=1", "c"),
    ],
)
def test_an_unknown_option_is_refused_with_the_nearest_there_is(query: str, nearest: str) -> None:
    name, _, value = query.partition("=")
    for url, options in ((f"amqp://host?{query}", {}), ("amqp://host", {name: value})):
        with pytest.raises(UnknownSetting, match=f"no option '{name}'; '{nearest}.* is the nearest of .*verify"):
            parse(url, options)


@pytest.mark.parametrize("name", ["user", "password", "vhost"])
def test_what_has_its_place_in_a_url_is_no_option_of_it(name: str) -> None:
    with pytest.raises(UnknownSetting, match=f"'{name}' is no option after the .*: it is amqp://user:password@"):
        parse(f"amqp://host?{name}=hidden")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"heartbeat": 8}, "heartbeat must be seconds between 1 and 7, not 8: .* within 15 seconds"),
        ({"heartbeat": 0}, "heartbeat must be seconds between 1 and 7"),
        ({"heartbeat": "2.5"}, "heartbeat must be whole seconds, not 2.5"),
        ({"heartbeat": True}, "heartbeat must be seconds"),
        ({"heartbeat": "soon"}, "heartbeat must be seconds between 1 and 7, not 'soon'"),
        ({"heartbeat": None}, "heartbeat must be seconds"),
        ({"heartbeat": 10**400}, "heartbeat must be seconds"),
        ({"connect_timeout": "nan"}, "connect_timeout must be seconds between 0.1 and 300"),
        ({"consumer_timeout": "0"}, "consumer_timeout must be seconds of at least 1"),
        ({"connection_name": ""}, "connection_name must be printable text"),
        ({"connection_name": 5}, "connection_name must be printable text"),
        ({"auth": "kerberos"}, "auth must be plain or external, not 'kerberos'"),
        ({"auth": "external"}, "auth=external means .* use amqps:// and set cert_file"),
        ({"verify": "perhaps"}, "verify must be true or false"),
        ({"verify": "false"}, "verify is for amqps://"),
        ({"ca_file": "/x.pem"}, "ca_file is for amqps://"),
        ({"server_hostname": "x"}, "server_hostname is for amqps://"),
        ({"ca_file": 5}, "ca_file must be the path of a file"),
        ({"vhost": "a\nb"}, "vhost must be printable text"),
        ({"vhost": "v" * 256}, "more than 255 bytes"),
        ({"user": "app"}, "user 'app' has no password"),
        ({"password": 5}, "password must be text, not int"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(options: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        parse("amqp://host", options)


@pytest.mark.parametrize(
    "url",
    [
        "amqp://user:hidden",
        "amqp://user:hidden/",
        "amqp://user:hid/den@host",
        "amqp://user:12/hidden@host",
        "amqp://user:12?hidden@host",
        "amqp://user:12?heartbeat=hidden@host",
        "amqp://user:12#hidden@host",
        "amqp://user:p@a/hidden@host",
        "amqp://:hidden@host",
        "amqp://user:hidden@",
        "amqp://user:hidden@host:port",
        "amqp://user:hidden@host:0",
        "amqp://user:hidden@host:65536",
        "amqp://user:hidden@a,,b",
        "amqp://user:hidden@:5672",
        "amqp://user:hidden@::1",
        "amqp://user:hidden@ho st",
        "amqp://user:hidden%FF@host",
        "amqp://user:hidden@host/a/b",
        "amqp://user:hidden@host/%FF",
        "amqp://user:hidden@host?heartbeat=99",
        "amqp://user:hidden@host?heartbeat=5&heartbeat=5",
        "amqp://user:hidden@host?colour=red",
        "amqp://user:hidden@host?auth=external",
        "amqp://user:hidden@host?management=ftp://admin:hidden@host",
        "amqp://user:hidden@host?management=http://admin:hidden@a,b",
        "amqp://user:hidden@host?management=http://admin:hidden@host:x",
        "http://user:hidden@host",
        "hidden",
    ],
)
def test_what_a_url_cannot_mean_is_refused_and_no_password_is_shown(url: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        parse(url)
    shown = [refused.value, refused.value.__cause__]
    assert "hid" not in " ".join(map(repr, shown))


# -- what nobody sees


def test_no_repr_holds_a_secret() -> None:
    settings = parse(
        "amqp://app:hidden@host?management=http://admin:hidden@page:15672",
    )
    assert settings.management is not None
    assert (settings.password, settings.management.password) == ("hidden", "hidden")
    assert "hidden" not in repr(settings)
    assert "app" in repr(settings)


# -- the management page


@pytest.mark.parametrize(
    ("url", "page"),
    [
        ("http://host:15672", ("host:15672", False, "", "u", "p")),
        ("HTTPS://host/", ("host:443", True, "", "u", "p")),
        ("http://[::1]:15672/rabbit/", ("[::1]:15672", False, "/rabbit", "u", "p")),
        ("http://admin:p%2Fw@host", ("host:80", False, "", "admin", "p/w")),
        ("http://admin:a@b:c/d@host:1", ("host:1", False, "", "admin", "a@b:c/d")),
    ],
)
def test_the_management_page_has_an_address_and_the_user_of_the_url_unless_it_names_its_own(
    url: str, page: tuple[str, bool, str, str, str]
) -> None:
    found = parse("amqp://u:p@host", {"management": url}).management
    assert isinstance(found, Page)
    assert (str(found.address), found.secure, found.path, found.user, found.password) == page


def test_the_management_page_may_stand_in_the_url_as_it_is() -> None:
    found = parse("amqp://u:p@host/v?management=http://admin:pw@page:15672&heartbeat=3")
    assert found.management is not None
    assert (found.management.user, found.heartbeat, found.vhost) == ("admin", 3, "v")


# -- TLS


def test_a_secure_url_checks_who_answers(certificates: Certificates) -> None:
    settings = parse("amqps://host?server_hostname=broker.test", {"ca_file": certificates.certificate})
    assert settings.tls is not None
    assert settings.tls.verify_mode is ssl.CERT_REQUIRED
    assert settings.tls.check_hostname
    assert [dict(found)["subject"] for found in settings.tls.get_ca_certs()] == [((("commonName", "broker.test"),),)]
    assert settings.server_hostname == "broker.test"


def test_without_a_file_the_machine_says_whom_to_trust_or_nobody_is_checked() -> None:
    assert parse("amqps://host").secure
    trusting = parse("amqps://host?verify=false").tls
    assert trusting is not None
    assert (trusting.verify_mode, trusting.check_hostname) == (ssl.CERT_NONE, False)


def test_a_renewed_certificate_is_taken_up(certificates: Certificates, tmp_path: Path) -> None:
    there = tmp_path / "ca.pem"
    there.write_bytes(certificates.certificate.read_bytes())
    settings = parse("amqps://host", {"ca_file": there})
    there.unlink()
    with pytest.raises(ConfigurationError, match="ca_file names a file that cannot be read"):
        _ = settings.tls


def test_a_certificate_says_who_we_are(certificates: Certificates, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(certificates.certificate.read_bytes() + certificates.key.read_bytes())
    external = parse("amqps://app@host?auth=external", {"cert_file": both})
    assert (external.auth, external.user, external.password) == ("external", "app", "")
    locked = {"cert_file": certificates.certificate, "key_file": certificates.locked, "key_password": "secret"}
    assert "secret" not in repr(parse("amqps://host", locked))


@pytest.mark.parametrize(
    ("names", "why"),
    [
        ({"ca_file": "missing"}, "ca_file names a file that cannot be read: .*missing.pem .No such file"),
        ({"ca_file": "key"}, "ca_file names a file that holds no certificate"),
        ({"ca_file": "broken"}, "option ca_file cannot be used: "),
        ({"cert_file": "missing"}, "cert_file names a file that cannot be read"),
        ({"cert_file": "certificate"}, "cert_file holds no private key .*key_file"),
        ({"cert_file": "certificate", "key_file": "missing"}, "key_file names a file that cannot be read"),
        ({"cert_file": "certificate", "key_file": "certificate"}, "key_file names a file that holds no private key"),
        (
            {"cert_file": "certificate", "key_file": "other"},
            "cert_file and key_file cannot be used: they do not belong",
        ),
        ({"cert_file": "broken", "key_file": "key"}, "cert_file cannot be used"),
        ({"cert_file": "certificate", "key_file": "locked"}, "is encrypted: set the option key_password"),
        ({"key_file": "key"}, "key_file is for a certificate; say cert_file"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_its_option(
    certificates: Certificates, names: dict[str, str], why: str
) -> None:
    folder = certificates.key.parent
    (folder / "broken.pem").write_text("-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n")
    with pytest.raises(ConfigurationError, match=why):
        parse("amqps://host", {option: folder / f"{name}.pem" for option, name in names.items()})


def test_a_wrong_password_of_a_key_is_not_shown(certificates: Certificates) -> None:
    files = {"cert_file": certificates.certificate, "key_file": certificates.locked}
    with pytest.raises(ConfigurationError, match="option key_password cannot be used") as refused:
        parse("amqps://host", {**files, "key_password": "mistaken"})
    assert "mistaken" not in str(refused.value)


def test_whom_to_trust_and_trusting_anybody_exclude_each_other() -> None:
    with pytest.raises(ConfigurationError, match="verify=false trusts anybody"):
        parse("amqps://host", {"ca_file": "/ca.pem", "verify": False})
    with pytest.raises(ConfigurationError, match="key_password is for a certificate"):
        parse("amqps://host", {"key_password": "x"})


def test_the_files_may_be_for_the_management_page_alone(certificates: Certificates) -> None:
    settings = parse("amqp://host", {"management": "https://host", "ca_file": certificates.certificate})
    assert settings.tls is None
    assert settings.certificates.context().get_ca_certs()
