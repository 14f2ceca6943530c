"""What can be set: by environment (``AASIST_PORT``), by a TOML file, or by an option of ``aasist serve``, which wins."""

from __future__ import annotations

import ipaddress
import os
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from aasist.errors import AasistError
from aasist.service import complaints, places

ENV_PREFIX = "AASIST_"
FILE_VARIABLE = "AASIST_SETTINGS"
"""Names the settings file where no option does."""

_FILE: ContextVar[str | None] = ContextVar("_FILE", default=None)
"""While settings are read: the file that an option names."""

SECRET = {"database", "secret"}
"""Fields that are shown in part or not at all."""

Detail = Literal["full", "rounded", "label"]
Runtime = Literal["auto", "onnxruntime", "openvino", "torch"]
Precision = Literal["fp32", "bf16", "fp16", "int8"]
Names = Annotated[tuple[str, ...], NoDecode]
"""In the environment separated by commas."""


def state_folder() -> Path:
    """``$XDG_STATE_HOME/aasist``, or ``~/.local/state/aasist``."""
    home = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(home).expanduser() / "aasist"


class Settings(BaseSettings):
    """All of them, with their defaults. Seconds, bytes and counts are in the names; 0 turns a rate limit off."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, extra="forbid", frozen=True, hide_input_in_errors=True)

    host: str = Field("127.0.0.1", description="Address to listen on; beyond loopback a key must exist, or insecure.")
    port: int = Field(8000, ge=0, le=65_535, description="Port to listen on; 0 takes a free one.")
    workers: int = Field(1, ge=1, le=64, description="Server processes; each opens the model, they share the database.")
    insecure: bool = Field(False, description="Serve beyond loopback without keys.")
    require_keys: bool = Field(False, description="Ask for keys on loopback too: for a proxy on this machine.")
    allowed_hosts: Names = Field((), description="Names that the service is asked by, besides those of loopback.")
    cors_origins: Names = Field((), description="Origins whose pages may call the service; none by default.")

    model: str = Field(
        "efficient",
        description="A shipped model, cascade (small, and efficient where it is not sure), or the path of a model file.",
    )
    runtime: Runtime = Field("auto", description="auto, onnxruntime, openvino or torch.")
    precision: Precision | None = Field(None, description="fp32, bf16, fp16 or int8; unset: the model's.")
    threshold: float | None = Field(None, allow_inf_nan=False, description="On llr; unset: the model's.")
    threads: int | None = Field(None, ge=1, description="Of all processes together; unset: what the machine gives.")
    batch_windows: int = Field(
        1,
        ge=1,
        le=64,
        description="Windows of several requests that one run may score; more than 1 gains nothing on CPU.",
    )
    batch_wait_ms: float = Field(2.0, ge=0, le=1000, description="How long a run waits for more windows, if it may.")

    state_dir: Path = Field(
        default_factory=state_folder, description="Folder of the database, queued audio, the secret."
    )
    database: str | None = Field(None, description="postgresql://... or sqlite:///...; unset: a file in state_dir.")
    secret: str | None = Field(
        None, min_length=32, description="Signs webhooks; unset: a random one, kept in state_dir."
    )
    keep_verdicts_days: float = Field(30.0, ge=0, description="How long verdicts and ended jobs are kept; 0: for good.")
    keep_audio: bool = Field(False, description="Keep what was uploaded to jobs and /v1/detect.")
    keep_audio_days: float = Field(7.0, gt=0, description="How long, where it is kept.")

    max_bytes: int = Field(100_000_000, ge=1, description="Of an upload to /v1/detect.")
    max_seconds: float = Field(600.0, gt=0, description="Of a recording to /v1/detect.")
    job_max_bytes: int = Field(2_000_000_000, ge=1, description="Of an upload to /v1/jobs.")
    job_max_seconds: float = Field(43_200.0, gt=0, description="Of a recording to /v1/jobs.")
    max_in_flight: int = Field(
        64, ge=1, description="Uploads to /v1/detect being received or judged at a time, by process."
    )
    max_in_flight_each: int = Field(32, ge=1, description="Of one key or address: one client must not take all places.")
    max_in_flight_bytes: int = Field(4_000_000_000, ge=1, description="And their bytes, in files without a name.")
    max_jobs_waiting: int = Field(1_000, ge=1, description="Jobs that may wait, of all keys.")
    max_jobs_waiting_each: int = Field(
        250, ge=1, description="Of one key; all who have none are counted together, here and in the next."
    )
    max_job_bytes_each: int = Field(20_000_000_000, ge=1, description="Of the jobs of one key that wait, on disk.")
    max_job_uploads: int = Field(16, ge=1, description="Uploads to /v1/jobs being received at a time, by process.")
    max_job_uploads_each: int = Field(
        4, ge=1, description="Of one key or address. max_in_flight_bytes holds for them too, half of it for each."
    )
    queue_seconds: float = Field(30.0, gt=0, description="Longer in the queue than this, an upload is turned away.")
    max_connections: int = Field(512, ge=1, description="By process.")
    max_connections_each: int = Field(
        256, ge=1, description="Of one address; behind a proxy all are of the proxy's: set it to max_connections."
    )
    max_headers: int = Field(100, ge=10, description="Of a request.")
    header_bytes: int = Field(32_768, ge=1024, description="All headers of a request.")
    header_seconds: float = Field(10.0, gt=0, description="For a request's headers to come.")
    upload_floor_seconds: float = Field(20.0, gt=0, description="Every upload has this long,")
    upload_bytes_per_second: float = Field(20_000.0, gt=0, description="and more by the bytes that have come.")
    drain_seconds: int = Field(30, ge=0, description="After SIGTERM, for requests to be answered.")

    decoders: int | None = Field(None, ge=1, description="Processes that decode; unset: one a thread.")
    decode_seconds: float = Field(
        60.0, gt=0, description="To decode one upload of /v1/detect; a job has 30 times as long."
    )
    decode_memory_bytes: int = Field(1 << 30, ge=1 << 28, description="That a decoder may take for one recording.")

    job_runners: int = Field(1, ge=0, description="Jobs worked on at a time, by process.")
    job_lease_seconds: float = Field(30.0, gt=0, description="After which a job of a dead process is taken over.")
    job_attempts: int = Field(
        5, ge=1, description="After which a job that takes the service down, or that the disk stops, has failed."
    )
    webhook_allow: Names = Field((), description="Networks and host names that webhooks may reach besides public ones.")
    webhook_attempts: int = Field(
        8, ge=1, le=20, description="Of delivering a webhook; the last of 8 comes 9.8 hours after the first."
    )

    requests_per_minute: float = Field(600.0, ge=0, description="By key, or by address without one.")
    audio_seconds_per_hour: float = Field(36_000.0, ge=0, description="By key, or by address without one.")
    streams: int = Field(10, ge=0, description="Live streams at a time, by key or address.")
    max_streams: int = Field(50, ge=0, description="And of all together, by process.")
    max_streams_opening: int = Field(
        50, ge=0, description="Connections that have not said yet who they are; they take no place of max_streams."
    )
    stream_model: str = Field(
        "small", description="Listens to live streams: a shipped model, or the path of a model file."
    )
    stream_threads: int | None = Field(None, ge=1, description="That listen, by process; unset: its share of threads.")
    stream_first_seconds: float = Field(10.0, gt=0, description="For a stream to say who and what it is.")
    stream_idle_seconds: float = Field(30.0, gt=0, description="A stream of which nothing comes for so long is over.")
    stream_max_seconds: float = Field(14_400.0, gt=0, description="Of audio in one stream.")
    stream_frame_bytes: int = Field(65_536, ge=1_024, le=1 << 20, description="Of one message of a stream.")
    detail: Detail = Field("full", description="What those without a key see: full, rounded or label.")
    probe_limit: int = Field(
        20, ge=0, description="Near-identical recordings in probe_seconds that are answered at once."
    )
    probe_seconds: float = Field(600.0, gt=0, description="Over which they are counted.")

    @field_validator("allowed_hosts", "cors_origins", "webhook_allow", mode="before")
    @classmethod
    def _separated(cls, value: Any) -> Any:
        return tuple(filter(None, (part.strip() for part in value.split(",")))) if isinstance(value, str) else value

    @field_validator("allowed_hosts")
    @classmethod
    def _hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(places.host, value))

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(places.origin, value))

    @field_validator("webhook_allow")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(places.network_or_host, value))

    @field_validator("state_dir", mode="before")
    @classmethod
    def _a_folder(cls, value: Any) -> Any:
        if isinstance(value, str) and not value.strip():  # as a path it would be the folder that one happens to be in
            raise ValueError("must name a folder; leave it out for the one of this user")
        return value

    @field_validator("database")
    @classmethod
    def _known_database(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("sqlite:///", "postgresql://", "postgresql+psycopg://")):
            raise ValueError("must be sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME")
        if value is not None:
            try:
                _ = urlsplit(value).port
            except ValueError:
                raise ValueError("its port must be a number from 1 to 65535") from None
        return value

    @field_validator("host")
    @classmethod
    def _an_address(cls, value: str) -> str:
        places.host(value.strip("[]"))  # what is none would be taken for one that others can reach
        return value

    @model_validator(mode="after")
    def _fits(self) -> Settings:
        if self.insecure and self.require_keys:
            raise ValueError("insecure and require_keys contradict each other: give one of them")
        if max(self.max_bytes, self.job_max_bytes) > self.max_in_flight_bytes:
            raise ValueError("max_in_flight_bytes must hold one upload of max_bytes and of job_max_bytes")
        if self.job_max_bytes > self.max_job_bytes_each:
            raise ValueError("max_job_bytes_each must hold one upload of job_max_bytes")
        if "*" in self.cors_origins and not self.loopback and self.insecure:
            raise ValueError(
                "cors_origins '*' together with insecure would open the service to every page: name the origins"
            )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        file = _FILE.get() or os.environ.get(FILE_VARIABLE)
        sources = (init_settings, env_settings)
        return (*sources, TomlConfigSettingsSource(settings_cls, Path(file))) if file else sources

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the service."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return False

    @property
    def keys_required(self) -> bool:
        """Whether a request without a key is turned away."""
        return self.require_keys or not (self.loopback or self.insecure)

    @property
    def database_url(self) -> str:
        """With the driver that is used."""
        url = self.database or f"sqlite:///{self.state_dir / 'aasist.db'}"
        return url.replace("postgresql://", "postgresql+psycopg://", 1)

    @property
    def jobs_dir(self) -> Path:
        """Audio of jobs that have not ended."""
        return self.state_dir / "jobs"

    @property
    def audio_dir(self) -> Path:
        """Audio that is kept."""
        return self.state_dir / "audio"

    def shown(self) -> str:
        """As a settings file, which it can be saved as; secrets are left out."""
        return "".join(_shown(name, getattr(self, name)) for name in type(self).model_fields)


def _shown(name: str, value: Any) -> str:
    about = f"# {Settings.model_fields[name].description} {ENV_PREFIX}{name.upper()}\n"
    if value is None:
        return f"{about}# {name} =\n"
    if name in SECRET:
        return f"{about}# {name} = (set; not shown)\n"
    if isinstance(value, bool):
        return f"{about}{name} = {str(value).lower()}\n"
    if isinstance(value, tuple):
        return f"{about}{name} = [{', '.join(_quoted(one) for one in value)}]\n"
    return f"{about}{name} = {_quoted(value) if isinstance(value, str | Path) else value}\n"


def _quoted(value: object) -> str:
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def read_settings(file: Path | None = None, **given: Any) -> Settings:
    """From ``given`` (None: not given), the environment and the file; `AasistError` ``settings`` says which is wrong."""
    path = str(file) if file is not None else os.environ.get(FILE_VARIABLE)
    if path and not Path(path).is_file():
        raise AasistError("settings", f"no settings file {path!r}: name one that exists, or none")
    named = _FILE.set(path)
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        said = complaints.of_setting(
            error.errors(include_url=False)[0],
            prefix=ENV_PREFIX,
            given=[name for name, value in given.items() if value is not None],
            environment=os.environ,
            file=path,
            secret=SECRET,
        )
        raise AasistError("settings", f"settings: {said}") from None
    except ValueError as error:  # the file is not TOML
        raise AasistError("settings", f"settings: {path}: {error}") from None
    finally:
        _FILE.reset(named)


def unknown_variables() -> list[str]:
    """A line on each variable of the environment that looks as if it were a setting, and is none."""
    return complaints.of_variables(os.environ, ENV_PREFIX, Settings.model_fields)
