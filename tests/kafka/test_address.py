import ssl
from pathlib import Path
from typing import Any, get_args

import pytest

from msgkit import Settings
from msgkit.errors import ConfigurationError, UnknownSetting
from msgkit.reaching import Address
from msgkit_kafka.address import KafkaSettings
from msgkit_kafka.options import Auth, Compression, Kafka
from msgkit_kafka.wire import records
from msgkit_kafka.wire.errors import LoginRefused, NotWritten
from tests.certificates import Certificates, made

parse = KafkaSettings.parse


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return made(tmp_path_factory.mktemp("certificates"))


# -- where it is


@pytest.mark.parametrize(
    ("url", "servers"),
    [
        ("kafka://", ["localhost:9092"]),
        ("kafka:///", ["localhost:9092"]),
        ("kafka://one", ["one:9092"]),
        ("KAFKA://one:1", ["one:1"]),
        ("kafkas://one", ["one:9092"]),
        ("kafka://a:1,b,c:3/", ["a:1", "b:9092", "c:3"]),
        ("kafka://a,a:9092?linger=0", ["a:9092"]),
        ("kafka://[::1]", ["[::1]:9092"]),
        ("kafka://u:p@host_1,[fe80::1%25eth0]:7", ["host_1:9092", "[fe80::1%eth0]:7"]),
    ],
)
def test_a_url_names_some_of_the_brokers(url: str, servers: list[str]) -> None:
    assert [str(server) for server in parse(url).servers] == servers


@pytest.mark.parametrize(
    ("url", "auth", "user", "password"),
    [
        ("kafka://host", None, "", ""),
        ("kafka://app:pw@host", "plain", "app", "pw"),
        ("kafka://app:@host", "plain", "app", ""),
        ("kafka://app:a:b@c@host", "plain", "app", "a:b@c"),
        ("kafka://a%40b:p%2F%3F%23%25+@host", "plain", "a@b", "p/?#%+"),
        ("kafka://app:pw@host?auth=scram-sha-256", "scram-sha-256", "app", "pw"),
        ("kafka://app:pw@host?auth=SCRAM-SHA-512", "scram-sha-512", "app", "pw"),
    ],
)
def test_a_url_says_who_connects(url: str, auth: Auth | None, user: str, password: str) -> None:
    settings = parse(url)
    assert (settings.auth, settings.user, settings.password) == (auth, user, password)
    assert settings.servers == (Address("host", 9092),)


# -- what else is said


def test_what_nobody_says_has_a_default() -> None:
    plain = parse("kafka://host")
    assert plain == KafkaSettings(servers=(Address("host", 9092),))
    assert (plain.linger, plain.compression, plain.session_timeout, plain.request_timeout) == (0, "none", 10, 10)
    assert (plain.client_id, plain.rack, plain.instance, plain.tls) == (None, "", None, None)


def test_options_stand_in_the_url_or_beside_it_where_they_go_first() -> None:
    url = (
        "kafka://u:p@host?linger=0.01&compression=ZSTD&session_timeout=6&request_timeout=2.5&client_id=till+%31&rack=a"
    )
    said = parse(f"{url}&instance=till-1")
    assert (said.linger, said.compression, said.session_timeout, said.request_timeout) == (0.01, "zstd", 6, 2.5)
    assert (said.client_id, said.rack, said.instance) == ("till+1", "a", "till-1")
    beside = parse(url, Kafka(linger=0, user="other", password="x", auth="scram-sha-256"))  # noqa: S106 -- no password of anything
    assert (beside.linger, beside.user, beside.password, beside.auth) == (0, "other", "x", "scram-sha-256")
    assert beside.compression == "zstd"


def test_options_of_the_settings_are_typed_and_may_be_text_as_the_environment_has_it() -> None:
    settings = Settings(url="kafka://host", brokers={"default": {"options": Kafka(rack="a")}})
    assert parse(settings.url, settings.broker().options).rack == "a"
    assert parse("kafka://app@host", {"session_timeout": "30", "password": "pw"}).session_timeout == 30


def test_batches_may_be_packed_by_whatever_the_wire_can() -> None:
    assert get_args(Compression) == get_args(records.Compression)


@pytest.mark.parametrize(
    ("query", "nearest"),
    [
        ("lingr=5", "linger"),
        ("cafile=x", "ca_file"),
        ("Rack=a", "rack"),
        ("session_timeout_ms=1", "session_timeout"),
    ],
)
def test_an_unknown_option_is_refused_with_the_nearest_there_is(query: str, nearest: str) -> None:
    name, _, value = query.partition("=")
    for url, options in ((f"kafka://host?{query}", {}), ("kafka://host", {name: value})):
        with pytest.raises(UnknownSetting, match=f"no option '{name}'; '{nearest}.* is the nearest of .*verify"):
            parse(url, options)


@pytest.mark.parametrize("name", ["user", "password"])
def test_what_has_its_place_in_a_url_is_no_option_of_it(name: str) -> None:
    with pytest.raises(UnknownSetting, match=f"'{name}' is no option after the .*: it is kafka://user:password@"):
        parse(f"kafka://host?{name}=hidden")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"linger": -1}, "linger must be seconds between 0 and 60, not -1"),
        ({"linger": True}, "linger must be seconds"),
        ({"linger": None}, "linger must be seconds"),
        ({"linger": "soon"}, "linger must be seconds between 0 and 60, not 'soon'"),
        ({"linger": 10**400}, "linger must be seconds"),
        ({"session_timeout": 0}, "session_timeout must be seconds between 1 and 1800"),
        ({"request_timeout": "nan"}, "request_timeout must be seconds between 0.1 and 300"),
        ({"compression": "brotli"}, "compression must be none or gzip or .*, not 'brotli'"),
        ({"compression": None}, "compression must be none or"),
        ({"client_id": ""}, "client_id must be printable text"),
        ({"rack": 5}, "rack must be printable text"),
        ({"instance": "a b"}, "instance is 'a b': Kafka takes letters"),
        ({"auth": "gssapi"}, "auth must be plain or scram-sha-256 or scram-sha-512 or oauthbearer, not 'gssapi'"),
        ({"auth": "plain"}, "has no user: write kafka://user:password@host"),
        ({"auth": "scram-sha-256", "user": "app"}, "has the user 'app', and no password"),
        ({"user": "app"}, "has the user 'app', and no password"),
        ({"password": "hidden"}, "option password is for a user"),
        ({"password": 5}, "password must be text, not int"),
        ({"auth": "oauthbearer"}, "takes a token"),
        ({"token": "hidden", "user": "app"}, "token says who we are; leave user and password out"),
        ({"token": "hidden", "auth": "plain", "user": "a", "password": "hidden"}, "is for auth=oauthbearer, not for"),
        ({"token": ""}, "token must be text or an async function that returns it, not str"),
        ({"token": 5}, "token must be text or"),
        ({"verify": "perhaps"}, "verify must be true or false"),
        ({"verify": "false"}, "verify is for kafkas://"),
        ({"ca_file": "/x.pem"}, "ca_file is for kafkas://"),
        ({"server_hostname": "x"}, "server_hostname is for kafkas://"),
        ({"ca_file": 5}, "ca_file must be the path of a file"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(options: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why) as refused:
        parse("kafka://host", options)
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "kafka://user:hidden",
        "kafka://user:hidden/",
        "kafka://user:hid/den@host",
        "kafka://user:12/hidden@host",
        "kafka://user:12?hidden@host",
        "kafka://user:12?linger=hidden@host",
        "kafka://user:12#hidden@host",
        "kafka://user:p@a/hidden@host",
        "kafka://:hidden@host",
        "kafka://user:hidden@",
        "kafka://user:hidden@host:port",
        "kafka://user:hidden@host:0",
        "kafka://user:hidden@host:65536",
        "kafka://user:hidden@a,,b",
        "kafka://user:hidden@:9092",
        "kafka://user:hidden@::1",
        "kafka://user:hidden@ho st",
        "kafka://user:hidden%FF@host",
        "kafka://user:hidden@host/topic",
        "kafka://user:hidden@host?linger=99",
        "kafka://user:hidden@host?linger=%FF",
        "kafka://user:hidden@host?linger=0&linger=0",
        "kafka://user:hidden@host?colour=red",
        "kafka://user:hidden@host?auth=oauthbearer",
        "kafka://user:hidden@host?token=hidden",
        "http://user:hidden@host",
        "kafka+ssl://user:hidden@host",
        "hidden",
    ],
)
def test_what_a_url_cannot_mean_is_refused_and_no_password_is_shown(url: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        parse(url)
    shown = [refused.value, refused.value.__cause__]
    assert "hid" not in " ".join(map(repr, shown))


def test_no_repr_holds_a_secret() -> None:
    settings = parse("kafka://app:hidden@host")
    assert settings.password == "hidden"  # noqa: S105 -- no password of anything
    assert "hidden" not in repr(settings)
    assert "app" in repr(settings)
    assert "hidden" not in repr(parse("kafka://host", {"token": "hidden"}))


# -- who we are


async def test_who_connects_proves_it_as_he_was_told_to() -> None:
    assert await parse("kafka://host").login() is None
    found = [
        await parse(f"kafka://app:pw@host?auth={auth}").login() for auth in get_args(Auth) if auth != "oauthbearer"
    ]
    assert [each and each.mechanism for each in found] == ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
    assert [each and each.first()[:8] for each in found] == [b"\0app\0pw", b"n,,n=app", b"n,,n=app"]


async def test_a_token_is_fetched_anew_for_each_connection() -> None:
    tokens = iter(["one", "two"])

    async def fetch() -> str:
        return next(tokens)

    settings = parse("kafka://host", Kafka(token=fetch))
    assert settings.auth == "oauthbearer"
    for token in (b"one", b"two"):
        login = await settings.login()
        assert login is not None
        assert token in login.first()
    fixed = await parse("kafka://host?token=fixed", {}).login()
    assert fixed is not None
    assert b"Bearer fixed" in fixed.first()


async def test_who_gives_out_no_token_now_may_do_so_later_and_his_words_are_not_repeated() -> None:
    async def fail() -> str:
        raise RuntimeError("hidden")

    with pytest.raises(NotWritten, match="option token failed with RuntimeError") as failed:
        await parse("kafka://host", {"token": fail}).login()
    assert "hidden" not in str(failed.value)


@pytest.mark.parametrize("answer", [None, 5, b"token"])
async def test_what_is_no_token_helps_nobody(answer: object) -> None:
    async def fetch() -> object:
        return answer

    for function in (fetch, lambda: "no async function"):
        with pytest.raises(LoginRefused, match="must be text or an async function that returns it"):
            await parse("kafka://host", {"token": function}).login()


# -- TLS


def test_a_secure_url_checks_who_answers(certificates: Certificates) -> None:
    settings = parse("kafkas://host?server_hostname=broker.test", {"ca_file": certificates.certificate})
    assert settings.tls is not None
    assert settings.tls.verify_mode is ssl.CERT_REQUIRED
    assert settings.tls.check_hostname
    assert [dict(found)["subject"] for found in settings.tls.get_ca_certs()] == [((("commonName", "broker.test"),),)]
    assert settings.server_hostname == "broker.test"


def test_without_a_file_the_machine_says_whom_to_trust_or_nobody_is_checked() -> None:
    assert parse("kafkas://host").secure
    trusting = parse("kafkas://host?verify=false").tls
    assert trusting is not None
    assert (trusting.verify_mode, trusting.check_hostname) == (ssl.CERT_NONE, False)


def test_a_renewed_certificate_is_taken_up(certificates: Certificates, tmp_path: Path) -> None:
    there = tmp_path / "ca.pem"
    there.write_bytes(certificates.certificate.read_bytes())
    settings = parse("kafkas://host", {"ca_file": there})
    there.unlink()
    with pytest.raises(ConfigurationError, match="option ca_file names a file that cannot be read"):
        _ = settings.tls


def test_a_certificate_says_who_we_are(certificates: Certificates, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(certificates.certificate.read_bytes() + certificates.key.read_bytes())
    assert parse("kafkas://host", {"cert_file": both}).auth is None
    locked = {"cert_file": certificates.certificate, "key_file": certificates.locked, "key_password": "secret"}
    assert "secret" not in repr(parse("kafkas://host", locked))


@pytest.mark.parametrize(
    ("names", "why"),
    [
        ({"ca_file": "missing"}, "option ca_file names a file that cannot be read: .*No such file"),
        ({"ca_file": "key"}, "option ca_file names a file that holds no certificate"),
        ({"cert_file": "missing"}, "option cert_file names a file that cannot be read"),
        ({"cert_file": "certificate"}, "cert_file holds no private key .*; say where it is with key_file"),
        (
            {"cert_file": "certificate", "key_file": "other"},
            "cert_file and key_file cannot be used: they do not belong",
        ),
        ({"cert_file": "certificate", "key_file": "locked"}, "is encrypted: set the option key_password"),
        ({"key_file": "key"}, "key_file is for a certificate; say cert_file"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_its_option(
    certificates: Certificates, names: dict[str, str], why: str
) -> None:
    folder = certificates.key.parent
    with pytest.raises(ConfigurationError, match=why):
        parse("kafkas://host", {option: folder / f"{name}.pem" for option, name in names.items()})


def test_a_wrong_password_of_a_key_is_not_shown(certificates: Certificates) -> None:
    files = {"cert_file": certificates.certificate, "key_file": certificates.locked}
    with pytest.raises(ConfigurationError, match="key_password cannot be used") as refused:
        parse("kafkas://host", {**files, "key_password": "mistaken"})
    assert "mistaken" not in str(refused.value)


def test_whom_to_trust_and_trusting_anybody_exclude_each_other() -> None:
    with pytest.raises(ConfigurationError, match="verify=false trusts anybody"):
        parse("kafkas://host", {"ca_file": "/ca.pem", "verify": False})


def test_a_compression_without_its_library_is_refused_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("msgkit_kafka.address.is_available", {"gzip": True, "zstd": False}.__getitem__)
    with pytest.raises(ConfigurationError, match="compression=zstd takes pip install cramjam"):
        parse("kafka://host?compression=zstd")
    assert parse("kafka://host?compression=gzip").compression == "gzip"
