"""Twenty-four features: six functions over four windows, continuous."""

from __future__ import annotations

from datetime import timedelta

from featurestore import Aggregation, Entity, FeatureView, Int64, ParquetSource

customer = Entity("customer", join_keys={"key": Int64})
events = ParquetSource("events", path="../inputs/events.parquet", event_timestamp="happened")
spending = FeatureView(
    "spending",
    entities=[customer],
    source=events,
    features=[
        Aggregation("amount", function, window)
        for window in (timedelta(hours=1), timedelta(days=1), timedelta(days=7), timedelta(days=30))
        for function in ("count", "sum", "mean", "min", "max", "stddev_samp")
    ],
)
