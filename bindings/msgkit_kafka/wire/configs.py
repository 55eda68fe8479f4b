"""What is asked about how topics are set."""

from collections.abc import Sequence
from typing import NamedTuple

from msgkit_kafka.wire.api import Api
from msgkit_kafka.wire.fields import BOOLEAN, INT16, INT32, NULLABLE_STRING, OCTET, STRING, array, nullable, record

__all__ = [
    "DESCRIBE_CONFIGS",
    "TOPIC",
    "AskConfigs",
    "Configs",
    "ConfigsOf",
    "Resource",
    "Setting",
    "Synonym",
]

#: The kind of resource that a topic is.
TOPIC = 2


class Resource(NamedTuple):
    kind: int
    name: str
    #: None for all.
    configs: Sequence[str] | None


class AskConfigs(NamedTuple):
    resources: Sequence[Resource]
    with_synonyms: bool = False


class Synonym(NamedTuple):
    name: str
    value: str | None
    source: int


class Setting(NamedTuple):
    name: str
    value: str | None
    is_read_only: bool
    source: int
    is_secret: bool
    synonyms: Sequence[Synonym]


class ConfigsOf(NamedTuple):
    error: int
    text: str | None
    kind: int
    name: str
    settings: Sequence[Setting]


class Configs(NamedTuple):
    throttle: int
    resources: Sequence[ConfigsOf]


DESCRIBE_CONFIGS = Api(
    "DescribeConfigs",
    32,
    1,
    record(AskConfigs, array(record(Resource, OCTET, STRING, nullable(array(STRING)))), BOOLEAN),
    record(
        Configs,
        INT32,
        array(
            record(
                ConfigsOf,
                INT16,
                NULLABLE_STRING,
                OCTET,
                STRING,
                array(
                    record(
                        Setting,
                        STRING,
                        NULLABLE_STRING,
                        BOOLEAN,
                        OCTET,
                        BOOLEAN,
                        array(record(Synonym, STRING, NULLABLE_STRING, OCTET)),
                    )
                ),
            )
        ),
    ),
)
