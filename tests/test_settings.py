import copy
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import FrozenInstanceError, dataclass
from datetime import timedelta
from pathlib import Path
from typing import cast, get_type_hints

import pytest
from pydantic import BaseModel

from msgkit.errors import ConfigurationError, UnknownSetting
from msgkit.settings import (
    BrokerSettings,
    ExchangeSettings,
    QueueSettings,
    Settings,
    SettingsValues,
    model,
    redact,
    sources,
)
from msgkit.settings.checks import SCALARS
from msgkit.settings.shape import DEFAULTS
from tools.settings_reference import PAGE, up_to_date

Setenv = Callable[..., None]


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Go to an empty directory, in an environment that says nothing."""
    for name in [name for name in os.environ if name.upper().startswith("MSGKIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(sources, "DEFAULT_SECRETS_DIR", str(tmp_path / "run-secrets"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch) -> Setenv:
    def put(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return put


@dataclass
class Credentials:
    user: str


def built(**values: object) -> Settings:
    """Make settings as a caller without a type checker does."""
    return Settings(**cast("SettingsValues", values))


# -- where a value comes from


def put_secret(here: Path, name: str, value: str) -> Path:
    file = here / "elsewhere" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"{value}\n")
    return file


def in_secret_file(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = put_secret(here, "some-prefix", "secret-file.")
    monkeypatch.setenv("MSGKIT_PREFIX_FILE", str(file))


def in_secrets_directory(here: Path, _: pytest.MonkeyPatch) -> None:
    (here / "run-secrets").mkdir()
    (here / "run-secrets" / "msgkit_prefix").write_text("secrets-directory.\n")


def in_environment(_: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MSGKIT_PREFIX", "environment.")


def in_dotenv(here: Path, _: pytest.MonkeyPatch) -> None:
    (here / ".env").write_text("OTHER=1\nMSGKIT_PREFIX=dotenv.\n")


def in_settings_file(here: Path, _: pytest.MonkeyPatch) -> None:
    (here / "msgkit.toml").write_text('prefix = "settings-file."\n')


def in_project_file(here: Path, _: pytest.MonkeyPatch) -> None:
    (here / "pyproject.toml").write_text('[project]\nname = "x"\n[tool.msgkit]\nprefix = "project-file."\n')


PLACES = (
    (in_environment, "environment.", "environment variable MSGKIT_PREFIX"),
    (in_secret_file, "secret-file.", "secret file {here}/elsewhere/some-prefix"),
    (in_secrets_directory, "secrets-directory.", "secret file {here}/run-secrets/msgkit_prefix"),
    (in_dotenv, "dotenv.", ".env"),
    (in_settings_file, "settings-file.", "msgkit.toml"),
    (in_project_file, "project-file.", "pyproject.toml"),
)


@pytest.mark.parametrize("strongest", range(len(PLACES)), ids=[p[0].__name__ for p in PLACES])
def test_each_place_wins_over_all_that_follow_it(strongest: int, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for put, _, _ in PLACES[strongest:]:
        put(here, monkeypatch)
    settings = Settings.load()
    _, value, origin = PLACES[strongest]
    assert settings.prefix == value
    assert settings.origin("prefix") == origin.format(here=here)
    assert settings.chosen("prefix")


def test_keywords_win_over_every_place(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for put, _, _ in PLACES:
        put(here, monkeypatch)
    settings = Settings.load(prefix="keyword.")
    assert settings.prefix == "keyword."
    assert settings.origin("prefix") == "keyword"


def test_what_nobody_says_is_the_default() -> None:
    settings = Settings.load()
    assert (settings.url, settings.topology, settings.prefix) == ("memory://", "create", "")
    assert (settings.wait_for_broker, settings.drain) == (30.0, 25.0)
    assert settings.queue("billing") == {}
    assert settings.exchange("orders") == {}
    assert settings.origin("url") == "default"
    assert settings.origin("queues.billing.concurrency") == "default"
    assert not settings.chosen("url")
    assert settings == Settings()


def test_a_default_that_somebody_says_is_chosen() -> None:
    settings = Settings(url="memory://")
    assert settings.chosen("url")
    assert settings.origin("url") == "keyword"


def test_each_key_of_a_queue_comes_from_the_strongest_place_that_has_it(here: Path, env: Setenv) -> None:
    (here / "pyproject.toml").write_text(
        "[tool.msgkit.queues.billing]\nconcurrency = 1\nattempts = 1\nmax_in_flight = 1\n"
    )
    (here / "msgkit.toml").write_text("[queues.billing]\nconcurrency = 2\nattempts = 2\n")
    env(MSGKIT_QUEUES__BILLING__CONCURRENCY="3", MSGKIT_QUEUES__OTHER__CONCURRENCY="9")
    settings = Settings.load(queues={"billing": {"autostart": False}})
    assert settings.queue("billing") == {
        "concurrency": 3,
        "attempts": 2,
        "max_in_flight": 1,
        "autostart": False,
    }
    assert [
        settings.origin(f"queues.billing.{key}")
        for key in ("autostart", "concurrency", "attempts", "max_in_flight", "name")
    ] == [
        "keyword",
        "environment variable MSGKIT_QUEUES__BILLING__CONCURRENCY",
        "msgkit.toml",
        "pyproject.toml",
        "default",
    ]


def test_two_brokers_are_said_in_environment_and_file(here: Path, env: Setenv) -> None:
    (here / "msgkit.toml").write_text(
        'url = "memory://"\n'
        '[brokers.stream]\nurl = "memory://stream"\ntopology = "verify"\n'
        "[queues.billing]\nconcurrency = 2\n"
        '[exchanges.orders]\nname = "acme.shop.orders.v1"\n'
    )
    env(
        MSGKIT_URL="amqp://app@rabbit/shop",
        MSGKIT_URL_FILE="/run/secrets/rabbit_url",
        MSGKIT_BROKERS__STREAM__URL="kafka://kafka:9092",
        MSGKIT_QUEUES__BILLING__CONCURRENCY="16",
    )
    settings = Settings.load()
    assert settings.broker().url == "amqp://app@rabbit/shop"
    stream = settings.broker("stream")
    assert (stream.name, stream.url, stream.topology) == ("stream", "kafka://kafka:9092", "verify")
    assert settings.queue("billing") == {"concurrency": 16}
    assert settings.exchange("orders") == {"name": "acme.shop.orders.v1"}
    assert settings.brokers == {"stream": {"url": "kafka://kafka:9092", "topology": "verify"}}
    assert settings.queues == {"billing": {"concurrency": 16}}
    assert settings.exchanges == {"orders": {"name": "acme.shop.orders.v1"}}


def test_a_given_file_is_read_in_place_of_the_usual_one(here: Path) -> None:
    (here / "msgkit.toml").write_text('prefix = "usual."\ndrain = 1\n')
    (here / "other.toml").write_text('prefix = "given."\n')
    settings = Settings.load("other.toml")
    assert (settings.prefix, settings.drain) == ("given.", 25.0)
    assert settings.origin("prefix") == "other.toml"


def test_a_given_project_file_is_read_for_its_table(here: Path) -> None:
    file = here / "sub" / "pyproject.toml"
    file.parent.mkdir()
    file.write_text('[project]\nname = "x"\n[tool.msgkit]\nprefix = "sub."\n')
    assert Settings.load(file).prefix == "sub."


def test_variables_are_found_in_lower_case_too(env: Setenv) -> None:
    env(msgkit_prefix="low.")
    assert Settings.load().prefix == "low."


def test_a_dotenv_file_names_secret_files_too(here: Path) -> None:
    file = put_secret(here, "url", "amqp://u:p@h")
    (here / ".env").write_text(f"MSGKIT_URL=memory://\nMSGKIT_URL_FILE={file}\n")
    assert Settings.load().url == "amqp://u:p@h"


def test_a_secret_file_of_the_environment_wins_over_that_of_dotenv(here: Path, env: Setenv) -> None:
    env(MSGKIT_URL_FILE=str(put_secret(here, "url", "amqp://u:p@h")))
    (here / ".env").write_text("MSGKIT_URL_FILE=/nowhere\n")
    assert Settings.load().url == "amqp://u:p@h"


def test_variables_of_others_are_left_alone(here: Path, env: Setenv) -> None:
    env(URL="https://h", DRAIN="7", QUEUES="{}", MSGKITX="1")
    (here / ".env").write_text("DRAIN=7\nMSGKITX=1\n")
    settings = Settings.load(queues={"billing": {"concurrency": 1}})
    assert (settings.url, settings.drain) == ("memory://", 25.0)


def test_the_directory_of_secrets_can_be_named(here: Path, env: Setenv) -> None:
    file = put_secret(here, "msgkit_brokers__audit__url", "kafka://u:p@h")
    (file.parent / "database_password").write_text("not ours")
    (file.parent / "msgkit_folder").mkdir()
    env(MSGKIT_SECRETS_DIR=str(file.parent))
    assert Settings.load().broker("audit").url == "kafka://u:p@h"


def test_a_secret_that_a_variable_names_may_be_called_as_it_likes(here: Path, env: Setenv) -> None:
    file = put_secret(here, "msgkit_rabbit", "amqp://u:p@h")
    env(MSGKIT_SECRETS_DIR=str(file.parent), MSGKIT_URL_FILE=str(file))
    assert Settings.load().url == "amqp://u:p@h"


def test_a_secret_file_that_is_overridden_is_not_read(env: Setenv) -> None:
    env(MSGKIT_URL_FILE="/nowhere/at/all", MSGKIT_URL="memory://")
    assert Settings.load().url == "memory://"


def test_a_bad_value_that_is_overridden_does_no_harm(here: Path) -> None:
    (here / "msgkit.toml").write_text('[queues.billing]\nconcurrency = "many"\n')
    settings = Settings.load(queues={"billing": {"concurrency": 4}})
    assert settings.queue("billing") == {"concurrency": 4}


READER = """
import os, sys
opened = []
sys.addaudithook(lambda event, args: event == "open" and opened.append(str(args[0])))
from msgkit.settings import Settings
Settings()
Settings(url="amqp://h", topology="verify", prefix="x.", wait_for_broker=1, drain=2)
assert not {"pydantic", "pydantic_settings", "tomllib", "dotenv"} & set(sys.modules), "heavy"
Settings(queues={"billing": {"concurrency": 3}}, brokers={"a": {"url": "x://h"}})
files = {".env", "msgkit.toml", "pyproject.toml"}
assert not [name for name in opened if os.path.basename(name) in files], opened
try:
    Settings.load()
except Exception as error:
    print(error)
assert {os.path.basename(name) for name in opened} >= {".env"}, opened
"""


def test_nothing_is_read_before_load(here: Path) -> None:
    for name in (".env", "msgkit.toml", "pyproject.toml"):
        (here / name).write_text("= nonsense")
    root = Path(__file__).parent.parent
    ran = subprocess.run(
        [sys.executable, "-c", READER],
        env={**os.environ, "PYTHONPATH": str(root), "MSGKIT_NONSENSE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "MSGKIT_NONSENSE" in ran.stdout or "msgkit.toml" in ran.stdout


# -- names


def test_names_from_the_environment_fit_what_code_calls_otherwise(env: Setenv) -> None:
    env(
        MSGKIT_QUEUES__ORDERS_PLACED__CONCURRENCY="16",
        MSGKIT_QUEUES__A__B__ATTEMPTS="2",
        MSGKIT_EXCHANGES__ACME_SHOP_ORDERS__NAME="x",
        MSGKIT_BROKERS__AUDIT_LOG__URL="kafka://h",
        MSGKIT_BROKERS__AUDIT_LOG__OPTIONS__CLIENT_ID="me",
    )
    settings = Settings.load()
    assert settings.queue("orders.placed") == {"concurrency": 16}
    assert settings.queue("orders-placed") == {"concurrency": 16}
    assert settings.queue("a..b") == {"attempts": 2}
    assert settings.exchange("acme/shop.Orders") == {"name": "x"}
    assert settings.broker("audit-log").url == "kafka://h"
    assert settings.broker("audit-log").options == {"client_id": "me"}
    assert settings.queues == {"orders_placed": {"concurrency": 16}, "a__b": {"attempts": 2}}
    for setting in ("queues.orders.placed.concurrency", "brokers.audit-log.options.client_id"):
        assert settings.origin(setting).startswith("environment variable MSGKIT_")


def test_names_in_files_are_matched_as_they_are_written(here: Path) -> None:
    (here / "msgkit.toml").write_text('[queues."orders.placed"]\nconcurrency = 2\n')
    settings = Settings.load()
    assert settings.queue("orders.placed") == {"concurrency": 2}
    assert settings.queue("orders-placed") == {}
    assert settings.queue("Orders.placed") == {}
    (here / "msgkit.toml").write_text("[queues.orders_placed]\nconcurrency = 2\n")
    assert Settings.load().queue("orders.placed") == {}


def test_the_environment_overrides_a_name_that_a_file_writes_out(here: Path, env: Setenv) -> None:
    (here / "msgkit.toml").write_text('[queues."orders.placed"]\nconcurrency = 2\nattempts = 3\n')
    env(MSGKIT_QUEUES__ORDERS_PLACED__CONCURRENCY="16")
    settings = Settings.load()
    assert settings.queue("orders.placed") == {"concurrency": 16, "attempts": 3}
    assert settings.queue("orders-placed") == {}


def test_a_keyword_overrides_the_environment_for_a_name_with_dots(env: Setenv) -> None:
    env(MSGKIT_QUEUES__ORDERS_PLACED__CONCURRENCY="16", MSGKIT_QUEUES__ORDERS_PLACED__ATTEMPTS="2")
    settings = Settings.load(queues={"orders.placed": {"concurrency": 1}})
    assert settings.queue("orders.placed") == {"concurrency": 1, "attempts": 2}


def test_json_takes_names_as_they_are(env: Setenv) -> None:
    env(
        MSGKIT_QUEUES='{"orders.placed": {"concurrency": 3}, "orders-placed": {"attempts": 7}}',
        MSGKIT_QUEUES__BILLING__CONCURRENCY="5",
        MSGKIT_BROKERS__AUDIT_LOG__URL="kafka://h",
        MSGKIT_BROKERS__AUDIT_LOG__OPTIONS='{"ca_file": "/etc/ca", "retries": 3}',
    )
    settings = Settings.load()
    assert settings.queue("orders.placed") == {"concurrency": 3}
    assert settings.queue("orders-placed") == {"attempts": 7}
    assert settings.queue("billing") == {"concurrency": 5}
    assert settings.broker("audit-log").options == {"ca_file": "/etc/ca", "retries": 3}
    assert settings.origin("queues.orders.placed.concurrency") == ("environment variable MSGKIT_QUEUES")


def test_a_variable_of_its_own_says_more_than_a_part_of_json(env: Setenv) -> None:
    env(
        MSGKIT_QUEUES='{"billing": {"concurrency": 3}, "orders.placed": {"concurrency": 3}}',
        MSGKIT_QUEUES__BILLING__CONCURRENCY="5",
        MSGKIT_QUEUES__ORDERS_PLACED__CONCURRENCY="5",
    )
    settings = Settings.load()
    assert settings.queue("billing") == {"concurrency": 5}
    assert settings.queue("orders.placed") == {"concurrency": 5}


def test_a_variable_that_fits_two_written_names_is_refused(here: Path, env: Setenv) -> None:
    (here / "msgkit.toml").write_text('[queues."orders.placed"]\nattempts = 2\n[queues.orders-placed]\nattempts = 2\n')
    env(MSGKIT_QUEUES__ORDERS_PLACED__CONCURRENCY="16")
    with pytest.raises(ConfigurationError) as caught:
        Settings.load()
    assert str(caught.value) == (
        "environment variable MSGKIT_QUEUES__ORDERS_PLACED__CONCURRENCY: fits both 'orders.placed' and 'orders-placed'"
    )


# -- what the application has


def test_settings_for_what_the_application_has_are_in_order(here: Path, env: Setenv) -> None:
    (here / "msgkit.toml").write_text('[queues."orders.placed"]\nattempts = 2\n')
    env(MSGKIT_QUEUES__JOBS_HIGH__ATTEMPTS="2", MSGKIT_EXCHANGES__ORDERS__NAME="x")
    settings = Settings.load()
    settings.check_names({"orders.placed", "jobs.high", "other"}, ["orders", "more"])


@pytest.mark.parametrize(
    ("queues", "exchanges", "message"),
    [
        (
            {"billings", "jobs-high", "other"},
            {"orders"},
            (
                "queues.billing.attempts (msgkit.toml): the application has no queue 'billing'; "
                "the nearest is 'billings'"
            ),
        ),
        (
            {"billing", "jobs.hihg"},
            {"orders"},
            (
                "environment variable MSGKIT_QUEUES__JOBS_HIGH__ATTEMPTS: "
                "the application has no queue 'jobs_high'; the nearest is 'jobs.hihg'"
            ),
        ),
        (
            {"billing", "jobs.high"},
            set[str](),
            (
                "environment variable MSGKIT_EXCHANGES__ORDERS__NAME: "
                "the application has no exchange 'orders'; it has none at all"
            ),
        ),
    ],
)
def test_settings_for_what_the_application_has_not_are_refused(
    queues: set[str], exchanges: set[str], message: str, here: Path, env: Setenv
) -> None:
    (here / "msgkit.toml").write_text("[queues.billing]\nattempts = 2\n")
    env(MSGKIT_QUEUES__JOBS_HIGH__ATTEMPTS="2", MSGKIT_EXCHANGES__ORDERS__NAME="x")
    with pytest.raises(UnknownSetting) as caught:
        Settings.load().check_names(queues, exchanges)
    assert str(caught.value) == message


def test_a_variable_that_fits_two_queues_of_the_application_is_refused(env: Setenv) -> None:
    env(MSGKIT_QUEUES__JOBS_HIGH__ATTEMPTS="2")
    with pytest.raises(ConfigurationError) as caught:
        Settings.load().check_names(["jobs.high", "jobs-high", "jobs"], [])
    assert str(caught.value) == (
        "environment variable MSGKIT_QUEUES__JOBS_HIGH__ATTEMPTS: fits the queues 'jobs-high' and "
        "'jobs.high'; say it in msgkit.toml, where names are as in code"
    )


# -- unknown settings


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("MSGKIT_ULR", "MSGKIT_URL"),
        ("MSGKIT_WAIT_FOR", "MSGKIT_WAIT_FOR_BROKER"),
        ("MSGKIT_DRAINS", "MSGKIT_DRAIN"),
        ("MSGKIT_SECRET_DIR", "MSGKIT_SECRETS_DIR"),
        ("MSGKIT_URI_FILE", "MSGKIT_URL_FILE"),
        ("MSGKIT_QUEUES__BILLING__CONCURENCY", "MSGKIT_QUEUES__BILLING__CONCURRENCY"),
        ("MSGKIT_QUEUE__BILLING__CONCURRENCY", "MSGKIT_QUEUES__BILLING__CONCURRENCY"),
        ("MSGKIT_QUES__BILLING__CONCURRENCY", "MSGKIT_QUEUES__BILLING__CONCURRENCY"),
        ("MSGKIT_QUEUES_BILLING_CONCURRENCY", "MSGKIT_QUEUES__BILLING__CONCURRENCY"),
        ("MSGKIT_QUEUES_BILLING_CONCURENCY", "MSGKIT_QUEUES__BILLING__CONCURRENCY"),
        ("MSGKIT_QUEUES__BILLING", "MSGKIT_QUEUES__BILLING__NAME"),
        ("MSGKIT_QUEUES__A_B__NAMES", "MSGKIT_QUEUES__A_B__NAME"),
        ("MSGKIT_EXCHANGES__ORDERS__BROKERS", "MSGKIT_EXCHANGES__ORDERS__BROKER"),
        ("MSGKIT_EXCHANGES__ORDERS__CONCURRENCY", "MSGKIT_EXCHANGES__ORDERS__NAME"),
        ("MSGKIT_BROKERS__AUDIT__URLS", "MSGKIT_BROKERS__AUDIT__URL"),
        ("MSGKIT_BROKERS__AUDIT__ULR_FILE", "MSGKIT_BROKERS__AUDIT__URL_FILE"),
        ("MSGKIT_BROKERS__DEFAULT__URL", "MSGKIT_URL"),
    ],
)
def test_an_unknown_variable_is_refused_with_the_nearest_known(
    name: str, nearest: str, here: Path, env: Setenv, monkeypatch: pytest.MonkeyPatch
) -> None:
    env(**{name: "hush"})
    with pytest.raises(UnknownSetting) as caught:
        Settings.load()
    assert str(caught.value) == (f"unknown setting: environment variable {name}; the nearest known is {nearest}")
    monkeypatch.delenv(name)
    (here / ".env").write_text(f"{name}=hush\n")
    with pytest.raises(UnknownSetting) as caught:
        Settings.load()
    assert str(caught.value) == f"unknown setting: {name} (.env); the nearest known is {nearest}"


@pytest.mark.parametrize("name", ["MSGKIT_SHOP_SERVICE_HOST", "MSGKIT_SHOP_PORT_80_TCP_ADDR"])
def test_what_kubernetes_sets_for_a_service_is_called_that(name: str, env: Setenv) -> None:
    env(**{name: "10.0.0.1"})
    with pytest.raises(UnknownSetting, match="set enableServiceLinks: false"):
        Settings.load()


def test_an_unknown_secret_file_is_refused(here: Path) -> None:
    (here / "run-secrets").mkdir()
    (here / "run-secrets" / "msgkit_ulr").write_text("amqp://u:p@h")
    with pytest.raises(UnknownSetting) as caught:
        Settings.load()
    assert str(caught.value) == (
        f"unknown setting: MSGKIT_ULR (secret file {here}/run-secrets/msgkit_ulr); the nearest known is MSGKIT_URL"
    )


UNKNOWN_KEYS: list[tuple[dict[str, object], str, str]] = [
    ({"ulr": "memory://"}, "ulr", "url"),
    ({"URL": "memory://"}, "URL", "url"),
    ({"wait-for-broker": 3}, "wait-for-broker", "wait_for_broker"),
    ({"queue": {"billing": {}}}, "queue", "queues"),
    ({"queues": {"b": {"concurency": 1}}}, "queues.b.concurency", "queues.b.concurrency"),
    ({"exchanges": {"o": {"attempts": 1}}}, "exchanges.o.attempts", "exchanges.o.name"),
    ({"brokers": {"a": {"option": {}}}}, "brokers.a.option", "brokers.a.options"),
    ({"brokers": {"default": {"url": "memory://"}}}, "brokers.default.url", "url"),
    (
        {"queues": {"orders": {"placed": {"concurrency": 1}}}},
        "queues.orders.placed",
        'queues.orders.name; a name with dots is quoted: queues."orders.placed"',
    ),
]


def as_toml(values: Mapping[str, object], path: str = "") -> str:
    plain = [f"{key} = {value!r}" for key, value in values.items() if not isinstance(value, Mapping)]
    tables = [
        f"[{path}{key}]\n" + as_toml(cast("Mapping[str, object]", value), f"{path}{key}.")
        for key, value in values.items()
        if isinstance(value, Mapping)
    ]
    return "\n".join([*plain, *tables])


@pytest.mark.parametrize(("values", "name", "nearest"), UNKNOWN_KEYS)
def test_an_unknown_key_is_refused_with_the_nearest_known(
    values: dict[str, object], name: str, nearest: str, here: Path
) -> None:
    with pytest.raises(UnknownSetting) as caught:
        built(**values)
    assert str(caught.value).startswith(f"unknown setting: {name} (keyword)")
    with pytest.raises(UnknownSetting):
        Settings.load(**cast("SettingsValues", values))
    (here / "msgkit.toml").write_text(as_toml(values))
    with pytest.raises(UnknownSetting) as caught:
        Settings.load()
    assert str(caught.value).startswith(f"unknown setting: {name} (msgkit.toml)")
    (here / "msgkit.toml").rename(here / "other.toml")
    (here / "pyproject.toml").write_text(as_toml({"tool": {"msgkit": values}}))
    with pytest.raises(UnknownSetting) as caught:
        Settings.load()
    assert str(caught.value) == (f"unknown setting: {name} (pyproject.toml); the nearest known is {nearest}")


def test_an_unknown_key_in_json_is_refused(env: Setenv) -> None:
    env(MSGKIT_QUEUES='{"billing": {"concurency": 3}}')
    with pytest.raises(UnknownSetting) as caught:
        Settings.load()
    assert str(caught.value) == (
        "unknown setting: queues.billing.concurency (environment variable MSGKIT_QUEUES); "
        "the nearest known is queues.billing.concurrency"
    )


@pytest.mark.parametrize(
    ("setting", "nearest"),
    [
        ("ulr", "url"),
        ("queues", "queues"),
        ("queues.billing", "queues"),
        ("queues.orders.placed.concurency", "queues.orders.placed.concurrency"),
        ("brokers.audit.options", "brokers.audit.options"),
    ],
)
def test_the_origin_of_what_is_no_setting_is_not_known(setting: str, nearest: str) -> None:
    with pytest.raises(UnknownSetting) as caught:
        Settings().origin(setting)
    assert str(caught.value) == f"unknown setting: {setting}; the nearest known is {nearest}"


# -- bad values

BAD_SCALARS: list[tuple[str, object, str]] = [
    ("url", 5, "must be text, not int"),
    ("url", "memory:// ", "must be a URL such as memory:// or memory://name"),
    ("url", "memory://\0", "must be a URL such as memory:// or memory://name"),
    ("url", "", "must be a URL such as memory:// or memory://name"),
    ("url", "hush:hush@host", "must be a URL such as memory:// or memory://name"),
    ("url", "amqp://u:hush@h\n", "must be a URL such as memory:// or memory://name"),
    ("topology", "make", "must be one of create, verify, assume (given: 'make')"),
    ("topology", ["create"], "must be one of create, verify, assume (given: ['create'])"),
    ("prefix", 5, "must be text, not int (given: 5)"),
    ("drain", "soon", "must be seconds or a duration such as PT30S (given: 'soon')"),
    ("drain", True, "must be seconds or a duration such as PT30S (given: True)"),
    ("drain", "P", "must be seconds or a duration such as PT30S (given: 'P')"),
    ("drain", "PT", "must be seconds or a duration such as PT30S (given: 'PT')"),
    ("drain", -1, "must not be negative (given: -1)"),
    ("drain", "nan", "must be finite (given: 'nan')"),
    ("wait_for_broker", float("inf"), "must be finite (given: inf)"),
    ("wait_for_broker", timedelta(seconds=-1), "must not be negative (given: datetime.timed"),
    ("prefix", None, "has no value; leave it out to keep the default"),
    ("queues", 3, "must be a table, not int"),
]


@pytest.mark.parametrize(("name", "value", "reason"), BAD_SCALARS)
def test_a_bad_value_is_refused_with_its_name_source_and_reason(name: str, value: object, reason: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        built(**{name: value})
    assert str(caught.value).startswith(f"{name} (keyword): {reason}")
    with pytest.raises(ConfigurationError) as caught:
        built(**{"queues": {"billing": {"concurrency": 1}}, name: value})
    assert str(caught.value).startswith(f"{name} (keyword): {reason}")


BAD_MEMBERS: list[tuple[str, object, str]] = [
    ("concurrency", 0, "must be greater than or equal to 1 (given: 0)"),
    ("max_in_flight", -5, "must be greater than or equal to 1 (given: -5)"),
    ("attempts", 0, "must be greater than or equal to 1 (given: 0)"),
    ("concurrency", True, "must be a number, not true or false (given: True)"),
    (
        "concurrency",
        1.5,
        "must be a valid integer, got a number with a fractional part (given: 1.5)",
    ),
    (
        "concurrency",
        "many",
        "must be a valid integer, unable to parse string as an integer (given: 'many')",
    ),
    (
        "autostart",
        "maybe",
        "must be a valid boolean, unable to interpret input (given: 'maybe')",
    ),
    ("name", "", "must be a name of printable characters (given: '')"),
    ("name", "a\nb", r"must be a name of printable characters (given: 'a\nb')"),
    ("broker", 5, "must be text, not int (given: 5)"),
    ("broker", "audti", "there is no broker 'audti'; the nearest known is audit"),
    ("attempts", None, "has no value; leave it out to keep the default"),
]


@pytest.mark.parametrize(("key", "value", "reason"), BAD_MEMBERS)
def test_a_bad_value_of_a_queue_is_refused_with_its_name_source_and_reason(
    key: str, value: object, reason: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        built(queues={"billing": {key: value}}, brokers={"audit": {"url": "kafka://h"}})
    assert str(caught.value) == f"queues.billing.{key} (keyword): {reason}"


BAD_SHAPES: list[tuple[dict[str, object], str]] = [
    ({"queues": {"billing": 3}}, "queues.billing (keyword): must be a table, not int"),
    (
        {"brokers": {"a": {"url": "x://h", "options": "y"}}},
        "brokers.a.options (keyword): must be a table, not str",
    ),
    ({"queues": {"": {}}}, "queues (keyword): holds the name '', which is no text"),
    ({"queues": {3: {}}}, "queues (keyword): holds the name 3, which is no text"),
    (
        {"brokers": {"audit-log": {"prefix": "x"}}},
        "brokers.audit-log.url is missing; set it, or MSGKIT_BROKERS__AUDIT_LOG__URL",
    ),
    (
        {"brokers": {"a": {"url": "x://h", "topology": "make"}}},
        "brokers.a.topology (keyword): must be one of create, verify, assume (given: 'make')",
    ),
    (
        {"brokers": {"a": {"url": "hush"}}},
        "brokers.a.url (keyword): must be a URL such as memory:// or memory://name",
    ),
    (
        {"exchanges": {"o": {"broker": "x"}}},
        "exchanges.o.broker (keyword): there is no broker 'x'; the nearest known is default",
    ),
]


@pytest.mark.parametrize(("values", "message"), BAD_SHAPES)
def test_a_bad_shape_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        built(**values)
    assert str(caught.value) == message


def test_all_bad_values_are_named_at_once(here: Path, env: Setenv) -> None:
    (here / "msgkit.toml").write_text("[queues.billing]\nattempts = 0\n")
    (here / ".env").write_text("MSGKIT_DRAIN=soon\n")
    env(MSGKIT_QUEUES__BILLING__CONCURRENCY="0")
    with pytest.raises(ConfigurationError) as caught:
        Settings.load()
    assert sorted(str(caught.value).splitlines()) == [
        "MSGKIT_DRAIN (.env): must be seconds or a duration such as PT30S (given: 'soon')",
        ("environment variable MSGKIT_QUEUES__BILLING__CONCURRENCY: must be greater than or equal to 1 (given: '0')"),
        "queues.billing.attempts (msgkit.toml): must be greater than or equal to 1 (given: 0)",
    ]


def test_a_variable_without_a_value_is_refused(here: Path) -> None:
    (here / ".env").write_text("MSGKIT_URL\n")
    with pytest.raises(ConfigurationError, match=r"^MSGKIT_URL \(\.env\): has no value"):
        Settings.load()


def test_what_must_be_json_and_is_not_is_refused(here: Path, env: Setenv) -> None:
    env(MSGKIT_QUEUES="[1]")
    with pytest.raises(ConfigurationError) as caught:
        Settings.load()
    assert str(caught.value) == "environment variable MSGKIT_QUEUES: must be a JSON object"
    env(MSGKIT_QUEUES="{}")
    (here / ".env").write_text("MSGKIT_BROKERS={hush\n")
    with pytest.raises(ConfigurationError) as caught:
        Settings.load()
    assert str(caught.value) == "MSGKIT_BROKERS (.env): must be a JSON object"


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("msgkit.toml", b"= x", "msgkit.toml: cannot be read: Invalid statement"),
        ("msgkit.toml", b"url = '\xff'", "msgkit.toml: cannot be read: 'utf-8' codec"),
        ("pyproject.toml", b"= x", "pyproject.toml: cannot be read: Invalid statement"),
        ("pyproject.toml", b"[tool]\nmsgkit = 3", "pyproject.toml: [tool.msgkit] must be a table"),
        ("pyproject.toml", b"tool = 3", "pyproject.toml: [tool.msgkit] must be a table"),
        (".env", b"MSGKIT_URL=\xff", ".env: cannot be read: 'utf-8' codec"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(file: str, content: bytes, message: str, here: Path) -> None:
    (here / file).write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        Settings.load()
    assert str(caught.value).startswith(message)


def test_a_given_file_must_be_there() -> None:
    with pytest.raises(ConfigurationError, match=r"^other\.toml: there is no such file$"):
        Settings.load("other.toml")


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (
            {"MSGKIT_URL_FILE": "/nowhere/url"},
            "MSGKIT_URL_FILE (secret file /nowhere/url): cannot be read: No such file or directory",
        ),
        (
            {"MSGKIT_URL_FILE": "{here}/binary"},
            "MSGKIT_URL_FILE (secret file {here}/binary): cannot be read: it is no UTF-8 text",
        ),
        ({"MSGKIT_URL_FILE": ""}, "MSGKIT_URL_FILE: names no file"),
        ({"MSGKIT_SECRETS_DIR": "/nowhere"}, "MSGKIT_SECRETS_DIR: /nowhere is no directory"),
        ({"MSGKIT_SECRETS_DIR": ""}, "MSGKIT_SECRETS_DIR: names no directory"),
        (
            {"MSGKIT_URL": "memory://", "msgkit_url": "memory://"},
            "MSGKIT_URL is set twice in the environment, in upper and lower case",
        ),
        (
            {"MSGKIT_QUEUES__A_B__NAME": "x", "MSGKIT_QUEUES__A-B__NAME": "y"},
            (
                "environment variable MSGKIT_QUEUES__A-B__NAME: sets the same as "
                "environment variable MSGKIT_QUEUES__A_B__NAME"
            ),
        ),
    ],
)
def test_a_bad_variable_is_refused(variables: dict[str, str], message: str, here: Path, env: Setenv) -> None:
    (here / "binary").write_bytes(b"\xff\xfe")
    env(**{name: value.format(here=here) for name, value in variables.items()})
    with pytest.raises(ConfigurationError) as caught:
        Settings.load()
    assert str(caught.value) == message.format(here=here)


# -- good values


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (30, 30.0),
        (0, 0.0),
        (1.5, 1.5),
        (timedelta(minutes=1), 60.0),
        ("30", 30.0),
        ("1.5", 1.5),
        (" 2 ", 2.0),
        ("PT30S", 30.0),
        ("PT1.5S", 1.5),
        ("pt1m", 60.0),
        ("P1DT2H3M4S", 93784.0),
    ],
    ids=repr,
)
def test_durations_are_seconds_a_timedelta_or_text(value: object, seconds: float) -> None:
    assert built(drain=value).drain == seconds
    assert built(drain=value, queues={"a": {"name": "b"}}).drain == seconds


@pytest.mark.parametrize(
    "url",
    ["memory://", "sqlite:///my data/x.db", "kafka://a:9092,b:9092", "amqps+tls://u:p%40@[::1]/v"],
)
def test_urls_of_all_kinds_are_taken(url: str) -> None:
    assert built(url=url).broker().url == url
    assert built(brokers={"a": {"url": url}}).broker("a").url == url


def test_text_in_the_environment_becomes_what_is_meant(env: Setenv) -> None:
    env(
        MSGKIT_QUEUES__A__CONCURRENCY="16",
        MSGKIT_QUEUES__A__AUTOSTART="no",
        MSGKIT_QUEUES__A__NAME="007",
        MSGKIT_WAIT_FOR_BROKER="PT1M",
    )
    settings = Settings.load()
    assert settings.queue("a") == {"concurrency": 16, "autostart": False, "name": "007"}
    assert settings.wait_for_broker == 60.0


def test_a_named_broker_takes_what_it_leaves_out_from_the_top(env: Setenv) -> None:
    env(MSGKIT_TOPOLOGY="assume", MSGKIT_PREFIX="blue.")
    settings = Settings.load(brokers={"a": {"url": "x://a"}, "b": {"url": "x://b", "prefix": ""}})
    assert (settings.broker("a").topology, settings.broker("a").prefix) == ("assume", "blue.")
    assert settings.broker("b").prefix == ""
    assert settings.origin("brokers.a.topology") == "environment variable MSGKIT_TOPOLOGY"
    assert settings.origin("brokers.b.prefix") == "keyword"
    assert settings.origin("brokers.default.topology") == "environment variable MSGKIT_TOPOLOGY"


def test_options_are_kept_as_they_are_for_the_default_broker_too() -> None:
    context = Credentials(user="app")
    settings = Settings(brokers={"default": {"options": {"ssl": context, "n": {"a": [1]}}}})
    assert settings.broker().options["ssl"] is context
    assert settings.broker().options["n"] == {"a": [1]}
    assert settings.broker().url == "memory://"


def test_an_unknown_broker_is_refused_with_the_known_ones() -> None:
    settings = Settings(brokers={"audit": {"url": "x://h"}})
    with pytest.raises(ConfigurationError) as caught:
        settings.broker("stream")
    assert str(caught.value) == (
        "there is no broker 'stream' in the settings: set MSGKIT_BROKERS__STREAM__URL; known are default, audit"
    )


def test_the_default_broker_has_one_name(env: Setenv) -> None:
    env(MSGKIT_BROKERS__DEFAULT__OPTIONS__HEARTBEAT="5")
    settings = Settings.load()
    assert settings.broker().options == {"heartbeat": "5"}
    with pytest.raises(ConfigurationError, match="there is no broker 'Default'"):
        settings.broker("Default")


def test_settings_are_frozen() -> None:
    given: dict[str, QueueSettings] = {"billing": {"concurrency": 3}}
    settings = Settings(queues=given, brokers={"a": {"url": "x://h", "options": {"b": 1}}})
    for change in ("url", "_resolved", "other"):
        with pytest.raises((AttributeError, FrozenInstanceError, TypeError)):
            setattr(settings, change, "memory://")
    given["billing"]["concurrency"] = 4
    settings.queue("billing")["concurrency"] = 5
    cast("dict[str, QueueSettings]", settings.queues)["billing"]["concurrency"] = 6
    with pytest.raises(TypeError):
        cast("dict[str, object]", settings.broker("a").options)["b"] = 2
    assert settings.queue("billing") == {"concurrency": 3}


def test_settings_are_values() -> None:
    settings = Settings(prefix="x.", queues={"billing": {"concurrency": 3}})
    assert settings == Settings(prefix="x.", queues={"billing": {"concurrency": 3}})
    assert settings != Settings(prefix="x.")
    assert len({settings, copy.deepcopy(settings), pickle.loads(pickle.dumps(settings))}) == 1  # noqa: S301 -- our own


# -- secrets


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("memory://", "memory://"),
        ("amqp://app@rabbit:5672/shop", "amqp://app@rabbit:5672/shop"),
        ("amqp://app:hush@rabbit:5672/shop", "amqp://app:***@rabbit:5672/shop"),
        ("redis://:hush@h/0", "redis://:***@h/0"),
        ("amqp://app:hu@sh@rabbit/shop", "amqp://app:***@rabbit/shop"),
        ("amqp://app:hu/sh@rabbit/shop", "amqp://app:***@rabbit/shop"),
        ("amqp://app:hu?sh@rabbit/shop", "amqp://app:***@rabbit/shop"),
        ("amqp://app:hu#sh:hush@rabbit/shop", "amqp://app:***@rabbit/shop"),
        ("kafka://a:hush@h1:1,b:hush@h2:2", "kafka://a:***@h2:2"),
        ("app:hush@rabbit", "app:***@rabbit"),
        ("app:hush@rabbit?then=http://h", "app:***@rabbit?then=http://h"),
        ("amqp://a@b:hush@rabbit", "amqp://a@b:***@rabbit"),
        ("a b!://app:hush@rabbit", "a b!://app:***@rabbit"),
        ("k://h?password=hush&a=1", "k://h?password=***&a=1"),
        ("k://h?a=1&sasl_password=hu;sh#hush", "k://h?a=1&sasl_password=***"),
        ("k://h?a=1;token=hush&b=2", "k://h?a=1;token=***&b=2"),
        ("k://h?Client-Secret=hush&apiKEY=hush", "k://h?Client-Secret=***&apiKEY=***"),
        ("k://h?%74oken=hush", "k://h?%74oken=***"),
        ("k://h/p?heartbeat=5&name=x#frag", "k://h/p?heartbeat=5&name=x#frag"),
    ],
)
def test_redacted_urls_hold_no_secret(url: str, shown: str) -> None:
    assert redact(url) == shown


def test_no_secret_is_in_any_repr() -> None:
    settings = Settings(
        url="amqp://app:hush@rabbit/?token=hush",
        drain=5,
        brokers={"a": {"url": "k://u:hush@h", "options": {"sasl": "hush", "deep": {"x": "hush"}}}},
        queues={"billing": {"concurrency": 3}},
    )
    shown = [repr(settings), str(settings), repr(settings.broker()), repr(settings.broker("a"))]
    assert "hush" not in "".join(shown)
    assert repr(settings) == (
        "Settings(url='amqp://app:***@rabbit/?token=***', drain=5.0, "
        "brokers={'a': {'url': 'k://u:***@h', 'options': {'sasl': '***', 'deep': '***'}}}, "
        "queues={'billing': {'concurrency': 3}})"
    )


def everything_raised(error: BaseException | None) -> str:
    texts: list[str] = []
    while error is not None:
        texts.append(f"{error!r} {error}")
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return " ".join(texts)


@pytest.mark.parametrize(
    "variables",
    [
        {"MSGKIT_URL": "u:hush@host"},
        {"MSGKIT_URL": "amqp://u:hush@host\n"},
        {"MSGKIT_BROKERS__A__URL": "hush"},
        {"MSGKIT_URL_FILE": "hush"},
        {"MSGKIT_URL_FILE": "amqp://u:hush@host"},
        {"MSGKIT_DRAIN_FILE": "{here}/secret"},
        {"MSGKIT_QUEUES__A__CONCURRENCY_FILE": "{here}/secret"},
        {"MSGKIT_BROKERS": "hush"},
        {"MSGKIT_BROKERS__A__URL": "x://h", "MSGKIT_BROKERS__A__OPTIONS": '["hush"]'},
        {"MSGKIT_DRAIN": "amqp://u:hush@host"},
        {"MSGKIT_NONSENSE": "hush"},
    ],
)
def test_no_secret_is_in_any_error(variables: dict[str, str], here: Path, env: Setenv) -> None:
    (here / "secret").write_text("hush")
    env(**{name: value.format(here=here) for name, value in variables.items()})
    with pytest.raises(ConfigurationError) as caught:
        Settings.load()
    assert "hush" not in everything_raised(caught.value)


# -- one truth in several forms


@pytest.mark.parametrize(
    ("said", "checked"),
    [
        (BrokerSettings, model.BrokerValues),
        (QueueSettings, model.QueueValues),
        (ExchangeSettings, model.ExchangeValues),
        (SettingsValues, model.Values),
    ],
)
def test_what_can_be_said_is_what_is_checked(said: type, checked: type[BaseModel]) -> None:
    assert set(get_type_hints(said)) == set(checked.model_fields)


def test_scalars_have_the_same_defaults_with_and_without_pydantic() -> None:
    fields = model.Values.model_fields
    assert {name: fields[name].default for name in SCALARS} == DEFAULTS


def test_the_page_lists_all_settings_as_they_are() -> None:
    page = PAGE.read_text("utf-8")
    assert up_to_date(page) == page, "run tools/settings_reference.py"
    keys = [*DEFAULTS, *model.QueueValues.model_fields, *model.BrokerValues.model_fields]
    assert [key for key in keys if f"| `{key}` |" not in page] == []
