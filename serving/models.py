"""The documents of the API, for its OpenAPI document and for the answers of routes that are not asked often."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

StatusName = Literal["PRESENT", "NULL_VALUE", "NOT_FOUND", "OUTSIDE_MAX_AGE"]
Rows = list[dict[str, Any]]
Columns = dict[str, list[Any]]


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid")


class FeaturesQuestion(_Document):
    """What features, of which entities. Give either `service` or `features`."""

    service: str | None = Field(None, description="The name of a service.")
    features: list[str] | None = Field(
        None, description="References such as `view:feature`; `view:*` for all of a view."
    )
    entities: Rows | Columns = Field(description="Join keys: a list of rows, or a list of values for each key.")
    request: Rows | Columns | None = Field(None, description="Request-time values, one row for each entity.")
    at: str | None = Field(None, description="The instant asked for, RFC 3339; by default now.")


class FeatureValues(_Document):
    """A feature of each entity, in the order asked."""

    view: str | None = Field(description="Which of `views` it is read from; null when computed at request time.")
    values: list[Any] = Field(
        description="Integers beyond 2^53 are text, NaN and infinities the texts NaN, Infinity and -Infinity, bytes "
        "base64, dates ISO 8601, instants RFC 3339 in UTC, decimals text."
    )
    statuses: list[StatusName]


class ViewAnswer(_Document):
    """Which version of a view answered, and when what it knows of each entity happened."""

    view: str
    version: int = Field(description="Of the view's definition.")
    table_version: int = Field(description="Of the offline table that the online values were read from.")
    watermark: str | None = Field(description="Events before it are in; null for a timeless view.")
    event_timestamps: list[str | None]
    ages_seconds: list[float | None]


class FeaturesAnswer(_Document):
    """Values with their statuses, by feature; event times and versions, by view."""

    at: str
    service: str | None
    entities: Columns
    features: dict[str, FeatureValues]
    views: dict[str, ViewAnswer]


class FeastQuestion(BaseModel):
    """Feast's request."""

    entities: Columns
    feature_service: str | None = None
    features: list[str] = []
    full_feature_names: bool = False


class FeastMetadata(_Document):
    """The names of the results, in order."""

    feature_names: list[str]


class FeastValues(_Document):
    """A join key or feature of each entity."""

    values: list[Any]
    statuses: list[StatusName]
    event_timestamps: list[str]


class FeastAnswer(_Document):
    """Feast's answer: join keys first."""

    metadata: FeastMetadata
    results: list[FeastValues]


class TypedName(_Document):
    """A name and its type."""

    name: str
    type: str


class FeatureSchema(TypedName):
    """A feature: of a service, `source` says where it is from (`view:feature`)."""

    source: str | None = None
    description: str = ""


class Entity(_Document):
    """What features are about."""

    name: str
    join_keys: list[TypedName]
    description: str
    owner: str
    tags: dict[str, str]


class Freshness(_Document):
    """How far what is published reaches."""

    published: bool
    table_version: int | None = None
    watermark: str | None = None
    lag_seconds: float | None = Field(None, description="How far the watermark is behind the present.")


class View(_Document):
    """A view: `kind` tells stored ones from those computed at request time."""

    name: str
    kind: Literal["view", "on_demand"]
    version: int | None
    entities: list[str]
    join_keys: list[TypedName]
    request: list[TypedName]
    features: list[FeatureSchema]
    ttl_seconds: float | None
    freshness: Freshness | None
    description: str
    owner: str
    tags: dict[str, str]


class Service(_Document):
    """What one model consumes: `join_keys` and `request` are what to ask with."""

    name: str
    join_keys: list[TypedName]
    request: list[TypedName]
    features: list[FeatureSchema]
    views: list[str]
    fault: str | None = Field(description="Why its newest definition cannot be served; null when it is.")
    description: str
    owner: str
    tags: dict[str, str]


class PredictQuestion(_Document):
    """What to predict of which entities."""

    entities: Rows | Columns = Field(description="Join keys: a list of rows, or a list of values for each key.")
    request: Rows | Columns | None = Field(None, description="Request-time values, one row for each entity.")
    at: str | None = Field(None, description="The instant of the features, RFC 3339; by default now.")
    features: bool = Field(False, description="Whether the features that were used are told too.")


class PredictedRows(_Document):
    """A score for each entity, in order: of a classifier the probability of 1, of a regressor the label."""

    ids: list[str] = Field(description="What a label that comes later names its prediction by.")
    scores: list[float]


class PredictAnswer(_Document):
    """Scores with the version that gave them, and the versions of the features that it saw."""

    model: str
    version: int
    predictions: PredictedRows
    at: str
    service: str
    entities: Columns
    features: dict[str, FeatureValues] | None = None
    views: dict[str, ViewAnswer]


class ServedModel(_Document):
    """A loaded version: what to ask it with, what it sees, what it learned from, and its metrics on the test rows."""

    version: int
    digest: str = Field(description="The SHA-256 of its file.")
    estimator: str
    label: str
    kind: Literal["classification", "regression"]
    service: str
    join_keys: list[TypedName]
    request: list[TypedName]
    inputs: list[TypedName]
    views: dict[str, int] = Field(description="The version of each view that it learned from, and is asked with.")
    dataset: str
    metrics: dict[str, float | None]


class Model(_Document):
    """A model: the version that the alias `champion` names, and the one that is loaded and serves."""

    name: str
    champion: int | None
    serves: ServedModel | None
    fault: str | None = Field(description="Why the champion is not the version that serves; null when it is.")


class Models(_Document):
    """All models that have a version."""

    models: list[Model]


class Entities(_Document):
    """All entities."""

    entities: list[Entity]


class Views(_Document):
    """All views."""

    views: list[View]


class Services(_Document):
    """All services."""

    services: list[Service]


class PushedRows(_Document):
    """Rows in the columns of the view's source."""

    rows: Rows | Columns


class FeastPush(BaseModel):
    """Feast's push: `push_source_name` is a source, or a view. Rows go to history and online, whatever `to` says."""

    push_source_name: str
    df: Columns


class PushedView(_Document):
    """What a push did to one view."""

    view: str
    version: int
    rows: int = Field(description="Committed.")
    repeated: int = Field(description="Pushed before.")
    dropped: int = Field(description="Left out by the contract.")
    published: int = Field(description="Online records written.")
    table_version: int | None


class SkippedView(_Document):
    """A view that a push does not reach."""

    view: str
    reason: str


class Pushed(_Document):
    """What a push did."""

    views: list[PushedView]
    skipped: list[SkippedView]


class Fault(_Document):
    """What went wrong: `type` is the name of the error, `message` one sentence with the remedy."""

    type: str
    message: str


class Refusal(_Document):
    """Every error has this form."""

    error: Fault


class InferenceRefusal(_Document):
    """An error of the Open Inference Protocol; what refuses a request before its path answers has the usual form."""

    error: str | Fault


class InferenceServer(_Document):
    """The server, and what it can beside the protocol."""

    name: str
    version: str
    extensions: list[str]


class TensorMetadata(_Document):
    """A tensor: one value per row."""

    name: str
    datatype: str
    shape: list[int]


class InferenceModel(_Document):
    """What a model is asked with, and what it answers."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class InferenceModelReady(_Document):
    """Whether a model is loaded."""

    name: str
    ready: bool


class InferenceInput(BaseModel):
    """A tensor of shape [rows] or [rows, 1]."""

    name: str
    datatype: str
    shape: list[int]
    data: list[Any] | None = None
    parameters: dict[str, Any] = {}


class InferenceOutputWanted(BaseModel):
    """An output that is asked for."""

    name: str
    parameters: dict[str, Any] = {}


class InferenceQuestion(BaseModel):
    """The protocol's request."""

    id: str | None = None
    inputs: list[InferenceInput]
    outputs: list[InferenceOutputWanted] | None = None
    parameters: dict[str, Any] = {}


class InferenceOutput(TensorMetadata):
    """A tensor of an answer; raw data lies behind the JSON."""

    data: list[Any] | None = None
    parameters: dict[str, Any] = {}


class InferenceAnswer(_Document):
    """The protocol's answer."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[InferenceOutput]
