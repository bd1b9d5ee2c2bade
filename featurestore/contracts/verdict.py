"""What a gate says of a chunk."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pyarrow as pa

Policy = Literal["refuse", "drop"]

REASONS = "__reasons"  # list<string>, beside the refused rows
_SHOWN_REASONS = 5


class Outcome(StrEnum):
    """PASSED: every row is accepted. DROPPED: the failing rows are left out. REFUSED: no row is accepted."""

    PASSED = "passed"
    DROPPED = "dropped"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Occasion:
    """Where a chunk is to be published: a table, and the half-open interval of event time it fills.

    None where the interval has no such end; a push and a timeless view have neither.
    """

    table: str
    start_us: int | None = None
    end_us: int | None = None


@dataclass(frozen=True, slots=True)
class Reason:
    """A check that failed. `column` is None when it concerns the row or the chunk as a whole.

    `count` rows fail it; zero when it points at no row. `example` is the value found in the first of them, or
    what was found of the chunk. Only `row_wise` reasons let the other rows pass when the policy drops rows.
    `waivable`: a person may let it through (`Quarantine.release`); the types, keys and times of a view never.
    """

    check: str
    column: str | None
    count: int
    example: str | None = None
    row_wise: bool = True
    waivable: bool = True

    @property
    def name(self) -> str:
        """The column and the check, as in `temp: greater_than_or_equal_to(0)`."""
        return reason_name(self.column, self.check)

    def __str__(self) -> str:
        notes = [f"{self.count} {'row' if self.count == 1 else 'rows'}"] if self.count else []
        if self.example is not None:
            notes.append(f"found {self.example}")
        return f"{self.name} ({', '.join(notes)})" if notes else self.name


@dataclass(frozen=True, slots=True)
class LetThrough:
    """What one waiver let through: `rows` that fail, and `checks` of the chunk that fail."""

    entry: str
    actor: str
    rows: int
    checks: tuple[str, ...] = ()

    def __str__(self) -> str:
        what = [f"{self.rows} {'row' if self.rows == 1 else 'rows'}"] if self.rows else []
        return f"{' and '.join([*what, *self.checks])} let through by {self.actor} (release of {self.entry})"


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """What a gate says of one chunk.

    `rows` were judged and `refused_rows` of them have a reason of their own; a refused chunk holds the others
    back with them. `accepted` holds the rows to publish in the chunk's order and columns, none when refused;
    `refused` holds the rows with a reason, in the same columns and `__reasons`. `chunk` is the digest of the
    judged rows, set when a chunk of an open interval is refused as a whole. `contract` is the contract's digest.
    """

    view: str
    occasion: Occasion
    policy: Policy
    contract: str | None
    outcome: Outcome
    rows: int
    refused_rows: int
    reasons: tuple[Reason, ...]
    accepted: pa.Table
    refused: pa.Table
    let_through: tuple[LetThrough, ...] = ()
    chunk: str | None = None

    @property
    def summary(self) -> str:
        """The verdict in one sentence, with counts."""
        match self.outcome:
            case Outcome.PASSED:
                said = f"all {self.rows} rows passed"
            case Outcome.DROPPED:
                said = f"{self.refused_rows} of {self.rows} rows dropped: {self._reasons()}"
            case Outcome.REFUSED:
                rows = "1 row" if self.rows == 1 else f"{self.rows:,} rows"
                said = f"chunk of {rows} refused, {self.refused_rows:,} of them failing: {self._reasons()}"
        return f"View '{self.view}': {'; '.join([said, *map(str, self.let_through)])}."

    def _reasons(self) -> str:
        more = len(self.reasons) - _SHOWN_REASONS
        shown = "; ".join(str(reason) for reason in self.reasons[:_SHOWN_REASONS])
        return f"{shown}; and {more} more reasons" if more > 0 else shown


def reason_name(column: str | None, check: str) -> str:
    """The column and the check, as people and waivers name them."""
    return check if column is None else f"{column}: {check}"
