"""A small project with a training pipeline: will a customer's order come back?

Customers spend; an order is returned more often when the customer spent little the day before and the order is large.
Orders stand at fixed minutes of January 2024; each label is known a day after its order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from featurestore.store import FeatureStore
from featurestore.timeline import instant_us
from pipelines.ledger.records import ModelVersion
from pipelines.models.document import ModelDocument
from pipelines.models.files import load_model
from pipelines.models.fresh import Served
from pipelines.prediction.predictor import Predictor
from pipelines.rooms import PipelineRooms
from pipelines.run_report import RunReport
from pipelines.running import run_pipeline
from pipelines.steps.verify import Server

DAY = timedelta(days=1)
CUSTOMERS = 40
PER_DAY = 60

DEFINITIONS = """
from datetime import timedelta

import pandera.polars as pa
import polars as pl
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from featurestore import *
from pipelines import *

customer = Entity("customer", join_keys={{"customer": Int64}})
spending = ParquetSource("spending", path="data/spending.parquet", event_timestamp="at")
orders = ParquetSource("orders", path="data/orders.parquet", event_timestamp="ordered_at")
spend = FeatureView("spend", entities=[customer], source=spending, features=[
    Feature("spent", Float64), Feature("visits", Int64), Feature("tier", String)])
basket = OnDemandFeatureView("basket", inputs=[RequestSource("order", {{"amount": Float64}}), spend[["spent"]]],
    features={{"share": pl.col("amount") / (pl.col("spent") + 1)}})
returns_v1 = FeatureService("returns_v1", features=[spend, basket])


def make_model():
    return make_pipeline(StandardScaler(), LogisticRegression({estimator}))


class Training(pa.DataFrameModel):
    spent: float = pa.Field(ge=0, le=1_000)
    tier: str = pa.Field(isin=["gold", "plain"])


returned = TrainingPipeline(
    "returned",
    service=returns_v1,
    labels=LabelSource("came_back", source=orders, label="returned = 1", known_at="known_at", keys=["shop"]),
    estimator=make_model,
    split=TimeSplit(validation=timedelta(days=2), test=timedelta(days=4), gap=timedelta(days=1)),
    inputs=["spent", "visits", "share"],
    data_gate={data_gate},
    model_gate={model_gate},
)
"""

DATA_GATE = """[
    Contract(Training), Volume(min_rows=200, max_change=0.4), Freshness(timedelta(days=3)),
    NullRate(max_increase=0.1), Drift(psi=0.25)]"""
MODEL_GATE = """[
    AtLeast("roc_auc", 0.6), NoWorseThanChampion("roc_auc", margin=0.02, samples=100),
    Slices(by=["shop"], metric="roc_auc", min_rows=30, max_gap=0.15), Calibration(max_ece=0.2)]"""


def day(number: int, hour: int = 0) -> datetime:
    """An instant in January 2024."""
    return datetime(2024, 1, 1, hour, tzinfo=UTC) + timedelta(days=number - 1)


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def __call__(self) -> int:
        return instant_us(self.at, "now")


def spending_rows(days: int) -> pl.DataFrame:
    """What each customer spent, at midnight of each day from January 1."""
    draw = np.random.default_rng(1)
    size = days * CUSTOMERS
    return pl.DataFrame(
        {
            "customer": np.tile(np.arange(CUSTOMERS), days),
            "at": [day(1 + place // CUSTOMERS) for place in range(size)],
            "spent": draw.gamma(2, 20, size).round(2),
            "visits": draw.integers(1, 9, size),
            "tier": draw.choice(["gold", "plain"], size),
        },
        schema_overrides={"at": pl.Datetime("us", "UTC")},
    )


def order_rows(spending: pl.DataFrame, days: int) -> pl.DataFrame:
    """Orders of each day from January 2, of which some came back."""
    draw = np.random.default_rng(2)
    size = days * PER_DAY
    rows = pl.DataFrame(
        {
            "customer": draw.integers(0, CUSTOMERS, size),
            "ordered_at": [day(2) + timedelta(minutes=24 * place) for place in range(size)],
            "amount": draw.gamma(2, 30, size).round(2),
            "shop": draw.choice(["north", "south"], size),
            "luck": draw.random(size),
        },
        schema_overrides={"ordered_at": pl.Datetime("us", "UTC")},
    )
    known = rows.sort("ordered_at").join_asof(
        spending.sort("at"), left_on="ordered_at", right_on="at", by="customer", check_sortedness=False
    )
    chance = 1 / (1 + (-(pl.col("amount") / 25 - pl.col("spent") / 15)).exp())
    return known.select(
        "customer",
        "ordered_at",
        "amount",
        "shop",
        returned=(pl.col("luck") < chance).cast(pl.Int64),
        known_at=pl.col("ordered_at") + DAY,
    )


def write_definitions(
    root: Path, *, estimator: str = "", data_gate: str = DATA_GATE, model_gate: str = MODEL_GATE
) -> None:
    """Write the project's only definition file."""
    (root / "feature_defs").mkdir(exist_ok=True)
    text = DEFINITIONS.format(estimator=estimator, data_gate=data_gate, model_gate=model_gate)
    (root / "feature_defs" / "shop.py").write_text(text, encoding="utf-8")


def make_project(root: Path, days: int = 30, **definitions: str) -> None:
    """A project whose sources cover so many days, not applied yet."""
    (root / "data").mkdir(parents=True, exist_ok=True)
    spending = spending_rows(days)
    spending.write_parquet(root / "data" / "spending.parquet")
    order_rows(spending, days - 1).write_parquet(root / "data" / "orders.parquet")
    (root / "featurestore.toml").write_text('project = "shop"\n', encoding="utf-8")
    write_definitions(root, **definitions)


def opened(root: Path, at: datetime) -> tuple[FeatureStore, Clock]:
    """The project's store with a clock that stands at an instant, applied and materialized up to it."""
    clock = Clock(at)
    store = FeatureStore(root, now_us=clock)
    store.apply()
    store.materialize(at)
    return store, clock


def served_here(root: Path) -> Server:
    """A server in this process: scores as the real one does, without the seconds that a new process takes."""

    def serve(model: ModelVersion, golden: Path) -> Served:
        document = ModelDocument.of(model)
        predictor = Predictor(model, load_model(root / document.path, model.digest))
        scores = predictor.score_rows(pl.read_parquet(golden))
        return Served(scores=tuple(map(float, scores)), latency_ms=1.0, memory_mb=1.0)

    return serve


@dataclass(slots=True)
class Shop:
    """The project, its store and its clock."""

    root: Path
    store: FeatureStore
    clock: Clock

    @property
    def rooms(self) -> PipelineRooms:
        """What its pipelines work with."""
        return PipelineRooms(self.store)

    def run(self) -> RunReport:
        """A run of its pipeline."""
        return run_pipeline(self.store, "returned", server=served_here(self.root))

    def states(self) -> dict[int, str]:
        """The state of each version of its model."""
        return {model.version: model.state.value for model in self.rooms.ledger.models("returned")}

    def go_to(self, at: datetime) -> None:
        """Let time pass, and materialize up to then."""
        self.clock.at = at
        self.store.materialize(at)

    def change(self, source: str, changed: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
        """Write a source's rows anew."""
        path = self.root / "data" / f"{source}.parquet"
        changed(pl.read_parquet(path)).write_parquet(path)
