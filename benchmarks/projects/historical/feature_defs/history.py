"""Ten features of a million entities."""

from __future__ import annotations

from featurestore import Entity, Feature, FeatureView, Float64, Int64, ParquetSource

customer = Entity("customer", join_keys={"key": Int64})
events = ParquetSource(
    "events", path="../inputs/events", event_timestamp="event_timestamp", created_timestamp="created_timestamp"
)
profile = FeatureView(
    "profile", entities=[customer], source=events, features=[Feature(f"f{i}", Float64) for i in range(10)]
)
