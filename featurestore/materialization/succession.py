"""A version of a view beside the one that serves: what it holds less."""

from __future__ import annotations

from dataclasses import dataclass

from featurestore.offline.tables import Snapshot
from featurestore.plan.catalog import ViewRecord
from featurestore.timeline import format_instant


@dataclass(frozen=True, slots=True)
class Succession:
    """A version of a view that would take the place of the one that serves; `forced`: though it holds less."""

    record: ViewRecord
    version: int
    before: ViewRecord
    served: int
    forced: bool = False

    def shortfall(self, before: Snapshot, after: Snapshot) -> str | None:
        """What the table of the version has of its source less than that of the one that serves; None when nothing."""
        if self.forced:
            return None
        if before.watermark_us is not None:
            if after.watermark_us is None:
                return "nothing of its source is materialized; run `featurestore materialize`"
            if after.start_us is not None and (before.start_us is None or before.start_us < after.start_us):
                since = "the beginning" if before.start_us is None else format_instant(before.start_us)
                return (
                    f"its history begins at {format_instant(after.start_us)}, and that of v{self.served} at {since}; "
                    "materialize what is missing, or `featurestore switch` it"
                )
            if after.watermark_us < before.watermark_us:
                reached = format_instant(before.watermark_us)
                return (
                    f"it stands at {format_instant(after.watermark_us)}, and v{self.served} at {reached}; run "
                    "`featurestore materialize`"
                )
        if before.rows and not after.rows:
            return (
                f"it has no rows, and v{self.served} has {before.rows:,}; check its source, or `featurestore switch` it"
            )
        return None
