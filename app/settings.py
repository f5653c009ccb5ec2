"""Settings of a server: environment variables with the prefix `INKLING_`."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from .api.schemas import MAX_IMAGES
from .checkpoints.catalogue import DEFAULTS
from .engine.device import DeviceChoice, available_cores
from .errors import BadSetting

PREFIX = "INKLING_"
Positive = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Lifetime = Annotated[float, Field(ge=1, le=366 * 86_400, allow_inf_nan=False)]
Images = Annotated[int, Field(ge=2, le=MAX_IMAGES)]


def at_home(path: Path) -> Path:
    """A path with the home folder in the place of a leading `~`, which no shell has put there.

    Raises ValueError where there is no such folder.
    """
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError(f"expected a path, got {path}, whose home folder is not known") from None


HomePath = Annotated[Path, AfterValidator(at_home)]
Listed = Annotated[tuple[str, ...], NoDecode]
"""Names in one variable, with commas between them."""
INJECTED = re.compile(
    r"INKLING_([A-Z0-9_]+_)?(SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)"
    r"|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)
"""Variables that Kubernetes and Docker give to what runs beside a service called `inkling`."""
OF_CLIENTS = ("INKLING_SERVER", "INKLING_API_KEY", "INKLING_API_KEY_FILE")
"""Variables that commands read which talk to a server."""
LINKED = re.compile(r"(tcp|udp|sctp)://.*")
"""A value that they give to `INKLING_PORT`."""


def state_folder() -> Path:
    """Where a user's programs keep their state (XDG base directories)."""
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "inkling"


class Settings(BaseSettings):
    """What an operator can decide. Every field is an environment variable in capitals."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", description="address to listen on")
    port: Annotated[int, Field(ge=0, le=65_535)] = Field(8000, description="port to listen on")
    initializations: Annotated[tuple[str, ...], NoDecode, Field(min_length=1)] = Field(
        DEFAULTS,
        description="names or folders of initializations, comma-separated; `other=FOLDER` serves "
        "one under another name",
    )
    default_initialization: str | None = Field(
        None,
        description="the one that calls get when they name none, or `auto`: the one that "
        "their images resemble (default: `auto`, or the only one)",
    )
    device: DeviceChoice = Field("auto", description="`auto`, `cpu` or `cuda`")
    workers: Positive = Field(
        default_factory=available_cores, description="compute threads on CPU (default: one a core)"
    )
    queue_limit: Annotated[int, Field(ge=0)] = Field(
        64, description="calls that may wait for a compute thread; more get a 503"
    )
    max_calls: Positive = Field(
        128, description="calls that are decoded or waited for at once; more get a 503"
    )
    max_connections: Positive = Field(
        1000, description="connections at once; for a further one the longest idle one is closed"
    )
    max_bytes_in_flight: Positive = Field(
        256 * 2**20, description="bytes of all bodies that are read or worked on; more get a 503"
    )
    deadline_seconds: Seconds = Field(60, description="time for decoding and compute of a call")
    max_body_bytes: Positive = Field(32 * 2**20, description="largest request body")
    image_memory_bytes: Positive = Field(
        640 * 2**20, description="memory for images being decoded, or waiting for compute"
    )
    body_timeout_seconds: Seconds = Field(30, description="time for a body to arrive")
    body_idle_seconds: Seconds = Field(
        10, description="time in which some more of a body has to arrive"
    )
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
    session_store: Literal["sqlite", "memory", "redis"] = Field(
        "sqlite",
        description="`sqlite`: sessions outlive the process; `memory`: they do not; `redis`: "
        "several servers share them",
    )
    session_folder: HomePath = Field(
        default_factory=state_folder,
        description="folder of the session database, on a local disk "
        "(default: `inkling` in `$XDG_STATE_HOME` or in `~/.local/state`)",
    )
    redis_url: SecretStr | None = Field(
        None,
        description="address of the Redis of the store `redis`, such as "
        "`redis://127.0.0.1:6379/0`, or `rediss://` for TLS; needs the extra `redis`",
    )
    redis_password_file: HomePath | None = Field(
        None, description="file with the password of Redis, where the address has none"
    )
    redis_prefix: Annotated[str, Field(pattern="^[A-Za-z0-9._-]+$")] = Field(
        "inkling", description="beginning of all keys in Redis"
    )
    redis_stale_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        300,
        description="how long sessions at hand are predicted with while Redis is away; answers "
        "say so",
    )
    session_max_bytes: Positive = Field(
        4 * 2**30, description="bytes of all sessions in the store; beyond it new ones get a 503"
    )
    session_cache_bytes: Annotated[int, Field(ge=0)] = Field(
        256 * 2**20, description="memory for the tensors of sessions used lately"
    )
    max_idempotency_keys: Positive = Field(
        10_000, description="keyed answers kept for a tenant; beyond it the oldest go"
    )
    tenant_max_sessions: Annotated[int, Field(ge=0)] = Field(
        0, description="sessions of a tenant at once (0: no limit); more get a 429"
    )
    tenant_max_bytes: Annotated[int, Field(ge=0)] = Field(
        0, description="bytes of a tenant's sessions in the store (0: no limit); more get a 429"
    )
    tenant_max_calls: Annotated[int, Field(ge=0)] = Field(
        0,
        description="calls of a tenant at once; more get a 429 (0: half of `max_calls` where "
        "there are API keys)",
    )
    tenant_max_images: Annotated[int, Field(ge=0)] = Field(
        0, description="images of a tenant's calls at once (0: no limit); more get a 429"
    )
    keep_support: bool = Field(
        True, description="`false`: no session keeps its support set, so that none can be added to"
    )
    report_deadline_seconds: Seconds = Field(60, description="time for a report on a support set")
    api_keys_file: HomePath | None = Field(
        None,
        description="file of API keys, which `inkling keys` writes; read anew when it changes; "
        "without it nobody is asked who they are",
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="of the lines on requests: `text` or `json`"
    )
    otlp_endpoint: str | None = Field(
        None,
        description="address of an OpenTelemetry collector that takes spans over HTTP, such as "
        "`http://127.0.0.1:4318`; needs the extra `telemetry`",
    )
    serve_anybody: bool = Field(
        False,
        description="`true`: listen beyond the loopback address without API keys, too",
    )
    allowed_hosts: Listed = Field(
        (),
        description="further names by which a server without API keys may be called, "
        "comma-separated; a name that begins with a dot stands for all below it",
    )
    allowed_origins: Listed = Field(
        (),
        description="origins of web pages of others that may use the server, comma-separated, "
        "such as `https://app.example.org`; `*` for all",
    )
    root_path: str = Field(
        "", description="path under which a proxy publishes the server, such as `/inkling`"
    )
    trusted_proxies: Listed = Field(
        (),
        description="addresses or networks of proxies whose X-Forwarded-For and -Proto are "
        "believed, comma-separated",
    )

    @model_validator(mode="after")
    def _fit(self) -> Settings:
        if self.session_ttl_seconds > self.session_max_ttl_seconds:
            raise ValueError(
                f"{PREFIX}SESSION_TTL_SECONDS: expected at most "
                f"{PREFIX}SESSION_MAX_TTL_SECONDS, {self.session_max_ttl_seconds:g}"
            )
        if (self.session_store == "redis") != (self.redis_url is not None):
            raise ValueError(
                f"{PREFIX}REDIS_URL: expected where {PREFIX}SESSION_STORE=redis, and only there"
            )
        return self

    @field_validator("port", mode="before")
    @classmethod
    def _not_linked(cls, value: object) -> object:
        linked = isinstance(value, str) and LINKED.fullmatch(value)
        return cls.model_fields["port"].default if linked else value

    @field_validator("root_path")
    @classmethod
    def _plain_path(cls, value: str) -> str:
        if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)*/?", value):
            raise ValueError("expected a path such as /inkling")
        return value.rstrip("/")

    @field_validator("allowed_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if origin != "*" and not re.fullmatch(r"https?://[^/?#\s]+", origin):
                raise ValueError(f"expected origins such as https://app.example.org, got {origin}")
        return value

    @field_validator("otlp_endpoint")
    @classmethod
    def _collector(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"https?://[^/?#\s@]+(/[^?#\s]*)?", value):
            raise ValueError("expected an address such as http://127.0.0.1:4318")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            ipaddress.ip_network(network, strict=False)
        return value

    @field_validator(
        "initializations", "allowed_hosts", "allowed_origins", "trusted_proxies", mode="before"
    )
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
        name
        for name in variables
        if name.upper().startswith(PREFIX)
        and name.upper() not in (*known, *OF_CLIENTS)
        and not INJECTED.fullmatch(name.upper())
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
