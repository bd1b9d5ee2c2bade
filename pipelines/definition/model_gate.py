"""What a model must pass before it may take the champion's place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

from featurestore.definitions.faults import Faults
from pipelines.definition.checks import fraction, is_number, metric, positive, whole


@dataclass(frozen=True, slots=True)
class AtLeast:
    """The metric on the test rows is `bound` or better (for a metric where less is better: at most `bound`)."""

    metric: str
    bound: float

    def __post_init__(self) -> None:
        faults = Faults("AtLeast")
        metric(faults, self.metric)
        faults.add_if(not is_number(self.bound), f"bound must be a number, got {self.bound!r}.")
        faults.done()


@dataclass(frozen=True, slots=True)
class NoWorseThanChampion:
    """On the same frozen test rows the model is no worse than the champion by more than `margin`.

    Judged by a paired bootstrap over the rows: the lower bound of the difference at `confidence` is -margin or more.
    When the difference is, and its lower bound is not, the rows are too few to tell (INCONCLUSIVE). Without a champion
    there is nothing to compare, and the check passes.
    """

    metric: str
    _: KW_ONLY
    margin: float
    confidence: float = 0.95
    samples: int = 200

    def __post_init__(self) -> None:
        faults = Faults("NoWorseThanChampion")
        metric(faults, self.metric)
        faults.add_if(
            not is_number(self.margin) or self.margin < 0, f"margin must be zero or more, got {self.margin!r}."
        )
        fraction(faults, self.confidence, "confidence")
        whole(faults, self.samples, "samples", least=50)
        faults.done()


@dataclass(frozen=True, slots=True)
class Slices:
    """No slice (each value of each column of `by`) is worse than all rows together by more than `max_gap`.

    A slice with fewer than `min_rows` test rows, or with one class only, is left out; a slice that the champion's data
    had and that is left out now is INCONCLUSIVE.
    """

    _: KW_ONLY
    by: Sequence[str]
    metric: str
    min_rows: int
    max_gap: float

    def __post_init__(self) -> None:
        faults = Faults("Slices")
        faults.add_if(isinstance(self.by, str) or not self.by, f"by must list columns, got {self.by!r}.")
        metric(faults, self.metric)
        whole(faults, self.min_rows, "min_rows", least=1)
        positive(faults, self.max_gap, "max_gap")
        faults.done()


@dataclass(frozen=True, slots=True)
class Fairness:
    """Between any two groups (values of `group`) the metric differs by at most `max_gap`.

    A group with fewer than `min_rows` test rows, or with one class only, is left out; fewer than two others, or one
    that the champion was judged on among those left out, are INCONCLUSIVE.
    """

    _: KW_ONLY
    group: str
    metric: str
    max_gap: float
    min_rows: int = 100

    def __post_init__(self) -> None:
        faults = Faults("Fairness")
        metric(faults, self.metric)
        positive(faults, self.max_gap, "max_gap")
        whole(faults, self.min_rows, "min_rows", least=1)
        faults.done()


@dataclass(frozen=True, slots=True)
class Calibration:
    """The expected calibration error over `bins` bins of equal size is at most `max_ece`.

    INCONCLUSIVE when the rows are so few that a calibrated model would not be expected to pass.
    """

    _: KW_ONLY
    max_ece: float
    bins: int = 10

    def __post_init__(self) -> None:
        faults = Faults("Calibration")
        fraction(faults, self.max_ece, "max_ece")
        whole(faults, self.bins, "bins", least=2)
        faults.done()


@dataclass(frozen=True, slots=True)
class Behaves:
    """The stored model, served by the real server in a process of its own, gives the training-time predictions.

    `golden_requests` test rows are asked; predictions may differ by `tolerance`; the median request takes at most
    `latency_ms`, the server's resident memory at most `memory_mb` (None: any).
    """

    _: KW_ONLY
    golden_requests: int = 50
    tolerance: float = 1e-9
    latency_ms: float | None = 50.0
    memory_mb: float | None = None

    def __post_init__(self) -> None:
        faults = Faults("Behaves")
        whole(faults, self.golden_requests, "golden_requests", least=1)
        faults.add_if(not is_number(self.tolerance) or self.tolerance < 0, "tolerance must be zero or more.")
        for what in ("latency_ms", "memory_mb"):
            if getattr(self, what) is not None:
                positive(faults, getattr(self, what), what)
        faults.done()


ModelCheck = AtLeast | NoWorseThanChampion | Slices | Fairness | Calibration | Behaves
