"""Live metrics of the past: a backtest judges at an instant what a tick judged then, and nothing that came later."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from featurestore.audit.records import INSTANT, SCORE, FileFacts, LogFiles
from featurestore.cli.app import app
from featurestore.timeline import to_datetime
from pipelines.definition.triggers import PerformanceDrop
from pipelines.frames import Signature
from pipelines.ledger import versions
from pipelines.ledger.records import CodeVersion, Decision, ModelState, ModelVersion, Run, RunState, Verdict
from pipelines.ledger.versions import AliasChange
from pipelines.models.document import ModelDocument
from pipelines.prediction.labels import record_labels, recorded_labels
from pipelines.prediction.past import Logged, PredictionPast
from pipelines.rooms import PipelineRooms, predictions_folder
from pipelines.steps.extract import examples_known_since, known_examples
from pipelines.triggers.backtest import backtest
from pipelines.triggers.judging import live_judged, past_judged
from pipelines.triggers.plans import TriggerPlan, current_plans
from pipelines.triggers.readings import JudgedWindow
from pipelines.triggers.starting import labelling_of
from pipelines.triggers.ticking import Outside, Ticker
from tests.pipelines.ticks import Shop, opened, us

HOUR, DAY = 3_600_000_000, 86_400_000_000
CODE = CodeVersion(None, dirty=False, lock="l")
SIGNATURE = Signature(
    service="risk_v1", inputs=(("amount", "Float64"),), keys=("user",), request=(), label="bad", kind="classification"
)
DOCUMENT = ModelDocument(
    path="m", dataset="risk@1", dataset_sha256="d", service_meaning="m", views={}, split="s", rows={}, code=CODE,
    on_demand={}, estimator="E", settings={}, parameters={}, packages={}, signature=SIGNATURE, metrics={},
    artifacts={}, slices={}, verdict=Verdict.PASS, summary="judged", bounded=True,
)  # fmt: skip
ANSWERED = pl.Schema({"user": pl.Int64(), "at": pl.Datetime("us", "UTC"), "known_at": pl.Datetime("us", "UTC"),
                      "bad": pl.Int64()})  # fmt: skip
LOGGED = pa.schema(
    [
        ("id", pa.string()), ("row", pa.int32()), ("served_at", INSTANT), ("asked_at", INSTANT),
        ("keys", pa.struct({"user": pa.int64()})), SCORE,
    ]
)  # fmt: skip
ANSWERS = """
answers = ParquetSource("answers", path="answers.parquet", event_timestamp="at")
risk = TrainingPipeline(
    "risk", service=risk_v1, estimator=make,
    labels=LabelSource("bad", source=answers, label="bad", known_at="known_at"),
    split=TimeSplit(validation=timedelta(days=1), test=timedelta(days=1)),
    triggers=[PerformanceDrop("accuracy", below=0.6, windows=2, min_coverage=0.5, min_rows=2)],
)
"""


@dataclass(frozen=True)
class Predicted:
    """A score of a user's click at an instant, served then or later."""

    version: int
    user: int
    at_us: int
    score: float
    served_us: int

    @property
    def id(self) -> str:
        return f"{self.at_us:x}-{self.version}-{self.user}"


@dataclass(frozen=True)
class Answer:
    """What became of a user's click at an instant, known later."""

    user: int
    at_us: int
    known_us: int
    bad: int


class History:
    """A project whose models, predictions and labels are written down by hand."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.champions: list[tuple[int, int, int]] = []  # to come: when, which version, what it learned was known when
        self.predictions: list[Predicted] = []  # to come
        self.learned_us = 0
        shop.now_us = us("06-01 00:00")
        shop.click("05-01 00:00")
        self.answer(())
        shop.declare(schedule="None")
        text = (shop.root / "defs" / "shop.py").read_text(encoding="utf-8")
        head, _, _ = text.partition("risk = TrainingPipeline(")
        (shop.root / "defs" / "shop.py").write_text(head + ANSWERS, encoding="utf-8")
        shop.store.apply()
        shop.store.materialize(to_datetime(us("05-01 00:00")))
        self.rooms = PipelineRooms(shop.store)

    @property
    def plan(self) -> TriggerPlan:
        return current_plans(self.shop.root, "defs", self.shop.ledger).plan("risk")

    @property
    def drop(self) -> PerformanceDrop:
        (trigger,) = self.plan.triggers.values()
        assert isinstance(trigger, PerformanceDrop)
        return trigger

    def come_to(self, at_us: int) -> None:
        """Let the clock go to an instant: champions come on the way, and predict."""
        while self.champions and self.champions[0][0] <= at_us:
            self.shop.now_us, version, learned_us = self.champions.pop(0)
            self._crown(version, learned_us)
        self.predict([row for row in self.predictions if row.served_us <= at_us])
        self.predictions = [row for row in self.predictions if row.served_us > at_us]
        self.shop.now_us = at_us

    def _crown(self, version: int, learned_us: int) -> None:
        ledger, at_us = self.rooms.ledger, self.shop.now_us
        move = AliasChange("risk", "champion", ledger.alias("risk", "champion"), version)
        if version not in [model.version for model in ledger.models("risk")]:
            run = Run(0, "risk", "run", RunState.PENDING, "by hand", "ann", learned_us, learned_us, None, {}, CODE)
            attempt = ledger.begin(ledger.add_run(run))
            model = ModelVersion("risk", version, ModelState.CHAMPION, attempt.run, at_us, "", None, DOCUMENT.to_json())
            with ledger.writing() as connection:
                versions.insert_model(connection, model, ledger.occasion("ann", "by hand"))
            ledger.end(attempt, RunState.SUCCEEDED, "well")
        with ledger.writing() as connection:
            versions.move_alias(connection, move, ledger.occasion("ann", "better"))
        self.learned_us = learned_us

    def predict(self, rows: Sequence[Predicted]) -> None:
        """Log each prediction in a file of its own."""
        log = LogFiles(predictions_folder(self.shop.store))
        for row in rows:
            line = {"id": row.id, "row": 0, "served_at": to_datetime(row.served_us), "asked_at": to_datetime(row.at_us),
                    "keys": {"user": row.user}, "score": row.score}  # fmt: skip
            facts = FileFacts(
                service="risk_v1", definitions="d", process="p", sample=1.0, first_us=row.served_us,
                last_us=row.served_us, dropped=0, versions={}, model="risk", model_version=row.version,
            )  # fmt: skip
            log.add(facts, pa.Table.from_pylist([line], LOGGED))

    def answer(self, rows: Sequence[Answer]) -> None:
        """The source of labels has these rows."""
        table = [(row.user, to_datetime(row.at_us), to_datetime(row.known_us), row.bad) for row in rows]
        pl.DataFrame(table, schema=ANSWERED, orient="row").write_parquet(self.shop.root / "answers.parquet")

    def hand_over(self, prediction: str, known_us: int, at_us: int, bad: int) -> None:
        """A person records the label of a prediction, if it is logged."""
        self.come_to(at_us)
        frame = pl.DataFrame({"prediction_id": [f"{prediction}-0"], "bad": [bad], "known_at": [to_datetime(known_us)]})
        record_labels(self.shop.store, "risk", frame)

    def ticked(self, at_us: int, rule: PerformanceDrop) -> Sequence[JudgedWindow]:
        """What a PerformanceDrop goes by in a tick at an instant, once the tick has joined labels."""
        self.come_to(at_us)
        record_labels(self.shop.store, "risk")
        windows = live_judged(self.rooms)(self.plan, rule)
        return [window for window in windows if window.start_us >= self.learned_us][-rule.windows :]

    def backtested(self, at_us: Sequence[int], rule: PerformanceDrop) -> list[Sequence[JudgedWindow]]:
        """What it goes by at instants, in a backtest that is made in June."""
        self.come_to(us("06-01 00:00"))
        judged = past_judged(self.rooms, PredictionPast.of(self.rooms, "risk"))
        return [judged(self.plan, rule, at) for at in at_us]


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    with opened(tmp_path) as shop:
        yield History(shop)


MARCH = """
version user asked        score served
1       1    03-01 01:00  0.9   03-01 01:00
1       2    03-01 02:00  0.9   03-01 02:00
1       3    03-02 01:00  0.9   03-02 01:00
1       4    03-02 02:00  0.1   03-02 02:00
1       5    03-03 01:00  0.1   03-03 01:00
1       6    03-03 02:00  0.1   03-03 02:00
2       5    03-03 13:00  0.9   03-03 13:00
2       6    03-03 14:00  0.9   03-03 14:00
2       7    03-04 01:00  0.1   03-04 01:00
2       8    03-04 02:00  0.1   03-04 02:00
2       9    03-05 01:00  0.9   03-05 01:00
2       10   03-05 02:00  0.9   03-05 02:00
2       11   03-05 03:00  0.9   03-08 00:00
2       12   03-05 03:00  0.9   03-08 00:00
"""
BECAME = """
user at           known        bad
1    03-01 03:00  03-02 06:00  1    right
2    03-01 03:00  03-02 06:00  0    wrong
3    03-02 03:00  03-03 06:00  0    wrong
4    03-02 03:00  03-06 00:00  0    right, and known when v1 has gone
5    03-03 03:00  03-04 06:00  1    wrong, of v1 that has gone
6    03-03 03:00  03-04 06:00  1    wrong, of v1 that has gone
5    03-03 15:00  03-04 06:00  0    wrong, of a window that began before v2 learned
6    03-03 15:00  03-04 06:00  0    wrong, of a window that began before v2 learned
7    03-04 03:00  03-05 06:00  1    wrong
8    03-04 03:00  03-07 12:00  1    wrong, and late
9    03-05 03:00  03-06 06:00  1    right
10   03-05 03:00  03-06 06:00  0    wrong
11   03-05 03:00  03-06 06:00  1    right, of a prediction that was made later
12   03-05 03:00  03-06 06:00  1    right, of a prediction that was made later
"""


def lines(table: str) -> list[list[str]]:
    return [line.split() for line in table.strip().splitlines()[1:]]


@pytest.fixture
def march(history: History) -> History:
    """Two champions, and what they predicted in March."""
    history.champions = [
        (us("02-28 18:00"), 1, us("02-28 12:00")),
        (us("03-03 12:00"), 2, us("03-03 06:00")),
    ]
    history.predictions = [
        Predicted(int(version), int(user), us(f"{day} {hour}"), float(score), us(f"{served_day} {served_hour}"))
        for version, user, day, hour, score, served_day, served_hour in lines(MARCH)
    ]
    history.answer(
        [Answer(int(user), us(f"{d} {h}"), us(f"{kd} {kh}"), int(bad)) for user, d, h, kd, kh, bad, *_ in lines(BECAME)]
    )
    return history


def test_an_instant_of_the_past_is_judged_by_what_was_known_then(march: History) -> None:
    expected = {
        "03-02 05:59": [],
        "03-02 06:00": [("01", 0.5, 2)],
        "03-03 11:59": [("01", 0.5, 2)],  # of the second day one label is known
        "03-03 12:00": [],  # v2 is the champion
        "03-05 12:00": [],
        "03-06 05:59": [],
        "03-06 06:00": [("05", 0.5, 2)],
        "03-07 11:59": [("05", 0.5, 2)],
        "03-07 12:00": [("04", 0.0, 2), ("05", 0.5, 2)],
        "03-07 23:59": [("04", 0.0, 2), ("05", 0.5, 2)],
        "03-08 00:00": [("04", 0.0, 2), ("05", 0.75, 4)],
        "05-01 00:00": [("04", 0.0, 2), ("05", 0.75, 4)],
    }
    ticked = [march.ticked(us(at), march.drop) for at in expected]
    told = march.backtested([us(at) for at in expected], march.drop)
    assert [[(f"{to_datetime(w.start_us):%d}", w.value, w.rows) for w in windows] for windows in told] == [
        *expected.values()
    ]
    assert told[::-1] == march.backtested([us(at) for at in reversed(expected)], march.drop)
    assert told == ticked


def test_a_backtest_says_when_ticks_found_the_champion_worse(march: History) -> None:
    why = "accuracy 0.000, 0.500 up to 2013-03-06T00:00:00Z, below 0.6 in each window"
    shop, rooms = march.shop, march.rooms
    outside = Outside(shop.drifts, live_judged(rooms), shop.call, labelling_of(rooms))
    ticker = Ticker(shop.store, rooms.ledger, shop, outside, shop.root / "leases")
    started = []
    for look in range(us("03-01 00:00"), us("03-12 00:00") + 1, 6 * HOUR):
        march.come_to(look)
        (tick,) = ticker.tick().pipelines
        started += [(look, one.reason) for one in tick.observations if one.decision is Decision.ACCEPTED]
    assert started == [(us("03-07 12:00"), why)]

    march.come_to(us("06-01 00:00"))
    report = backtest(shop.store, march.plan, (us("03-01 00:00"), us("03-12 00:00")), 6 * HOUR)
    assert [(run.at_us, run.reason) for run in report.runs] == started
    assert report.logged == Logged(14, us("03-01 01:00"), us("03-05 03:00"))


def test_the_command_says_what_it_went_by(march: History) -> None:
    march.come_to(us("06-01 00:00"))
    command = ["-C", str(march.shop.root), "pipeline", "backtest", "risk", "--from", "2013-03-01", "--every", "12h"]
    said = CliRunner().invoke(app, [*command, "--to", "2013-03-10"]).stdout
    assert "PerformanceDrop went by 14 predictions of risk, asked for from 2013-03-01T01:00:00Z to" in said
    told = json.loads(CliRunner().invoke(app, [*command, "--to", "2013-03-10", "--json"]).stdout)
    assert [(run["at"], run["trigger"]) for run in told["runs"]] == [
        ("2013-03-07T12:00:00Z", "performance accuracy 0.6")
    ]
    assert told["predictions"] == {"logged": 14, "first": "2013-03-01T01:00:00Z", "last": "2013-03-05T03:00:00Z"}
    none = CliRunner().invoke(app, [*command, "--to", "2013-03-01T00:30:00Z"]).stdout
    assert "No prediction of risk was logged up to 2013-03-01T00:30:00Z, so PerformanceDrop could not fire." in none


def test_without_predictions_a_backtest_says_so(march: History) -> None:
    march.come_to(us("06-01 00:00"))
    interval = (us("02-28 00:00"), us("03-01 00:00"))
    assert backtest(march.shop.store, march.plan, interval, DAY).logged == Logged(0)
    shutil.rmtree(predictions_folder(march.shop.store))
    (march.shop.root / "answers.parquet").unlink()  # which nobody needs then
    report = backtest(march.shop.store, march.plan, (us("03-01 00:00"), us("03-12 00:00")), DAY)
    assert (report.logged, report.runs) == (Logged(0), ())


def test_of_labels_that_name_one_prediction_the_one_known_last_counts(history: History) -> None:
    history.champions = [(us("02-28 18:00"), 1, us("02-28 12:00"))]
    history.predictions = [Predicted(1, 1, us("03-01 01:00"), 0.9, us("03-01 01:00"))]
    history.come_to(us("03-09 00:00"))
    name, known = f"{us('03-01 01:00'):x}-1-1-0", ["03-03 00:00", "03-04 00:00", "03-04 00:00", "03-02 00:00"]
    frame = pl.DataFrame(
        {"prediction_id": [name] * 4, "bad": [0, 0, 1, 0], "known_at": [to_datetime(us(at)) for at in known]}
    )
    found = record_labels(history.shop.store, "risk", frame)
    assert (found.labels, found.joined, found.new) == (4, 1, 1)
    rows = recorded_labels(predictions_folder(history.shop.store), "risk").rows()
    assert rows == [(name, 1.0, to_datetime(us("03-04 00:00")))]


def test_an_example_is_known_once_it_has_been_and_while_it_is_not_too_old(history: History) -> None:
    at = us("03-01 00:00")
    history.answer([Answer(1, at, at, 1), Answer(2, at, at + DAY, 1), Answer(3, at, at + DAY + 1, 1)])
    store, pipeline = history.shop.store, replace(history.rooms.pipeline("risk"), window=timedelta(days=1))
    found = examples_known_since(store, pipeline, us("03-09 00:00"), "since")
    assert found.select("user", "since").rows() == [(1, to_datetime(at + 1)), (2, to_datetime(at + DAY))]
    for user, instant in ((1, at + 1), (2, at + DAY)):  # as a look at these instants says
        assert user in known_examples(store, pipeline, instant)["user"]
        assert user not in known_examples(store, pipeline, instant - 1)["user"]
    assert 3 not in known_examples(store, pipeline, at + DAY + 1)["user"]


RULE = PerformanceDrop("accuracy", below=0.6, windows=3, window=timedelta(hours=6), min_coverage=0.5, min_rows=1,
                       label_delay=timedelta(hours=1))  # fmt: skip
START = us("03-01 00:00")
hours = st.integers(0, 36)
users = st.integers(1, 3)
predictions = st.lists(st.tuples(st.integers(1, 2), users, hours, st.sampled_from([0.1, 0.9])), min_size=6, max_size=14)
answers = st.lists(st.tuples(users, hours, st.integers(0, 14), st.integers(0, 1)), min_size=8, max_size=20)
handed = st.lists(st.tuples(st.integers(0, 11), hours, st.integers(0, 14), st.integers(0, 1)), max_size=3)


@given(predictions, answers, handed, st.sets(st.integers(4, 50), min_size=3, max_size=7))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_backtest_judges_what_ticks_judged(
    history: History,
    scored: list[tuple[int, int, int, float]],
    became: list[tuple[int, int, int, int]],
    by_hand: list[tuple[int, int, int, int]],
    looks: set[int],
) -> None:
    shutil.rmtree(predictions_folder(history.shop.store), ignore_errors=True)
    history.champions = [(START - DAY, 1, START - DAY), (START + 12 * HOUR, 2, START + 8 * HOUR)]
    made = [Predicted(v, u, START + h * HOUR, score, START + h * HOUR) for v, u, h, score in scored]
    rows = {row.id: row for row in made}.values()
    history.answer([Answer(u, START + h * HOUR, START + (h + lag) * HOUR, bad) for u, h, lag, bad in became])
    instants = [START + look * HOUR for look in sorted(looks)]
    told, before = [], START - 1
    for at in instants:
        history.predict([row for row in rows if before < row.at_us <= at])
        for place, hour, lag, bad in by_hand:
            if before < START + hour * HOUR <= at:
                history.hand_over([*rows][place % len(rows)].id, at - lag * HOUR, at, bad)
        told.append(history.ticked(at, RULE))
        before = at
    assert history.backtested(instants, RULE) == told
