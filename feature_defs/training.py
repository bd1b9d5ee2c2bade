"""The model that says whether a flight will be late, kept good: `late_flight` learns from what `flights.py` serves."""

from __future__ import annotations

from datetime import timedelta

from feature_defs.flights import flights
from feature_defs.flights_windows import flight_delay_v2
from featurestore import TimeSplit
from pipelines import (
    AtLeast,
    Behaves,
    Calibration,
    Drift,
    LabelSource,
    NewData,
    NoWorseThanChampion,
    NullRate,
    Slices,
    TrainingPipeline,
    Volume,
)


def make_model() -> object:
    """Gradient-boosted trees."""
    from sklearn.ensemble import HistGradientBoostingClassifier  # here, so that no other command waits for it

    return HistGradientBoostingClassifier(max_iter=40, early_stopping=False, random_state=0)


late_flight = TrainingPipeline(
    "late_flight",
    service=flight_delay_v2,
    labels=LabelSource(
        "late",
        source=flights,
        label="arr_delay > 15",
        known_at="arrived_at",
        where="hash(flight_id) % 10 = 0",  # one flight in ten shows how it goes, in seconds
    ),
    estimator=make_model,
    split=TimeSplit(validation=timedelta(days=7), test=timedelta(days=21), gap=timedelta(days=1)),
    data_gate=[Volume(min_rows=10_000, max_change=0.5), NullRate(max_increase=0.15), Drift(psi=0.2)],
    model_gate=[
        AtLeast("roc_auc", 0.65),
        NoWorseThanChampion("roc_auc", margin=0.02),
        Slices(by=["origin"], metric="roc_auc", min_rows=300, max_gap=0.1),
        Calibration(max_ece=0.1),
        Behaves(golden_requests=20, latency_ms=None),
    ],
    triggers=[NewData("carrier_last_landing", min_rows=2_000)],
    owner="delay team",
    description="Will a flight arrive more than 15 minutes late? Asked at its scheduled departure.",
)
