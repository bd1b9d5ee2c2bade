"""What training data must pass before a model is fitted on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from datetime import timedelta
from typing import Literal

from featurestore.definitions.faults import Faults
from pipelines.definition.checks import fraction, positive, whole

OnDrift = Literal["retrain", "fail"]
DISTANCES = ("psi", "js", "ks", "linf")


@dataclass(frozen=True, slots=True)
class Contract:
    """The training frame satisfies a pandera.polars DataFrameModel; a row that does not refuses the data."""

    model: type

    def __post_init__(self) -> None:
        faults = Faults("Contract")
        faults.add_if(
            not hasattr(self.model, "to_schema"),
            f"model must be a pandera.polars DataFrameModel class, found {self.model!r}.",
        )
        faults.done()


@dataclass(frozen=True, slots=True)
class Volume:
    """At least `min_rows` rows; and beside the data of the last accepted run no change in rows above `max_change`.

    `max_change` is a share of the earlier number (0.5: between half and one and a half times as many); None: any.
    The change is judged on rows per day, so that a training set that grows with time is no change; of all rows, and of
    those that are new since, when they span a day or more.
    """

    _: KW_ONLY
    min_rows: int
    max_change: float | None = None

    def __post_init__(self) -> None:
        faults = Faults("Volume")
        whole(faults, self.min_rows, "min_rows", least=1)
        if self.max_change is not None:
            positive(faults, self.max_change, "max_change")
        faults.done()


@dataclass(frozen=True, slots=True)
class Freshness:
    """At the run's instant the newest label is at most `max_age` old, and so is each view's watermark."""

    max_age: timedelta

    def __post_init__(self) -> None:
        faults = Faults("Freshness")
        faults.duration(self.max_age, "max_age")
        faults.done()


@dataclass(frozen=True, slots=True)
class NullRate:
    """No column's share of nulls grew by more than `max_increase` beside the data of the last accepted run.

    NaN counts as null. Judged over all rows, and over those that are new since, when they are 100 or more. `columns`
    None: every input column.
    """

    _: KW_ONLY
    max_increase: float
    columns: Sequence[str] | None = None

    def __post_init__(self) -> None:
        faults = Faults("NullRate")
        fraction(faults, self.max_increase, "max_increase")
        faults.done()


@dataclass(frozen=True, slots=True)
class Drift:
    """How far each column's distribution moved from that of the data that the champion was trained on.

    Thresholds, at least one: `psi` (population stability index), `js` (Jensen-Shannon distance, base 2), `ks`
    (Kolmogorov-Smirnov; not of texts), `linf` (largest change of a bin's share); all over frozen bins. Fewer than
    `min_rows` rows on either side are INCONCLUSIVE, and so is a distance that chance could give at that size.
    `on_drift`: "retrain" lets drifted data train (PASS_DRIFTED), "fail" refuses it. `columns` None: inputs and label.
    """

    _: KW_ONLY
    psi: float | None = None
    js: float | None = None
    ks: float | None = None
    linf: float | None = None
    on_drift: OnDrift = "retrain"
    columns: Sequence[str] | None = None
    min_rows: int = 500

    def __post_init__(self) -> None:
        faults = Faults("Drift")
        given = self.thresholds
        faults.add_if(not given, f"give a threshold for one of {', '.join(DISTANCES)}.")
        for name, threshold in given.items():
            positive(faults, threshold, name)
        faults.add_if(self.on_drift not in ("retrain", "fail"), 'on_drift must be "retrain" or "fail".')
        whole(faults, self.min_rows, "min_rows", least=1)
        faults.done()

    @property
    def thresholds(self) -> dict[str, float]:
        """The thresholds that are set, by distance."""
        return {name: value for name in DISTANCES if (value := getattr(self, name)) is not None}


DataCheck = Contract | Volume | Freshness | NullRate | Drift
