"""What starts a run, beside a person."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from datetime import timedelta

from featurestore.cron import cron_faults
from featurestore.definitions.faults import Faults
from pipelines.definition.checks import is_number, metric, positive, whole


@dataclass(frozen=True, slots=True)
class Schedule:
    """At the times of a cron expression of five fields, by the clocks of a zone; missed times start one run.

    When clocks go forward a time that is skipped is due at the change; when they go back it is due once.
    """

    cron: str
    _: KW_ONLY
    zone: str = "UTC"

    def __post_init__(self) -> None:
        faults = Faults("Schedule")
        for fault in cron_faults(self.cron, self.zone):
            faults.add(fault)
        faults.done()


@dataclass(frozen=True, slots=True)
class NewData:
    """When a view has committed `min_rows` rows since the data of the last run that trained."""

    view: str
    _: KW_ONLY
    min_rows: int

    def __post_init__(self) -> None:
        faults = Faults("NewData")
        faults.name(self.view, "view")
        whole(faults, self.min_rows, "min_rows", least=1)
        faults.done()


@dataclass(frozen=True, slots=True)
class DataDrift:
    """When the features of the last `window` have drifted from the champion's training data.

    The distances and thresholds are those of the pipeline's `Drift` check; without one, a `psi` above 0.2 is drift.
    """

    _: KW_ONLY
    window: timedelta
    psi: float = 0.2
    min_rows: int = 500

    def __post_init__(self) -> None:
        faults = Faults("DataDrift")
        faults.duration(self.window, "window")
        positive(faults, self.psi, "psi")
        whole(faults, self.min_rows, "min_rows", least=1)
        faults.done()


@dataclass(frozen=True, slots=True)
class PerformanceDrop:
    """When the champion's live metric was worse than `below` in each of the last `windows` judged windows.

    A window is `window` long and judged `label_delay` after its end at the earliest, once `min_coverage` of its
    predictions and at least `min_rows` have a label.
    For a metric where less is better, worse is above.
    """

    metric: str
    _: KW_ONLY
    below: float
    windows: int = 1
    window: timedelta = timedelta(days=1)
    min_coverage: float = 0.8
    min_rows: int = 100
    label_delay: timedelta = timedelta(0)

    def __post_init__(self) -> None:
        faults = Faults("PerformanceDrop")
        metric(faults, self.metric)
        faults.add_if(not is_number(self.below), f"below must be a number, got {self.below!r}.")
        whole(faults, self.windows, "windows", least=1)
        whole(faults, self.min_rows, "min_rows", least=1)
        faults.duration(self.window, "window")
        faults.duration(self.label_delay, "label_delay", zero=True)
        faults.done()


Trigger = Schedule | NewData | DataDrift | PerformanceDrop
