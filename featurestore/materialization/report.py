"""What a materialization did, and what it tells while it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from featurestore.errors import FeatureStoreError, GateRefused
from featurestore.registry.base import Move
from featurestore.timeline import format_instant


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
class ViewReport:
    """What happened to one version of a view. `published` counts online records written; `error` says what stopped it.

    `view` names the version (`last@2`) when several of the view ran.
    """

    view: str
    chunks: tuple[ChunkReport, ...]
    watermark_us: int | None
    published: int
    seconds: float
    error: FeatureStoreError | None = None
    version: int = 1
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """Rows committed, over all chunks."""
        return sum(chunk.rows for chunk in self.chunks)

    @property
    def dropped(self) -> int:
        """Rows left out by the contract, over all chunks."""
        return sum(chunk.dropped for chunk in self.chunks)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a person should know: nothing to do, no rows in the interval, rows dropped, an error."""
        remarks = [*(chunk.verdict for chunk in self.chunks if chunk.dropped), *self.notes]
        if self.error is not None:
            return (*remarks, str(self.error))
        if not self.chunks:
            until = "" if self.watermark_us is None else f" up to {format_instant(self.watermark_us)}"
            return (*remarks, f"nothing to do: committed{until} already")
        if not self.rows:
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
