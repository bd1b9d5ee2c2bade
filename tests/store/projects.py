"""Small projects in a folder, for tests of the whole path."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from featurestore.store import FeatureStore
from featurestore.timeline import instant_us

HEAD = """\
from datetime import timedelta

import pandera.polars as pa
import polars as pl

from featurestore import *

"""
DAY = timedelta(days=1)


def day(number: int, hour: int = 0) -> datetime:
    """An instant in January 2024."""
    return datetime(2024, 1, number, hour, tzinfo=UTC)


NOW = datetime(2024, 3, 1, tzinfo=UTC)


def make_project(root: Path, definitions: str, **tables: pl.DataFrame) -> FeatureStore:
    """A project whose sources are `data/<name>.parquet`; its clock stands at March 1, 2024."""
    (root / "data").mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        table.write_parquet(root / "data" / f"{name}.parquet")
    (root / "featurestore.toml").write_text('project = "shop"\n')
    define(root, definitions)
    return open_project(root)


def define(root: Path, definitions: str) -> None:
    """Write the project's only definition file anew."""
    (root / "feature_defs").mkdir(exist_ok=True)
    (root / "feature_defs" / "shop.py").write_text(HEAD + definitions)


def open_project(root: Path) -> FeatureStore:
    """The project's store as another process would open it."""
    return FeatureStore(root, now_us=lambda: instant_us(NOW, "now"))


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def __call__(self) -> int:
        return instant_us(self.at, "now")


def make_clocked(root: Path, definitions: str, **tables: pl.DataFrame) -> tuple[FeatureStore, Clock]:
    """A project whose clock can be set and stands at January 1, 2024, its definitions applied."""
    make_project(root, definitions, **tables).close()
    clock = Clock(day(1))
    store = FeatureStore(root, now_us=clock)
    store.apply()
    return store, clock


PURCHASES = """
customer = Entity("customer", join_keys={"customer": String})
purchases = ParquetSource("purchases", path="data/purchases.parquet", event_timestamp="at")
last = FeatureView(
    "last",
    entities=[customer],
    source=purchases,
    ttl=timedelta(days=10),
    features=[Feature("amount", Float64), Feature("items", Int64)],
)
request = RequestSource("request", {"price": Float64})
ratio = OnDemandFeatureView(
    "ratio", inputs=[request, last[["amount"]]], features={"relative": pl.col("price") / pl.col("amount")}
)
buyer = FeatureService("buyer", features=[last, ratio])
"""


def purchases() -> pl.DataFrame:
    """Two customers; a buys on January 2 and 10, b on January 5; one amount is null."""
    return pl.DataFrame(
        {
            "customer": ["a", "a", "b"],
            "at": [day(2), day(10), day(5)],
            "amount": [2.0, None, 5.0],
            "items": [1, 2, 3],
        },
        schema_overrides={"at": pl.Datetime("us", "UTC")},
    )
