"""Three views of ten features of one entity, and the service that asks for all of them."""

from __future__ import annotations

from datetime import timedelta

from featurestore import Entity, Feature, FeatureService, FeatureView, Float64, Int64, ParquetSource

customer = Entity("customer", join_keys={"key": Int64})


def _view(name: str) -> FeatureView:
    source = ParquetSource(name, path=f"../inputs/{name}.parquet", event_timestamp="event_timestamp")
    features = [Feature(f"{name}_f{i}", Float64) for i in range(10)]
    return FeatureView(name, entities=[customer], source=source, features=features, ttl=timedelta(days=36_500))


account = _view("account")
device = _view("device")
payment = _view("payment")
all_v1 = FeatureService("all_v1", features=[account, device, payment])
