"""The settings as pydantic checks them; imported lazily, for its weight."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from msgkit.settings.checks import as_name, as_seconds, as_text, as_topology, as_url
from msgkit.settings.naming import Path
from msgkit.settings.shape import DEFAULTS, SECTIONS

__all__ = [
    "BrokerValues",
    "Count",
    "Duration",
    "ExchangeValues",
    "Mode",
    "Name",
    "QueueValues",
    "Text",
    "Url",
    "Values",
    "validate",
]


def _no_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a number, not true or false")  # noqa: TRY004 -- pydantic takes reasons as ValueError
    return value


Url = Annotated[str, BeforeValidator(as_url)]
Mode = Annotated[Literal["create", "verify", "assume"], BeforeValidator(as_topology)]
Text = Annotated[str, BeforeValidator(as_text)]
Name = Annotated[str, BeforeValidator(as_name)]
Duration = Annotated[float, BeforeValidator(as_seconds)]
Count = Annotated[int, Field(ge=1), BeforeValidator(_no_bool)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class BrokerValues(_Section):
    """A broker besides the default one: a destination names it with `broker=`."""

    url: Url | None = Field(None, description="where it is; the scheme chooses the binding")
    topology: Mode | None = Field(None, description="what is made there, as at the top")
    prefix: Text | None = Field(None, description="stands before every name there")
    options: dict[str, object] | None = Field(
        None,
        description="what only this broker's binding understands; from the environment, as text",
    )


class QueueValues(_Section):
    """A queue, by its name in code. What is left out stands in code."""

    name: Name | None = Field(None, description="what the broker calls it")
    broker: Name | None = Field(None, description="the broker that it is on")
    concurrency: Count | None = Field(None, description="how many handlers run at once")
    max_in_flight: Count | None = Field(
        None, description="how many messages are taken from the broker and not yet settled"
    )
    attempts: Count | None = Field(None, description="how often a message is tried before it is a dead letter")
    autostart: bool | None = Field(None, description="whether listening begins with the application, or at `resume()`")


class ExchangeValues(_Section):
    """An exchange, by its name in code. What is left out stands in code."""

    name: Name | None = Field(None, description="what the broker calls it")
    broker: Name | None = Field(None, description="the broker that it is on")


class Values(BaseSettings):
    """All settings."""

    model_config = SettingsConfigDict(extra="forbid", hide_input_in_errors=True)

    url: Url = Field(DEFAULTS["url"], description="where the default broker is; the scheme chooses the binding")
    topology: Mode = Field(
        DEFAULTS["topology"],
        description="`create` makes what is missing, `verify` refuses what is missing or differs, "
        "`assume` looks at nothing",
    )
    prefix: Text = Field(DEFAULTS["prefix"], description="stands before every name on the broker")
    wait_for_broker: Duration = Field(
        DEFAULTS["wait_for_broker"],
        description="how long a broker that is down at start is waited for; 0 fails at once",
    )
    drain: Duration = Field(DEFAULTS["drain"], description="how long running handlers may go on after a stop")
    brokers: dict[str, BrokerValues] = Field(default_factory=dict[str, BrokerValues])
    queues: dict[str, QueueValues] = Field(default_factory=dict[str, QueueValues])
    exchanges: dict[str, ExchangeValues] = Field(default_factory=dict[str, ExchangeValues])

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 -- the base's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 -- as above
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 -- as above
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 -- as above
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # Merged before it comes here, because pydantic-settings forgets where a value
        # came from and passes over environment variables that it does not know.
        return (init_settings,)


def validate(nested: Mapping[str, object]) -> tuple[dict[str, object], list[tuple[Path, str]]]:
    """Return what was given as it is to be used, or what is wrong with which of it."""
    try:
        values = Values.model_validate(nested)
    except ValidationError as error:
        details = error.errors(include_url=False)
        return {}, [(tuple(map(str, each["loc"])), _reason(each)) for each in details]
    checked: dict[str, object] = _given(values)
    for section in SECTIONS:
        members: Mapping[str, BaseModel] = getattr(values, section)
        checked[section] = {name: _given(member) for name, member in members.items()}
    return checked, []


def _given(model: BaseModel) -> dict[str, object]:
    # Not model_dump(): it takes apart the objects that options may hold.
    given = model.model_fields_set
    return {key: getattr(model, key) for key in type(model).model_fields if key in given}


def _reason(error: ErrorDetails) -> str:
    if error["type"] == "value_error" and "ctx" in error:
        return str(error["ctx"]["error"])
    return error["msg"].replace("Input should be", "must be")
