"""Three views of ten features of one entity, and services that ask for all of them."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from featurestore import (
    Entity,
    Feature,
    FeatureService,
    FeatureView,
    Float64,
    Int64,
    OnDemandFeatureView,
    ParquetSource,
    RequestSource,
)

customer = Entity("customer", join_keys={"key": Int64})


def _view(name: str) -> FeatureView:
    source = ParquetSource(name, path=f"../inputs/{name}.parquet", event_timestamp="event_timestamp")
    features = [Feature(f"{name}_f{i}", Float64) for i in range(10)]
    return FeatureView(name, entities=[customer], source=source, features=features, ttl=timedelta(days=36_500))


account = _view("account")
device = _view("device")
payment = _view("payment")
request = RequestSource("request", {"amount": Float64, "hour": Int64})
risk = OnDemandFeatureView(
    "risk",
    inputs=[request, account, payment],
    features={
        "is_night": pl.col("hour").is_between(0, 5),
        "amount_to_account": pl.col("amount") / pl.col("account_f0"),
        "risk_score": pl.col("amount") * pl.col("payment_f3") + (pl.col("account_f1") < 0),
    },
)
all_v1 = FeatureService("all_v1", features=[account, device, payment])
risk_v1 = FeatureService("risk_v1", features=[account, device, payment, risk])
