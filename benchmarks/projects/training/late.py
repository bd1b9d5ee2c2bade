"""The pipeline that the benchmark of training runs: will a flight from New York arrive late?"""

from __future__ import annotations

from datetime import timedelta

from sklearn.ensemble import HistGradientBoostingClassifier

from feature_defs.flights import flight_delay_v1, flights
from featurestore import TimeSplit
from pipelines import (
    AtLeast,
    Behaves,
    Calibration,
    DataDrift,
    Drift,
    Freshness,
    LabelSource,
    NewData,
    NoWorseThanChampion,
    NullRate,
    Schedule,
    Slices,
    TrainingPipeline,
    Volume,
)

WEATHER = ("temp", "humid", "wind_speed", "gust", "precip", "pressure", "visib")


def make_model() -> HistGradientBoostingClassifier:
    """A fast learner, whose fit does not count."""
    return HistGradientBoostingClassifier(random_state=0)


late_flight = TrainingPipeline(
    "late_flight",
    service=flight_delay_v1,
    labels=LabelSource("late", source=flights, label="arr_delay > 15", known_at="arrived_at", keys=["carrier"]),
    estimator=make_model,
    split=TimeSplit(validation=timedelta(days=14), test=timedelta(days=14), gap=timedelta(days=1)),
    inputs=[
        *(f"origin__{name}" for name in WEATHER),
        *("built", "seats", "leg_arr_delay", "leg_dep_delay", "carrier_arr_delay", "carrier_dep_delay"),
        *("route_arr_delay", "route_air_time"),
    ],
    data_gate=[
        Volume(min_rows=50_000, max_change=0.5),
        Freshness(timedelta(days=3)),
        NullRate(max_increase=0.2),
        Drift(psi=5.0),
    ],
    model_gate=[
        AtLeast("roc_auc", 0.6),
        NoWorseThanChampion("roc_auc", margin=0.05),
        Slices(by=["carrier"], metric="roc_auc", min_rows=500, max_gap=0.4),
        Calibration(max_ece=0.3),
        Behaves(latency_ms=None),
    ],
    triggers=[
        Schedule("0 3 1 * *", zone="America/New_York"),
        NewData("carrier_last_landing", min_rows=20_000),
        DataDrift(window=timedelta(days=7)),
    ],
)
