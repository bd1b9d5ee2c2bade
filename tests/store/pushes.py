"""Purchases to push, and what history and the online store say of them."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from featurestore.store import FeatureStore

Row = tuple[str, datetime, float | None, int]


def frame(*rows: Row) -> pl.DataFrame:
    """Purchases: customer, instant, amount, items."""
    return pl.DataFrame(
        list(rows),
        orient="row",
        schema={"customer": pl.String, "at": pl.Datetime("us", "UTC"), "amount": pl.Float64, "items": pl.Int64},
    )


def stored(store: FeatureStore, *asked: tuple[str, datetime], from_source: bool = False) -> list[int | None]:
    """What history says of items."""
    spine = pl.DataFrame(
        asked, orient="row", schema={"customer": pl.String, "event_timestamp": pl.Datetime("us", "UTC")}
    )
    training = store.get_historical_features(spine, ["last:items"], from_source=from_source)
    return training.to_polars()["items"].to_list()


def online(store: FeatureStore, at: datetime, *customers: str) -> list[object]:
    """What the online store says of items."""
    found = store.get_online_features(["last:items"], [{"customer": customer} for customer in customers], at=at)
    return list(found.to_dict()["items"])
