"""featurestore.toml: one file, every key overridable by environment (`FEATURESTORE_ONLINE__URL=...`)."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from featurestore.errors import ConfigurationError, InputError, closest_first
from featurestore.timeline import parse_duration
from featurestore.urls import without_secrets

FILE_NAME = "featurestore.toml"
_PREFIX = "FEATURESTORE_"


def _listed(value: object) -> object:
    return tuple(name.strip() for name in value.split(",") if name.strip()) if isinstance(value, str) else value


def _duration(value: str) -> str:
    try:
        parse_duration(value)
    except InputError as error:
        raise ValueError("write a whole number and a unit, such as 30d") from error
    return value


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Offline(_Section):
    """Where history is kept and what computes it."""

    engine: Literal["duckdb"] = "duckdb"
    path: str = "data/offline"
    memory_limit: str | None = None
    threads: int | None = Field(default=None, ge=1)

    @field_validator("path")
    @classmethod
    def _is_a_folder(cls, value: str) -> str:
        if "://" in value or not value.strip():
            raise ValueError("write a folder, such as data/offline; object stores are not built yet")
        return value

    @field_validator("memory_limit")
    @classmethod
    def _is_a_size(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"\d+(\.\d+)? ?[KMGT]i?B", value):
            raise ValueError("write a number and a unit, such as 4GB")
        return value


class Online(_Section):
    """Where the current values are served from."""

    url: str = "lmdb://data/online"


class RegistryPlace(_Section):
    """Where it is recorded what is applied."""

    url: str = "sqlite:///data/registry.db"


class Serving(_Section):
    """How `featurestore serve` answers; each default's reason is its description."""

    host: str = Field(default="127.0.0.1", description="This machine only: nothing is open to others by accident.")
    port: int = Field(default=6566, ge=0, le=65535, description="Where Feast's clients look for a feature server.")
    workers: int = Field(default=1, ge=1, description="One process answers more than 5,000 requests a second.")
    deadline_seconds: float = Field(default=2.0, gt=0, description="A caller that waits longer has given up.")
    push_seconds: float = Field(
        default=30.0, gt=0, description="A commit waits for other writers, and object stores take their time."
    )
    receive_seconds: float = Field(default=5.0, gt=0, description="A body of 1 MiB at 2 Mbit/s takes four seconds.")
    drain_seconds: float = Field(
        default=10.0, gt=0, le=3600, description="Five deadlines: whoever is being answered is done."
    )
    body_bytes: int = Field(default=2**20, gt=0, description="1,000 entities of 1,000 bytes each.")
    store_threads: int = Field(
        default=16, ge=1, description="Requests that wait for Redis at once; at 0.5 ms each, 32,000 a second."
    )
    max_entities: int = Field(default=1_000, ge=1, description="More is a batch: ask history, or in parts.")
    max_features: int = Field(
        default=200, ge=1, description="A wider vector is seldom meant; a service may be, if set."
    )
    max_in_work: int = Field(
        default=256,
        ge=1,
        description="At 1 ms each the last of them waits a quarter of a second, well within the deadline.",
    )
    max_in_work_of_key: int = Field(
        default=128, ge=1, description="Half of all: one caller cannot shut the others out."
    )
    require_keys: bool = Field(
        default=False, description="A laptop needs none; the first key closes the server anyway."
    )
    allowed_hosts: tuple[str, ...] = Field(
        default=("localhost", "127.0.0.1", "[::1]"), description="The names of this machine for itself."
    )
    cors_origins: tuple[str, ...] = Field(default=(), description="No page of another site may ask.")
    behind_proxy: bool = Field(default=False, description="A proxy that ends TLS is not to be guessed.")
    tls_certificate: str | None = Field(default=None, description="Loopback needs no TLS.")
    tls_key: str | None = Field(default=None, description="As tls_certificate.")
    write_log: str = Field(default="data/serving/writes.jsonl", description="Beside the data that is written.")

    @field_validator("allowed_hosts", "cors_origins", mode="before")
    @classmethod
    def _is_a_list(cls, value: object) -> object:
        """A variable of the environment lists names with commas."""
        return _listed(value)

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        """As a browser sends them, or it would never find its own."""
        for origin in value:
            if origin != "*" and re.fullmatch(r"https?://[^/\s]+", origin) is None:
                raise ValueError("an origin is a scheme and a host, as in https://shop.example")
        return value


class Audit(_Section):
    """Which served vectors are logged, and how long they are kept; each default's reason is its description."""

    sample: float = Field(
        default=0.0, ge=0, le=1, description="Off: a log says who was looked up when, so somebody has to want it."
    )
    path: str = Field(default="data/audit", description="Beside the stores, in the folder that a project ignores.")
    buffer_rows: int = Field(
        default=10_000, ge=1, description="Vectors in memory, about 10 MB of thirty features; more are dropped."
    )
    flush_seconds: float = Field(
        default=60.0, gt=0, description="What a killed process loses at most, against a file for each service and time."
    )
    retention: str = Field(
        default="30d", description="`featurestore maintain` removes older files; until then they pin table versions."
    )

    _retention = field_validator("retention")(_duration)


class Predictions(_Section):
    """How predictions are logged, for labels that come later; each default's reason is its description."""

    sample: float = Field(
        default=1.0, ge=0, le=1, description="All: a label that comes later must find its prediction. 0 logs none."
    )
    path: str = Field(default="data/predictions", description="Beside the stores, in the folder a project ignores.")
    buffer_rows: int = Field(default=10_000, ge=1, description="As [audit] buffer_rows; more are dropped and counted.")
    flush_seconds: float = Field(default=10.0, gt=0, description="What a killed process loses at most.")
    retention: str = Field(default="90d", description="`featurestore maintain` removes older predictions and labels.")

    _retention = field_validator("retention")(_duration)


class Pipelines(_Section):
    """Where training pipelines keep what they make, and which types a stored model may be made of."""

    path: str = Field(default="data/pipelines", description="Beside the stores, in the folder that a project ignores.")
    threads: int | None = Field(
        default=None, ge=1, description="An estimator takes what the machine has, unless others need it too."
    )
    trusted_types: tuple[str, ...] = Field(
        default=(), description="What skops trusts, and scikit-learn's tree ensembles, needs no entry."
    )

    @field_validator("trusted_types", mode="before")
    @classmethod
    def _is_a_list(cls, value: object) -> object:
        """A variable of the environment lists names with commas."""
        return _listed(value)


class Alerts(_Section):
    """Who is told when a person is needed; each default's reason is its description."""

    webhook: str | None = Field(default=None, pattern="^https?://", description="Gets the event as JSON by POST.")
    command: str | None = Field(default=None, description="Gets the event as JSON on its standard input.")
    timeout_seconds: float = Field(default=10.0, gt=0, description="A chat server answers in one; a tick must go on.")
    gates: tuple[Literal["PASS", "PASS_DRIFTED", "FAIL", "INCONCLUSIVE", "ERROR"], ...] = Field(
        default=("FAIL", "INCONCLUSIVE", "ERROR"), description="The verdicts of gates to tell: those that stop a run."
    )

    @field_validator("gates", mode="before")
    @classmethod
    def _is_a_list(cls, value: object) -> object:
        """A variable of the environment lists verdicts with commas."""
        return _listed(value)


class Mlflow(_Section):
    """Where runs and models are mirrored to; each default's reason is its description."""

    tracking_uri: str | None = Field(default=None, description="Without one nothing is mirrored.")
    registry_uri: str | None = Field(default=None, description="A tracking server keeps the models too.")
    timeout_seconds: int = Field(default=10, ge=1, description="A run waits for each request; MLflow's own is 120.")


class Configuration(_Section):
    """A project's configuration; relative paths start at the folder of the file."""

    project: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$")
    definitions: str = "feature_defs"
    offline: Offline = Offline()
    online: Online = Online()
    registry: RegistryPlace = RegistryPlace()
    serving: Serving = Serving()
    audit: Audit = Audit()
    pipelines: Pipelines = Pipelines()
    predictions: Predictions = Predictions()
    alerts: Alerts = Alerts()
    mlflow: Mlflow = Mlflow()

    @field_validator("definitions")
    @classmethod
    def _is_a_folder_below(cls, value: str) -> str:
        if not all(part.isidentifier() for part in value.split("/")):
            raise ValueError("name a folder below the project that can be imported, such as feature_defs")
        return value


def find_root(start: Path) -> Path:
    """The folder, `start` or above it, that holds featurestore.toml."""
    for folder in (start, *start.parents):
        if (folder / FILE_NAME).is_file():
            return folder
    raise ConfigurationError(
        f"There is no {FILE_NAME} in {start} or above it. Run `featurestore init NAME` for a new project, or go to the "
        "folder of an existing one."
    )


def load_configuration(root: Path, environment: Mapping[str, str] | None = None) -> Configuration:
    """The configuration in `root`, overridden by the environment; raises ConfigurationError naming every wrong key."""
    path = root / FILE_NAME
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path} is no TOML: {error}.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}.") from error
    given = os.environ if environment is None else environment
    _override(document, given)
    try:
        return Configuration.model_validate(document)
    except ValidationError as error:
        raise ConfigurationError("\n".join(_sentence(path, given, dict(fault)) for fault in error.errors())) from error


def _override(document: dict[str, object], environment: Mapping[str, str]) -> None:
    for variable, value in environment.items():
        if not variable.startswith(_PREFIX):
            continue
        section, _, key = variable.removeprefix(_PREFIX).lower().partition("__")
        if not key:
            if section in Configuration.model_fields:
                document[section] = value
            elif setting := next((name for name in _settings() if name.replace(".", "_") == section), None):
                meant = _PREFIX + setting.replace(".", "__").upper()
                raise ConfigurationError(
                    f"{variable} is no variable of a setting; write {meant}, with two underscores."
                )
            continue
        inner = document.setdefault(section, {})
        if isinstance(inner, dict):
            inner[key] = value


def _sentence(file: Path, environment: Mapping[str, str], fault: Mapping[str, object]) -> str:
    location = fault["loc"]
    assert isinstance(location, tuple)
    key = ".".join(str(part) for part in location)
    variable = _PREFIX + "__".join(str(part).upper() for part in location)
    path = f"{file}, overridden by {variable}" if variable in environment else str(file)
    if fault["type"] == "extra_forbidden":
        given = next((name for name in environment if f"{name}__".startswith(f"{variable}__")), str(file))
        names = closest_first(key, _settings())
        return f"{given}: there is no setting '{key}'. Settings: {', '.join(names[:8])} and {len(names) - 8} more."
    if fault["type"] == "missing":
        return f"{path}: '{key}' is missing; add it, such as {key} = \"flights\"."
    value = fault["input"]
    shown = repr(without_secrets(value) if isinstance(value, str) and "@" in value else value)  # may be a URL
    found = f", found {shown}" if not isinstance(value, dict) else ""
    return f"{path}: {key}: {str(fault['msg']).removeprefix('Value error, ')}{found}."


def _settings() -> list[str]:
    sections: dict[str, type[_Section]] = {
        "offline": Offline,
        "online": Online,
        "registry": RegistryPlace,
        "serving": Serving,
        "audit": Audit,
        "pipelines": Pipelines,
        "predictions": Predictions,
        "alerts": Alerts,
        "mlflow": Mlflow,
    }
    names = [name for name in Configuration.model_fields if name not in sections]
    return names + [f"{section}.{key}" for section, model in sections.items() for key in model.model_fields]
