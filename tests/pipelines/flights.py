"""The flights of 2013 as a project that retrains by itself: every so many of them, and a clock to set.

Each day the views are due at 8:00 UTC, before dawn in New York; who ticks then sees what a scheduler would have seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from demo.sources import write_sources
from featurestore import FeatureStore
from featurestore.timeline import instant_us
from pipelines.ledger.records import Run
from pipelines.rooms import PipelineRooms
from pipelines.running import execute
from pipelines.triggers.explaining import Explanation, explain
from pipelines.triggers.plans import current_plans
from pipelines.triggers.starting import LocalRunner, open_ticker
from pipelines.triggers.ticking import TickReport
from tests.pipelines.projects import served_here

DAY = timedelta(days=1)
CONFIGURATION = 'project = "flights"\ndefinitions = "defs"\n'
DEFINITIONS = '''\
"""Will a flight from New York arrive more than 15 minutes late? Asked at its scheduled departure, learned anew."""

from datetime import timedelta

import pandera.polars as pa
import polars as pl
from sklearn.dummy import DummyClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from featurestore import *
from pipelines import *

DAILY = "0 8 * * *"
LATE = "arr_delay > 15"

airport = Entity("airport", join_keys={"airport": String})
flights = ParquetSource("flights", path="data/sources/flights.parquet", event_timestamp="sched_dep")
landings = SqlSource(
    "landings", inputs=[flights], event_timestamp="arrived_at",
    sql="SELECT origin AS airport, arrived_at, arr_delay FROM flights WHERE arrived_at IS NOT NULL",
)
weather = ParquetSource(
    "weather", path="data/sources/weather.parquet", event_timestamp="time_hour", delay=timedelta(hours=1)
)
origin_weather = FeatureView(
    "origin_weather", entities=[airport], source=weather, ttl=timedelta(hours=36), schedule=DAILY,
    features=[Feature(name, Float64) for name in ("wind_speed", "precip", "visib", "humid")],
)
airport_delays = FeatureView(
    "airport_delays", entities=[airport], source=landings, every=timedelta(hours=1), schedule=DAILY,
    features=[
        Aggregation("*", "ratio", timedelta(hours=6), where=LATE, name="late_6h"),
        Aggregation("*", "ratio", timedelta(days=2), where=LATE, name="late_2d"),
    ],
)
departure = OnDemandFeatureView(
    "departure", inputs=[RequestSource("schedule", {"sched_dep": Timestamp})],
    features={"hour": (pl.col("sched_dep").dt.hour().cast(pl.Int64) - 9) % 24},
)
delay_v1 = FeatureService(
    "delay_v1",
    features=[
        origin_weather.with_join_keys(airport="origin"), airport_delays.with_join_keys(airport="origin"),
        departure,
    ],
)


class Flight(pa.DataFrameModel):
    """A flight to learn from: of a known carrier, with the visibility in miles, of which at most ten are told."""

    carrier: str = pa.Field(isin=[
        "9E", "AA", "AS", "B6", "DL", "EV", "F9", "FL", "HA", "MQ", "OO", "UA", "US", "VX", "WN", "YV"])
    visib: float = pa.Field(alias="origin__visib", ge=0, le=10, nullable=True)


def make_model():
    return make_pipeline(SimpleImputer(add_indicator=True), StandardScaler(), LogisticRegression())


late_flight = TrainingPipeline(
    "late_flight",
    service=delay_v1,
    labels=LabelSource("late", source=flights, label=LATE, known_at="arrived_at", keys=["carrier"]),
    estimator=make_model,
    split=TimeSplit(validation=timedelta(days=3), test=timedelta(days=14), gap=timedelta(days=1)),
    data_gate=[
        Contract(Flight), Volume(min_rows=MIN_ROWS, max_change=0.12), Freshness(timedelta(days=2)),
        NullRate(max_increase=0.2), Drift(psi=0.8),
    ],
    model_gate=[AtLeast("roc_auc", 0.55), NoWorseThanChampion("roc_auc", margin=0.03), Behaves(latency_ms=None)],
    triggers=[
        Schedule("30 8 1,15 * *"),
        NewData("airport_delays", min_rows=NEW_ROWS),
        DataDrift(window=timedelta(days=14)),
    ],
    policy=RunPolicy(cool_down=timedelta(days=4)),
)
'''


def at(text: str) -> datetime:
    """`03-01` of 2013, an hour after the views were due."""
    return datetime.fromisoformat(f"2013-{text}").replace(tzinfo=UTC) + timedelta(hours=9)


class InOneProcess(LocalRunner):
    """Runs pipelines, their models verified in this process."""

    def run(self, run: Run) -> Run:
        pipeline = self.rooms.pipeline(run.pipeline)
        return execute(self.rooms, run, pipeline, server=served_here(self.rooms.store.root)).run


@dataclass
class Flights:
    """The project in a folder; `one_in`: of the flights one in so many.

    Models are verified in a process of their own, as outside of tests, or in this one, which takes no seconds.
    """

    root: Path
    one_in: int
    afresh: bool = False
    now: datetime = field(default_factory=lambda: at("01-01"))

    def __post_init__(self) -> None:
        self.sources = self.root / "data" / "sources"
        write_sources(self.sources)
        self.change("flights", lambda rows: rows.gather_every(self.one_in))
        (self.root / "featurestore.toml").write_text(CONFIGURATION, encoding="utf-8")
        (self.root / "defs").mkdir()
        self.declare()
        self.store = FeatureStore(self.root, now_us=lambda: instant_us(self.now, "now"))
        self.store.apply()

    def declare(self, *changes: tuple[str, str]) -> None:
        """Write the definitions, with some words of theirs replaced."""
        per_day = 336_776 / 365 / self.one_in
        text = DEFINITIONS.replace("MIN_ROWS", f"{55 * per_day:.0f}").replace("NEW_ROWS", f"{12 * per_day:.0f}")
        for word, other in changes:
            assert word in text, word
            text = text.replace(word, other)
        (self.root / "defs" / "flights.py").write_text(text, encoding="utf-8")

    def change(self, source: str, changed: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
        path = self.sources / f"{source}.parquet"
        changed(pl.read_parquet(path)).write_parquet(path)

    @property
    def rooms(self) -> PipelineRooms:
        return PipelineRooms(self.store)

    def tick(self) -> TickReport:
        """One look, a new opened ticker each time, as a scheduler that starts a process has it."""
        ticker = open_ticker(self.store)
        return (ticker if self.afresh else replace(ticker, runner=InOneProcess(self.rooms))).tick()

    def why(self, since: datetime | None = None) -> Explanation:
        ledger = self.rooms.ledger
        plan = current_plans(self.root, "defs", ledger).plan("late_flight")
        since_us = None if since is None else instant_us(since, "since")
        return explain(ledger, plan, instant_us(self.now, "now"), since_us, 50)

    def go_on(self, *days: str) -> None:
        """Look on each of these days; what happened is in the ledger."""
        for day in days:
            self.now = at(day)
            self.tick()

    def states(self) -> dict[int, str]:
        return {model.version: model.state.value for model in self.rooms.ledger.models("late_flight")}

    def last(self) -> Run:
        return self.rooms.ledger.runs()[0]

    def champion(self) -> int | None:
        found = self.rooms.models.champion("late_flight")
        return None if found is None else found.version
