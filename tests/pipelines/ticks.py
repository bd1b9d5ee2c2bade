"""A project whose views have schedules and whose pipeline has triggers, a clock to set, and runs that end as told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from featurestore import FeatureStore
from featurestore.timeline import format_instant, instant_us
from pipelines.definition.triggers import DataDrift, PerformanceDrop
from pipelines.ledger import Ledger, open_ledger
from pipelines.ledger.records import CodeVersion, GateResult, Observation, Run, RunState, Verdict
from pipelines.ledger.triggers import RunBase
from pipelines.triggers.labelling import Joined, Labelling
from pipelines.triggers.leases import held
from pipelines.triggers.plans import TriggerPlan
from pipelines.triggers.readings import JudgedWindow, Moved
from pipelines.triggers.ticking import Outside, Ticker, TickReport

CONFIGURATION = 'project = "shop"\ndefinitions = "defs"\n[online]\nurl = "memory://"\n'
DEFINITIONS = """\
from datetime import timedelta
from featurestore import (
    Entity, Feature, FeatureService, FeatureView, Float64, Int64, ParquetSource, TimeSplit,
)
from pipelines import DataDrift, LabelSource, NewData, PerformanceDrop, RunPolicy, Schedule, TrainingPipeline

clicks = ParquetSource("clicks", path="clicks.parquet", event_timestamp="at")
user = Entity("user", join_keys={"user": Int64})
spend = FeatureView(
    "spend", entities=[user], source=clicks, features=[Feature("amount", Float64)], schedule=SCHEDULE,
)
risk_v1 = FeatureService("risk_v1", features=[spend])
def make():
    return object()
risk = TrainingPipeline(
    "risk", service=risk_v1, estimator=make,
    labels=LabelSource("bad", source=clicks, label="amount > 5", known_at="at", keys=["user"]),
    split=TimeSplit(validation=timedelta(days=1), test=timedelta(days=1)),
    triggers=TRIGGERS, policy=RunPolicy(POLICY),
)
"""


def us(text: str) -> int:
    """`03-04 05:00` of 2013 in UTC."""
    return instant_us(datetime.fromisoformat(f"2013-{text}").replace(tzinfo=UTC), "at")


@dataclass
class Shop:
    """The project in a folder; `endings` are taken from the front, a run that finds none ends well."""

    root: Path
    now_us: int = field(default_factory=lambda: us("03-01 00:30"))
    endings: list[RunState | str] = field(default_factory=list)
    moved: list[Moved] = field(default_factory=list)
    judged: list[JudgedWindow] = field(default_factory=list)
    calls: list[Mapping[str, object]] = field(default_factory=list)
    runs: list[tuple[int, str]] = field(default_factory=list)
    deaf: bool = False
    asked: int | None = None
    recorded: int | None = None
    labels: list[Joined | Exception] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not (self.root / "featurestore.toml").exists():  # other processes may be reading it
            (self.root / "featurestore.toml").write_text(CONFIGURATION, encoding="utf-8")
        (self.root / "defs").mkdir(exist_ok=True)
        self.store = FeatureStore(self.root, now_us=lambda: self.now_us)
        self.ledger: Ledger = open_ledger(self.store.configuration.registry.url, self.store.root, self.store.now_us)

    def declare(self, triggers: str = "[]", *, policy: str = "", schedule: str = '"0 * * * *"') -> None:
        text = DEFINITIONS.replace("TRIGGERS", triggers).replace("POLICY", policy).replace("SCHEDULE", schedule)
        (self.root / "defs" / "shop.py").write_text(text, encoding="utf-8")
        self.store.apply()

    def click(self, until: str, per_hour: int = 1) -> None:
        """The source has so many clicks an hour, of one user each, from February 28 up to an instant."""
        first = datetime(2013, 2, 28, tzinfo=UTC)
        self.write(first, datetime.fromisoformat(f"2013-{until}").replace(tzinfo=UTC), per_hour)

    def click_until_new_year(self) -> None:
        """The source has a click an hour in the last nine days of the last year, for commands, which know the time."""
        new_year = datetime(datetime.now(UTC).year, 1, 1, tzinfo=UTC)
        self.write(new_year - timedelta(days=9), new_year, 1)

    def write(self, first: datetime, last: datetime, per_hour: int) -> None:
        """The source's clicks in [first, last)."""
        import polars as pl  # processes that only tick need none

        hours = int((last - first) / timedelta(hours=1))
        rows = [
            (i % 7, first + timedelta(hours=h, minutes=i), float(h % 9)) for h in range(hours) for i in range(per_hour)
        ]
        schema = pl.Schema({"user": pl.Int64(), "at": pl.Datetime("us", "UTC"), "amount": pl.Float64()})
        pl.DataFrame(rows, schema=schema, orient="row").write_parquet(self.root / "clicks.parquet")

    # Runner

    def exclusive(self, pipeline: str) -> AbstractContextManager[bool]:
        return held(self.root / "leases", pipeline)

    def code(self) -> CodeVersion:
        return CodeVersion(None, dirty=False, lock="")

    def run(self, run: Run) -> Run:
        self.runs.append((run.number, format_instant(self.now_us)[5:16]))
        attempt = self.ledger.begin(run)
        ending = self.endings.pop(0) if self.endings else RunState.SUCCEEDED
        if ending in ("data", "model"):
            result = GateResult(0, run.number, run.pipeline, ending, Verdict.FAIL, "p", self.now_us, "no", {})
            self.ledger.add_gate_result(attempt, result)
            return self.ledger.end(attempt, RunState.REFUSED, f"the {ending} gate refused")
        if ending == "killed":
            raise KeyboardInterrupt
        state = RunState(ending)
        ended = self.ledger.end(attempt, state, "the disk is full" if state is RunState.FAILED else "well")
        if state is RunState.FAILED:
            raise OSError("the disk is full")
        return ended

    # what is outside

    def drifts(self, plan: TriggerPlan, trigger: DataDrift, base: RunBase, _: object) -> Sequence[Moved]:
        return self.moved

    def windows(self, plan: TriggerPlan, trigger: PerformanceDrop) -> Sequence[JudgedWindow]:
        return self.judged

    def predicted(self, pipeline: str) -> int | None:
        return self.asked

    def join(self, pipeline: str) -> Joined:
        found = self.labels.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    def call(self, event: Mapping[str, object]) -> str:
        if self.deaf:
            raise ConnectionError("nobody is there")
        self.calls.append(event)
        return "the webhook was called"

    # what is looked at

    @property
    def ticker(self) -> Ticker:
        outside = Outside(
            self.drifts, self.windows, self.call, Labelling(self.join, self.predicted, lambda _: self.recorded)
        )
        return Ticker(self.store, self.ledger, self, outside, self.root / "leases")

    def tick(self, at: str) -> TickReport:
        self.now_us = us(at)
        return self.ticker.tick()

    def told(self, at: str) -> list[str]:
        """What a look at an instant added to the ledger: trigger, decision, run and reason."""
        (pipeline,) = self.tick(at).pipelines
        return [told(observation) for observation in pipeline.observations]


def told(observation: Observation) -> str:
    run = "" if observation.run is None else f" {observation.run}"
    return f"{observation.trigger}: {observation.decision}{run}: {observation.reason}"


@contextmanager
def opened(root: Path) -> Iterator[Shop]:
    shop = Shop(root)
    yield shop
    shop.ledger.close()
    shop.store.close()
