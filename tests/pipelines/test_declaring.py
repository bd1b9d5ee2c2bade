"""What is wrong with a training pipeline is said where it was declared."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from featurestore import Entity, Feature, FeatureService, FeatureView, Float64, FrameSource, RandomSplit, TimeSplit
from featurestore.dtypes import Int64
from featurestore.errors import DefinitionError, UnknownNameError
from pipelines import (
    AtLeast,
    Behaves,
    Calibration,
    Contract,
    Drift,
    Fairness,
    LabelSource,
    NewData,
    NoWorseThanChampion,
    NullRate,
    PerformanceDrop,
    Schedule,
    Slices,
    TrainingPipeline,
    Volume,
)
from pipelines.loading import load_pipeline, load_pipelines

DAY = timedelta(days=1)
LOANS = FrameSource(
    "loans", frame=[{"user": 1, "asked_at": datetime(2024, 1, 1, tzinfo=UTC)}], event_timestamp="asked_at"
)
USER = Entity("user", join_keys={"user": Int64})
SPEND = FeatureView("spend", entities=[USER], source=LOANS, features=[Feature("amount", Float64)])
SERVICE = FeatureService("risk_v1", features=[SPEND])
LABELS = LabelSource("defaulted", source=LOANS, label="paid < due", known_at="settled_at", keys=["user"])


def _make() -> object:
    return object()


def declare(**changed: Any) -> TrainingPipeline:
    whole: dict[str, Any] = {
        "service": SERVICE, "labels": LABELS, "estimator": _make, "split": TimeSplit(validation=DAY, test=DAY),
    }  # fmt: skip
    return TrainingPipeline("risk", **(whole | changed))


def faults(**changed: Any) -> list[str]:
    with pytest.raises(DefinitionError) as caught:
        declare(**changed)
    return [fault.message.removeprefix("TrainingPipeline 'risk': ") for fault in caught.value.faults]


def test_examples_stand_at_the_event_time_of_their_source() -> None:
    assert declare().labels.timestamp == "asked_at"


def test_a_pipeline_knows_the_kind_of_its_label_from_its_metrics() -> None:
    assert declare().kind is None
    assert declare(model_gate=[AtLeast("roc_auc", 0.6)]).kind == "classification"
    assert declare(triggers=[PerformanceDrop("mae", below=3)]).kind == "regression"


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"service": "risk_v1"}, "service must be a FeatureService, found 'risk_v1'."),
        ({"estimator": 3}, "estimator must be a function, found 3."),
        ({"split": "time:1d,1d"}, "split must be a TimeSplit, EntitySplit or RandomSplit, found 'time:1d,1d'."),
        ({"split": TimeSplit(validation=DAY, test=DAY * 0)}, "split leaves no rows to test on; give test a length."),
        ({"split": RandomSplit((0.9, 0.1, 0.0))}, "split leaves no rows to test on; give test a share."),
        (
            {"split": TimeSplit(validation=DAY, test=DAY, known_at="settled_at")},
            "split takes known_at from the labels; leave it out there.",
        ),
        ({"window": DAY * 0}, "window must be positive, got 0:00:00."),
        ({"inputs": []}, "inputs must list features of the service, got []."),
        ({"inputs": ["amont"]}, "input 'amont' is no feature of service 'risk_v1', which has amount."),
        (
            {"model_gate": [AtLeast("roc_auc", 0.6), AtLeast("mae", 3)]},
            "model_gate and triggers mix metrics of classification and regression.",
        ),
        ({"model_gate": [Behaves(), Behaves()]}, "model_gate has more than one Behaves."),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_a_sentence(changed: dict[str, Any], fault: str) -> None:
    assert faults(**changed) == [fault]


def test_a_check_in_the_wrong_gate_is_refused() -> None:
    (fault,) = faults(data_gate=[AtLeast("roc_auc", 0.6)])
    assert fault.startswith("data_gate lists some of Contract, Volume, Freshness, NullRate, Drift; found [AtLeast(")


def test_the_label_has_a_name_of_its_own() -> None:
    clashing = LabelSource("amount", source=LOANS, label="paid < due", known_at="settled_at")
    assert faults(labels=clashing) == ["the label 'amount' has the name of another column; rename it."]


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (lambda: Volume(min_rows=0), "Volume: min_rows must be a whole number from 1 on, got 0."),
        (lambda: Volume(min_rows=True), "Volume: min_rows must be a whole number from 1 on, got True."),
        (lambda: NullRate(max_increase=1.5), "NullRate: max_increase must be a number from 0 to 1, got 1.5."),
        (Drift, "Drift: give a threshold for one of psi, js, ks, linf."),
        (lambda: Drift(psi=float("nan")), "Drift: psi must be a positive number, got nan."),
        (lambda: AtLeast("auc", 0.5), "AtLeast: there is no metric 'auc'. Metrics: "),
        (lambda: NoWorseThanChampion("mae", margin=-1), "NoWorseThanChampion: margin must be zero or more, got -1."),
        (lambda: Calibration(max_ece=2), "Calibration: max_ece must be a number from 0 to 1, got 2."),
        (
            lambda: Slices(by="carrier", metric="mae", min_rows=1, max_gap=1),
            "Slices: by must list columns, got 'carrier'.",
        ),
        (
            lambda: Fairness(group="sex", metric="accuracy", max_gap=0),
            "Fairness: max_gap must be a positive number, got 0.",
        ),
        (lambda: Schedule("3 o'clock"), "Schedule: \"3 o'clock\" is no cron expression of five fields, such as"),
        (lambda: Schedule("0 3 * * *", zone="Mars/Olympus"), "Schedule: there is no time zone 'Mars/Olympus'; write"),
        (lambda: NewData("spend", min_rows=-1), "NewData: min_rows must be a whole number from 1 on, got -1."),
        (
            lambda: Contract(dict),
            "Contract: model must be a pandera.polars DataFrameModel class, found <class 'dict'>.",
        ),
        (
            lambda: LabelSource("late", source=LOANS, label=" ", known_at="settled_at", keys="user"),
            "LabelSource 'late': label must be text that is not empty.",
        ),
    ],
)  # fmt: skip
def test_each_part_says_what_it_wants(make: Any, fault: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        make()
    assert str(caught.value.faults[0].message).startswith(fault)


PROJECT = """
from datetime import timedelta
from featurestore import *
from pipelines import AtLeast, LabelSource, TrainingPipeline

loans = FrameSource("loans", frame=[{"user": 1}], event_timestamp="asked_at")
user = Entity("user", join_keys={"user": Int64})
spend = FeatureView("spend", entities=[user], source=loans, features=[Feature("amount", Float64)])
risk_v1 = FeatureService("risk_v1", features=[spend])
labels = LabelSource("defaulted", source=loans, label="paid < due", known_at="settled_at")
split = TimeSplit(validation=timedelta(days=1), test=timedelta(days=1))

def make():
    return None

risk = TrainingPipeline("risk", service=risk_v1, labels=labels, estimator=make, split=split)
"""


def project(tmp_path: Path, text: str) -> Path:
    (tmp_path / "defs").mkdir()
    (tmp_path / "defs" / "risk.py").write_text(text, encoding="utf-8")
    return tmp_path


def test_pipelines_are_found_in_the_definition_files(tmp_path: Path) -> None:
    assert list(load_pipelines(project(tmp_path, PROJECT), "defs")) == ["risk"]


def test_a_pipeline_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="no training pipeline 'rusk'"):
        load_pipeline(project(tmp_path, PROJECT), "defs", "rusk")


def test_faults_name_the_file_and_the_line(tmp_path: Path) -> None:
    broken = PROJECT + 'worse = TrainingPipeline("a b", service=risk_v1, labels=labels, estimator=make, split=3)\n'
    with pytest.raises(DefinitionError) as caught:
        load_pipelines(project(tmp_path, broken), "defs")
    assert {(fault.file, fault.line) for fault in caught.value.faults} == {("defs/risk.py", 17)}
    assert len(caught.value.faults) == 2


def test_a_faulty_check_names_its_own_line(tmp_path: Path) -> None:
    broken = PROJECT + 'gate = [\n    AtLeast("roc", 0.5),\n]\n'
    with pytest.raises(DefinitionError) as caught:
        load_pipelines(project(tmp_path, broken), "defs")
    assert [(fault.file, fault.line) for fault in caught.value.faults] == [("defs/risk.py", 18)]


def test_a_name_stands_for_one_pipeline(tmp_path: Path) -> None:
    twice = PROJECT + 'other = TrainingPipeline("risk", service=risk_v1, labels=labels, estimator=make, split=split)\n'
    with pytest.raises(DefinitionError, match=r"'risk' is declared at defs/risk.py:16 too; rename one"):
        load_pipelines(project(tmp_path, twice), "defs")


TRIGGERED = PROJECT.replace(
    'risk = TrainingPipeline("risk", service=risk_v1, labels=labels',
    'asked = FeatureView("asked", entities=[user], source=loans, features=[Feature("sum", Float64)])\n'
    'risk = TrainingPipeline("risk", service=SERVICE, labels=LABELS, triggers=[TRIGGER]',
).replace("import AtLeast", "import NewData, AtLeast")
KNOWN = {"SERVICE": "risk_v1", "LABELS": "labels", "TRIGGER": 'NewData("spend", min_rows=1)'}
OTHER = "FrameSource('lones', frame=[{'user': 1}], event_timestamp='at')"
UNDECLARED: dict[str, tuple[dict[str, str], str]] = {
    "a trigger's view that is misspelt": (
        {"TRIGGER": 'NewData("spnd", min_rows=1)'},
        "NewData names 'spnd', which is no view. Name one that the service reads: spend.",
    ),
    "a trigger's view that the service does not read": (
        {"TRIGGER": 'NewData("asked", min_rows=1)'},
        "NewData names 'asked', which service 'risk_v1' does not read. Name one that the service reads: spend.",
    ),
    "a service without a name in the files": (
        {"SERVICE": 'FeatureService("risk_v2", features=[spend])'},
        "service 'risk_v2' is not declared. Give it a name of its own in a file of defs/; declared are risk_v1.",
    ),
    "a label source without a name in the files": (
        {"LABELS": f"LabelSource('defaulted', source={OTHER}, label='paid < due', known_at='settled_at')"},
        "source 'lones' of LabelSource 'defaulted' is not declared. Give it a name of its own in a file of defs/; "
        "declared are loans.",
    ),
}


@pytest.mark.parametrize("case", UNDECLARED)
def test_what_is_not_declared_is_refused_when_pipelines_are_loaded(tmp_path: Path, case: str) -> None:
    changed, fault = UNDECLARED[case]
    text = TRIGGERED
    for word, value in (KNOWN | changed).items():
        text = text.replace(word, value)
    with pytest.raises(DefinitionError) as caught:
        load_pipelines(project(tmp_path, text), "defs")
    assert [str(one) for one in caught.value.faults] == [f"defs/risk.py:17: TrainingPipeline 'risk': {fault}"]
    text = TRIGGERED
    for word, value in KNOWN.items():
        text = text.replace(word, value)
    (tmp_path / "defs" / "risk.py").write_text(text, encoding="utf-8")
    assert list(load_pipelines(tmp_path, "defs")) == ["risk"]


def test_labels_that_come_from_a_windowed_view_are_refused_with_what_to_declare(tmp_path: Path) -> None:
    text = PROJECT.replace("source=loans, label", "source=daily.as_source(), label").replace(
        "labels = ",
        'daily = FeatureView("daily", entities=[user], source=loans, every=timedelta(days=1), '
        'features=[Aggregation("*", "count", timedelta(days=1))])\nlabels = ',
    )
    with pytest.raises(DefinitionError, match="takes the steps of view 'daily', and labels come from a source"):
        load_pipelines(project(tmp_path, text), "defs")
