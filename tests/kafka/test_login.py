"""Getting in, at a real Kafka that asks who comes: over TLS, by PLAIN and by SCRAM."""

import asyncio
import hashlib
from collections.abc import Iterator, Mapping
from struct import pack, unpack
from urllib.parse import quote

import pytest

from msgkit import MessageTemplate, Queue, Settings
from msgkit.errors import BrokerUnavailable, ConfigurationError
from msgkit.testing.brokers import Kafka
from msgkit.testing.proxy import Address
from tests.brokers.running import running
from tests.certificates import Certificates, made

pytestmark = [pytest.mark.broker, pytest.mark.xdist_group("kafka-login")]

PASSWORD = "pass, word=1"  # noqa: S105 -- opens nothing else
JAAS = "org.apache.kafka.common.security"
QUEUE = Queue("opened", str)
SALT, ROUNDS = b"salt of its own", 4096


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return made(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def locked(certificates: Certificates) -> Iterator[Kafka]:
    identity = certificates.key.parent / "identity.pem"
    identity.write_bytes(certificates.key.read_bytes() + certificates.certificate.read_bytes())
    config = {
        "listener.security.protocol.map": "CLIENTS:SASL_SSL,DIRECT:PLAINTEXT,BROKERS:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "listener.name.clients.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
        "listener.name.clients.plain.sasl.jaas.config": (
            f'{JAAS}.plain.PlainLoginModule required user_alice="{PASSWORD}";'
        ),
        "listener.name.clients.scram-sha-256.sasl.jaas.config": f"{JAAS}.scram.ScramLoginModule required;",
        "listener.name.clients.scram-sha-512.sasl.jaas.config": f"{JAAS}.scram.ScramLoginModule required;",
        "listener.name.clients.ssl.keystore.type": "PEM",
        "listener.name.clients.ssl.keystore.location": str(identity),
    }
    for broker in running(Kafka(provider="process", proxied=True, config=config)):
        for mechanism, algorithm in ((1, "sha256"), (2, "sha512")):
            asyncio.run(introduce(broker.direct[0], "bob", mechanism, algorithm))
        yield broker


async def introduce(to: Address, user: str, mechanism: int, algorithm: str) -> None:
    """Tell the broker what it needs to know of a user."""
    salted = hashlib.pbkdf2_hmac(algorithm, PASSWORD.encode(), SALT, ROUNDS)
    upserts = b"\x02" + text(user) + pack(">bi", mechanism, ROUNDS) + data(SALT) + data(salted) + b"\x00"
    # AlterUserScramCredentials
    question = pack(">hhi", 51, 0, 1) + pack(">h", 4) + b"test" + b"\x00" + b"\x01" + upserts + b"\x00"
    reader, writer = await asyncio.open_connection(to.host, to.port)
    writer.write(pack(">i", len(question)) + question)
    (size,) = unpack(">i", await reader.readexactly(4))
    answer = await reader.readexactly(size)
    name = text(user)
    (error,) = unpack(">h", answer[answer.index(name) + len(name) :][:2])
    assert error == 0, answer
    writer.close()


def data(value: bytes) -> bytes:
    return bytes([len(value) + 1]) + value


def text(value: str) -> bytes:
    return data(value.encode())


async def sends(broker: Kafka, certificates: Certificates, options: Mapping[str, object], user: str = "alice") -> None:
    where = ",".join(map(str, broker.addresses))
    url = f"kafkas://{user}:{quote(PASSWORD)}@{where}" if user else f"kafkas://{where}"
    known = {"ca_file": str(certificates.certificate), "server_hostname": "broker.test", **options}
    said = {name: value for name, value in known.items() if value is not None}
    settings = Settings(url=url, wait_for_broker=20, brokers={"default": {"options": said}})
    async with MessageTemplate(settings) as template:
        await template.declare(QUEUE)
        await template.send(QUEUE, "in")


@pytest.mark.parametrize(
    ("user", "auth"), [("alice", None), ("alice", "plain"), ("bob", "scram-sha-256"), ("bob", "scram-sha-512")]
)
async def test_who_knows_the_password_gets_in(
    locked: Kafka, certificates: Certificates, user: str, auth: str | None
) -> None:
    await sends(locked, certificates, {"auth": auth}, user)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"password": "mistaken"}, "refuses the user or the password"),
        ({"user": "nobody"}, "refuses the user or the password"),
        ({"user": "bob", "auth": "scram-sha-512", "password": "mistaken"}, "refuses the user or the password"),
        ({"ca_file": None}, "its certificate is not accepted: self.signed certificate; the option ca_file"),
        ({"server_hostname": None}, "its certificate is not accepted: .*; the option server_hostname"),
    ],
)
async def test_who_is_not_let_in_is_told_why_at_once_and_without_the_password(
    locked: Kafka, certificates: Certificates, options: dict[str, object], why: str
) -> None:
    async with asyncio.timeout(15):
        with pytest.raises(ConfigurationError, match=why) as refused:
            await sends(locked, certificates, options)
    assert "mistaken" not in str(refused.value)
    assert PASSWORD not in str(refused.value)


async def test_a_mechanism_that_is_not_offered_is_named_with_those_that_are(
    locked: Kafka, certificates: Certificates
) -> None:
    with pytest.raises(ConfigurationError, match=r"does not offer OAUTHBEARER, but .*PLAIN"):
        await sends(locked, certificates, {"auth": "oauthbearer", "token": "opens.nothing"}, user="")


async def test_a_port_without_tls_is_told_of(locked: Kafka) -> None:
    with pytest.raises(BrokerUnavailable, match="is that the port for kafka://"):
        async with MessageTemplate(Settings(url=f"kafkas://{locked.direct[0]}", wait_for_broker=1)) as template:
            await template.declare(QUEUE)
