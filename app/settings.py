"""Settings of a server: environment variables with the prefix `INKLING_`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from .api.schemas import MAX_IMAGES
from .checkpoints.catalogue import DEFAULT
from .engine.device import DeviceChoice, available_cores
from .errors import BadSetting

PREFIX = "INKLING_"
Positive = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Lifetime = Annotated[float, Field(ge=1, le=366 * 86_400, allow_inf_nan=False)]
Images = Annotated[int, Field(ge=2, le=MAX_IMAGES)]


class Settings(BaseSettings):
    """What an operator can decide. Every field is an environment variable in capitals."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", description="address to listen on")
    port: Annotated[int, Field(ge=0, le=65_535)] = Field(8000, description="port to listen on")
    initializations: Annotated[tuple[str, ...], NoDecode, Field(min_length=1)] = Field(
        (DEFAULT,),
        description="names or folders of initializations, comma-separated; the first is the "
        "default one",
    )
    device: DeviceChoice = Field("auto", description="`auto`, `cpu` or `cuda`")
    workers: Positive = Field(
        default_factory=available_cores, description="compute threads on CPU (default: one a core)"
    )
    queue_limit: Annotated[int, Field(ge=0)] = Field(
        64, description="calls that may wait for a compute thread; more get a 503"
    )
    max_calls: Positive = Field(
        128, description="calls that are read, decoded or waited for at once; more get a 503"
    )
    deadline_seconds: Seconds = Field(60, description="time for decoding and compute of a call")
    max_body_bytes: Positive = Field(32 * 2**20, description="largest request body")
    body_timeout_seconds: Seconds = Field(30, description="time for a body to arrive")
    max_classes: Annotated[int, Field(ge=2)] = Field(100, description="classes of a session")
    max_support_images: Images = Field(1000, description="support images of a call")
    max_query_images: Images = Field(1000, description="query images of a call")
    session_ttl_seconds: Lifetime = Field(
        3600, description="how long an unused session is kept unless the call says"
    )
    session_max_ttl_seconds: Lifetime = Field(86_400, description="the most a call may ask for")
    session_max_lifetime_seconds: Lifetime = Field(
        7 * 86_400, description="age at which a session ends, however much it is used"
    )
    session_max_bytes: Positive = Field(
        2**30, description="memory for sessions; beyond it new ones get a 503"
    )

    @model_validator(mode="after")
    def _fit(self) -> Settings:
        if self.session_ttl_seconds > self.session_max_ttl_seconds:
            raise ValueError(
                f"{PREFIX}SESSION_TTL_SECONDS: expected at most "
                f"{PREFIX}SESSION_MAX_TTL_SECONDS, {self.session_max_ttl_seconds:g}"
            )
        return self

    @field_validator("initializations", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value


def read_settings(environment: Mapping[str, str] | None = None, **overrides: object) -> Settings:
    """Read the environment. Raises BadSetting that names every variable that is wrong.

    ``overrides`` are settings from a command line; None leaves one to the environment.
    """
    variables = os.environ if environment is None else environment
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    unknown = sorted(
        name for name in variables if name.upper().startswith(PREFIX) and name.upper() not in known
    )
    if unknown:
        raise BadSetting(
            f"unknown settings: {', '.join(unknown)}; known are {', '.join(sorted(known))}"
        )
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)  # type: ignore[arg-type]
    except ValidationError as invalid:
        listed = "; ".join(
            f"{PREFIX}{str(error['loc'][0]).upper()}: {error['msg']}, got {error['input']!r}"
            if error["loc"]
            else error["msg"]
            for error in invalid.errors(include_url=False)
        )
        raise BadSetting(listed) from None
