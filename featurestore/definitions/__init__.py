"""Declarations: frozen data that says what a feature is. No I/O and no engine here."""

from featurestore.definitions.entity import Entity
from featurestore.definitions.features import Aggregation, Feature
from featurestore.definitions.on_demand import OnDemandFeatureView
from featurestore.definitions.service import FeatureService
from featurestore.definitions.sources import (
    CsvSource,
    DeltaSource,
    FrameSource,
    ParquetSource,
    RequestSource,
    Source,
    SqlSource,
)
from featurestore.definitions.splits import EntitySplit, RandomSplit, Split, TimeSplit
from featurestore.definitions.view import FeatureView, ViewProjection

Declaration = Entity | Source | FeatureView | OnDemandFeatureView | FeatureService

__all__ = [
    "Aggregation",
    "CsvSource",
    "Declaration",
    "DeltaSource",
    "Entity",
    "EntitySplit",
    "Feature",
    "FeatureService",
    "FeatureView",
    "FrameSource",
    "OnDemandFeatureView",
    "ParquetSource",
    "RandomSplit",
    "RequestSource",
    "Source",
    "Split",
    "SqlSource",
    "TimeSplit",
    "ViewProjection",
]
