"""How often triggers may start runs, and what follows a run that did not end well."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from datetime import timedelta

from featurestore.definitions.faults import Faults
from pipelines.definition.checks import whole


@dataclass(frozen=True, slots=True)
class RunPolicy:
    """Limits for the runs that triggers start; a run by hand knows none of them.

    A run waits `debounce` for other triggers to join it, and no trigger starts one within `cool_down` of the end of the
    last. A run that may not start, because features are late, is given up after `expires_after`. A run that failed is
    tried again after `retry_after`, twice as long after each further failure, at most `retry_at_most`. After
    `max_failures` runs in a row that did not end well triggers start none, and a person is called.
    """

    _: KW_ONLY
    debounce: timedelta = timedelta(0)
    cool_down: timedelta = timedelta(0)
    expires_after: timedelta = timedelta(days=1)
    retry_after: timedelta = timedelta(minutes=5)
    retry_at_most: timedelta = timedelta(hours=6)
    max_failures: int = 5

    def __post_init__(self) -> None:
        faults = Faults("RunPolicy")
        for what in ("debounce", "cool_down"):
            faults.duration(getattr(self, what), what, zero=True)
        for what in ("expires_after", "retry_after", "retry_at_most"):
            faults.duration(getattr(self, what), what)
        whole(faults, self.max_failures, "max_failures", least=1)
        faults.done()

    def pause(self, failures: int) -> timedelta:
        """How long to wait after so many failures in a row, one or more."""
        times = 2 ** min(failures - 1, 40)
        return self.retry_after * times if self.retry_after <= self.retry_at_most / times else self.retry_at_most


DEFAULT_POLICY = RunPolicy()
