"""Getting in, at a real RocketMQ that asks who comes, and over TLS."""

import json
import ssl
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from msgkit.testing.brokers import RocketMQ
from msgkit_rocketmq.client import topics
from msgkit_rocketmq.client.cluster import Cluster
from msgkit_rocketmq.client.codes import Request
from msgkit_rocketmq.client.connection import Door
from msgkit_rocketmq.client.errors import NotWritten, Unfit
from msgkit_rocketmq.client.signing import Credentials
from tests.brokers.running import running

pytestmark = [pytest.mark.broker, pytest.mark.xdist_group("rocketmq-client-login")]

KEY, SECRET = "alice", "12345678 ü"
PROVIDER = "org.apache.rocketmq.auth.authentication.provider"
GUARDED = {
    "authenticationEnabled": "true",
    "authenticationProvider": f"{PROVIDER}.DefaultAuthenticationProvider",
    "authenticationMetadataProvider": f"{PROVIDER}.LocalAuthenticationMetadataProvider",
    "initAuthenticationUser": json.dumps({"username": KEY, "password": SECRET}),
    "innerClientAuthenticationCredentials": json.dumps({"accessKey": KEY, "secretKey": SECRET}),
    # What the tests ask to see whether it is up.
    "authenticationWhitelist": str(int(Request.GET_BROKER_CONFIG)),
}
Client = Callable[[Door], Cluster]


@pytest.fixture(scope="module")
def guarded() -> Iterator[RocketMQ]:
    yield from running(RocketMQ(provider="process", config=GUARDED, tls=True))


@pytest.fixture
async def client(guarded: RocketMQ) -> AsyncIterator[Client]:
    made: list[Cluster] = []

    def make(door: Door) -> Cluster:
        made.append(Cluster(door, guarded.addresses))
        return made[-1]

    yield make
    for each in made:
        await each.close()


async def test_who_knows_the_secret_may_do_what_there_is_to_do(client: Client, name: str) -> None:
    ours = client(Door(credentials=Credentials(access_key=KEY, secret=SECRET)))
    await topics.create(ours, name, queues=1)
    await ours.presence.produce(f"{name} ü")
    assert (await ours.route(name)).writable


@pytest.mark.parametrize(
    "credentials",
    [
        None,
        Credentials(access_key=KEY, secret="wrong"),  # noqa: S106 -- opens nothing
        Credentials(access_key="bob", secret=SECRET),
    ],
    ids=["nobody", "wrong secret", "unknown key"],
)
async def test_who_does_not_is_refused_when_it_is_connected(client: Client, credentials: Credentials | None) -> None:
    ours = client(Door(credentials=credentials))
    (at,) = (await ours.masters()).values()
    with pytest.raises(Unfit, match=f"the broker at {at} does not let us in: ") as refused:
        await ours.version(at)
    assert SECRET not in str(refused.value)


async def test_over_tls_brokers_and_name_servers_are_reached_by_who_trusts_them(client: Client) -> None:
    anybody = ssl.create_default_context()
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    ours = client(Door(tls=anybody, credentials=Credentials(access_key=KEY, secret=SECRET)))
    (at,) = (await ours.masters()).values()
    assert await ours.version(at) > 0
    with pytest.raises(Unfit, match=r"its certificate is not accepted: .*; the option ca_file says whom to trust"):
        await client(Door(tls=ssl.create_default_context())).masters()
    assert issubclass(Unfit, NotWritten)
