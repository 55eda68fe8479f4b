"""A Kafka that asks who comes and looks up what he may do."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from msgkit.testing.brokers import Kafka
from msgkit_kafka.wire.api import Api
from msgkit_kafka.wire.cluster import Cluster
from msgkit_kafka.wire.connection import Door
from msgkit_kafka.wire.errors import checked
from msgkit_kafka.wire.fields import INT16, INT32, NULLABLE_STRING, OCTET, STRING, array, record

__all__ = ["PASSWORD", "Permission", "guarding", "permit"]

PASSWORD = "opens-a-test"  # noqa: S105 -- and nothing else

_LOGIN = "org.apache.kafka.common.security.plain.PlainLoginModule required"
#: Numbers that Kafka has for them. What ends in `*` is the beginning of a name.
_RESOURCES: Mapping[str, int] = {"topic": 2, "group": 3, "transactional id": 5}
_OPERATIONS: Mapping[str, int] = {"Read": 3, "Write": 4, "Create": 5, "Delete": 6, "Describe": 8, "DescribeConfigs": 10}
_WHOLE, _BEGINNING, _ALLOW = 3, 4, 3


class Permission(NamedTuple):
    """What may be done to one resource, or to all whose names begin alike."""

    resource: str
    name: str
    operations: Sequence[str]


class _Rule(NamedTuple):
    kind: int
    name: str
    pattern: int
    who: str
    where: str
    operation: int
    effect: int


class _Rules(NamedTuple):
    rules: Sequence[_Rule]


class _Made(NamedTuple):
    error: int
    text: str | None


class _AllMade(NamedTuple):
    throttle: int
    results: Sequence[_Made]


_CREATE_RULES = Api(
    "CreateAcls",
    30,
    1,
    record(_Rules, array(record(_Rule, OCTET, STRING, OCTET, STRING, STRING, OCTET, OCTET))),
    record(_AllMade, INT32, array(record(_Made, INT16, NULLABLE_STRING))),
)


def guarding(users: Sequence[str]) -> Kafka:
    """Return a Kafka with these users, who may do nothing yet; who comes past its proxy may do anything."""
    known = " ".join(f'user_{user}="{PASSWORD}"' for user in users)
    config = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
        "listener.security.protocol.map": (
            "CLIENTS:SASL_PLAINTEXT,DIRECT:PLAINTEXT,BROKERS:PLAINTEXT,CONTROLLER:PLAINTEXT"
        ),
        "listener.name.clients.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.clients.plain.sasl.jaas.config": f"{_LOGIN} {known};",
    }
    return Kafka(provider="process", proxied=True, config=config)


async def permit(broker: Kafka, user: str, permissions: Sequence[Permission]) -> None:
    """Permit a user some more."""
    rules = [
        _Rule(
            _RESOURCES[each.resource],
            each.name.removesuffix("*"),
            _BEGINNING if each.name.endswith("*") else _WHOLE,
            f"User:{user}",
            "*",
            _OPERATIONS[operation],
            _ALLOW,
        )
        for each in permissions
        for operation in each.operations
    ]
    cluster = Cluster(Door(client="permitting"), broker.direct)
    try:
        await cluster.refresh([])
        for made in (await cluster.ask_controller(_CREATE_RULES, _Rules(rules))).results:
            checked(made.error, made.text)
    finally:
        await cluster.close()
