"""Three views of ten features of one entity, and two pipelines that learn from all thirty: trees, and a line."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from featurestore import Entity, Feature, FeatureService, FeatureView, Float64, Int64, ParquetSource, TimeSplit
from pipelines import AtLeast, Behaves, LabelSource, TrainingPipeline, Volume

customer = Entity("customer", join_keys={"key": Int64})


def _view(name: str) -> FeatureView:
    source = ParquetSource(name, path=f"../inputs/{name}.parquet", event_timestamp="event_timestamp")
    features = [Feature(f"{name}_f{i}", Float64) for i in range(10)]
    return FeatureView(name, entities=[customer], source=source, features=features, ttl=timedelta(days=36_500))


account = _view("account")
device = _view("device")
payment = _view("payment")
all_v1 = FeatureService("all_v1", features=[account, device, payment])
labels = ParquetSource("labels", path="../inputs/labels.parquet", event_timestamp="asked_at")


def make_trees() -> HistGradientBoostingClassifier:
    """A hundred small trees."""
    return HistGradientBoostingClassifier(random_state=0)


def make_line() -> LogisticRegression:
    """About the fastest model there is."""
    return LogisticRegression()


def _pipeline(name: str, estimator: Callable[[], object]) -> TrainingPipeline:
    return TrainingPipeline(
        name,
        service=all_v1,
        labels=LabelSource("good", source=labels, label="good", known_at="known_at"),
        estimator=estimator,
        split=TimeSplit(validation=timedelta(days=2), test=timedelta(days=5)),
        data_gate=[Volume(min_rows=500)],
        model_gate=[AtLeast("roc_auc", 0.6), Behaves(latency_ms=None)],
    )


trees = _pipeline("trees", make_trees)
line = _pipeline("line", make_line)
