"""Three views of ten features of one entity."""

from __future__ import annotations

from featurestore import Entity, Feature, FeatureView, Float64, Int64, ParquetSource

customer = Entity("customer", join_keys={"key": Int64})


def _view(name: str) -> FeatureView:
    source = ParquetSource(name, path=f"../inputs/{name}.parquet", event_timestamp="event_timestamp")
    features = [Feature(f"{name}_f{i}", Float64) for i in range(10)]
    return FeatureView(name, entities=[customer], source=source, features=features)


account = _view("account")
device = _view("device")
payment = _view("payment")
