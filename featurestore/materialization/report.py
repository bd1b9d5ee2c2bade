"""What a materialization did, and what it tells while it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from featurestore.errors import FeatureStoreError, GateRefused
from featurestore.registry.base import Move
from featurestore.timeline import format_instant, rough_duration


@dataclass(frozen=True, slots=True)
class ChunkReport:
    """One commit: its interval (`start_us` None: from the beginning), rows committed, rows dropped by the contract."""

    start_us: int | None
    end_us: int
    rows: int
    dropped: int
    table_version: int
    verdict: str


@dataclass(frozen=True, slots=True)
class LateReport:
    """Rows that the source had not had when their interval was committed, or has no more.

    `rows` were committed, `removed` are gone from within the lookback, `dropped` were left out by the contract. How
    late the rows were is how far they lie before the watermark: the least, the median and the greatest in microseconds,
    None without rows.
    """

    rows: int
    removed: int = 0
    dropped: int = 0
    least_us: int | None = None
    median_us: int | None = None
    greatest_us: int | None = None

    def __str__(self) -> str:
        parts = []
        if self.least_us is not None and self.median_us is not None and self.greatest_us is not None:
            least, median, most = map(rough_duration, (self.least_us, self.median_us, self.greatest_us))
            parts.append(f"{self.rows:,} rows were late, {least} to {most} before the watermark (median {median})")
        if self.removed:
            parts.append(f"{self.removed:,} rows are gone from the source")
        return "; ".join(parts)


@dataclass(frozen=True, slots=True)
class ViewReport:
    """What happened to one version of a view. `published` counts online records written; `error` says what stopped it.

    `late` says what came late, None when nothing did. `pushed` counts rows taken from the push log: pushed before the
    version was made, or while it stood still. `view` names the version (`last@2`) when several of the view ran.
    """

    view: str
    chunks: tuple[ChunkReport, ...]
    watermark_us: int | None
    published: int
    seconds: float
    error: FeatureStoreError | None = None
    version: int = 1
    notes: tuple[str, ...] = ()
    late: LateReport | None = None
    pushed: int = 0

    @property
    def rows(self) -> int:
        """Rows committed, over all chunks, and those that were late."""
        return sum(chunk.rows for chunk in self.chunks) + (self.late.rows if self.late else 0)

    @property
    def dropped(self) -> int:
        """Rows left out by the contract, over all chunks and of those that were late."""
        return sum(chunk.dropped for chunk in self.chunks) + (self.late.dropped if self.late else 0)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a person should know: nothing to do, no rows in the interval, rows late or dropped, an error."""
        late = [str(self.late)] if self.late and str(self.late) else []
        pushed = [f"{self.pushed:,} rows that were pushed before were taken in"] if self.pushed else []
        remarks = [*pushed, *late, *(chunk.verdict for chunk in self.chunks if chunk.dropped), *self.notes]
        if self.error is not None:
            return (*remarks, str(self.error))
        if not self.chunks:
            until = "" if self.watermark_us is None else f" up to {format_instant(self.watermark_us)}"
            return (*remarks, f"nothing to do: committed{until} already")
        if not (self.rows or self.pushed):
            return (*remarks, "0 rows: the source has none in this interval")
        return tuple(remarks)


@dataclass(frozen=True, slots=True)
class MaterializationReport:
    """One report per version of a view, in the order they ran, and what serves in another form since.

    `failure` is what kept built versions from being counted and switched.
    """

    views: tuple[ViewReport, ...]
    moves: tuple[Move, ...] = ()
    failure: FeatureStoreError | None = None

    @property
    def rows(self) -> int:
        """Rows committed, over all views."""
        return sum(view.rows for view in self.views)

    @property
    def error(self) -> FeatureStoreError | None:
        """What stopped a view, a gate's refusal first; None when nothing did."""
        errors = [error for error in (*(view.error for view in self.views), self.failure) if error is not None]
        return next((error for error in errors if isinstance(error, GateRefused)), errors[0] if errors else None)


@dataclass(frozen=True, slots=True)
class Step:
    """Progress of one view: `done` of `total` chunks are committed; `stage` is what happens now."""

    view: str
    stage: str
    done: int
    total: int
    rows: int = 0


Progress = Callable[[Step], None]


@dataclass(frozen=True, slots=True)
class PushedView:
    """What a push did to one view.

    `rows` were committed, `repeated` had been pushed before, `dropped` were left out by the contract; `published`
    counts online records written. `table_version` is None while nothing was ever committed.
    """

    view: str
    version: int
    rows: int
    repeated: int
    dropped: int
    published: int
    table_version: int | None


@dataclass(frozen=True, slots=True)
class PushReport:
    """One entry for each table that was reached, and the views that were not, each with the reason."""

    views: tuple[PushedView, ...]
    skipped: tuple[tuple[str, str], ...] = ()

    @property
    def rows(self) -> int:
        """Rows committed, over all views."""
        return sum(view.rows for view in self.views)


def push_document(report: PushReport) -> dict[str, object]:
    """The report as JSON."""
    return {
        "views": [
            {
                "view": view.view,
                "version": view.version,
                "rows": view.rows,
                "repeated": view.repeated,
                "dropped": view.dropped,
                "published": view.published,
                "table_version": view.table_version,
            }
            for view in report.views
        ],
        "skipped": [{"view": view, "reason": reason} for view, reason in report.skipped],
    }
