"""A feature store: declare features once, train on their history, serve their present."""

from __future__ import annotations

from typing import TYPE_CHECKING

from featurestore.definitions import (
    Aggregation,
    CsvSource,
    DeltaSource,
    Entity,
    EntitySplit,
    Feature,
    FeatureService,
    FeatureView,
    FrameSource,
    OnDemandFeatureView,
    ParquetSource,
    RandomSplit,
    RequestSource,
    SqlSource,
    TimeSplit,
    ViewProjection,
)
from featurestore.dtypes import (
    Bool,
    Bytes,
    Date,
    Decimal,
    DType,
    Float32,
    Float64,
    Int8,
    Int16,
    Int32,
    Int64,
    List,
    String,
    Timestamp,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
    Vector,
)
from featurestore.timeline import Status

if TYPE_CHECKING:
    from featurestore.client import AsyncClient, Client
    from featurestore.store import FeatureStore

    __version__: str

__all__ = [
    "Aggregation",
    "AsyncClient",
    "Bool",
    "Bytes",
    "Client",
    "CsvSource",
    "DType",
    "Date",
    "Decimal",
    "DeltaSource",
    "Entity",
    "EntitySplit",
    "Feature",
    "FeatureService",
    "FeatureStore",
    "FeatureView",
    "Float32",
    "Float64",
    "FrameSource",
    "Int8",
    "Int16",
    "Int32",
    "Int64",
    "List",
    "OnDemandFeatureView",
    "ParquetSource",
    "RandomSplit",
    "RequestSource",
    "SqlSource",
    "Status",
    "String",
    "TimeSplit",
    "Timestamp",
    "UInt8",
    "UInt16",
    "UInt32",
    "UInt64",
    "Vector",
    "ViewProjection",
    "__version__",
]


def __getattr__(name: str) -> object:
    if name == "FeatureStore":  # the store's rooms are heavy, and a definition file needs none of them
        from featurestore.store import FeatureStore

        return FeatureStore
    if name in ("AsyncClient", "Client"):
        from featurestore import client

        return getattr(client, name)
    if name == "__version__":
        from importlib.metadata import version

        return version("featurestore-platform")
    raise AttributeError(f"module 'featurestore' has no attribute '{name}'")
