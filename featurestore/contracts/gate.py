"""The gate before every publish: a chunk of a view's rows in, a verdict out.

What a gate decides:

- Row-wise failures (nulls, built-in checks, custom checks that answer per row) follow the view's policy: `refuse`
  refuses the chunk, `drop` leaves the failing rows out.
- Everything else always refuses the chunk: missing columns, types, checks with one answer for the chunk, and
  uniqueness, for whether a row is a duplicate depends on the others. The rows of duplicates are pointed at.
- A custom check is believed to be row-wise only as long as it says the same of the dropped rows alone, and nothing
  of the rows that remain: what is accepted passes the contract by itself.
- NaN counts as null for `nullable=False`, and satisfies no built-in comparison.
- A marker, a row that only cancels another, must have its keys, its event time and the declared types. No contract
  looks at it: neither at its values, which may be null, nor beside other rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from featurestore.contracts.declared import Shape, row_failures, structure_failures
from featurestore.contracts.failures import Failure, Mask, failing_rows, merge, row_reasons, to_reasons
from featurestore.contracts.verdict import REASONS, LetThrough, Occasion, Outcome, Policy, Verdict
from featurestore.contracts.waiver import Pardon, Waiver, chunk_digest, pardon
from featurestore.errors import GateRefused
from featurestore.plan.nodes import CREATED_TIMESTAMP, DELETED, EVENT_TIMESTAMP, SEQUENCE, Column, SourceRows

if TYPE_CHECKING:
    from featurestore.contracts.model import ContractModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Judges chunks of one view: canonical columns as `ExtractPlan` gives them.

    `keys` and `columns` are what the view declares; a chunk may carry source columns beside them. The contract sees
    keys, times under the source's own names (`event_timestamp` None: timeless), source columns and computed columns;
    a column of the view hides a time of the same name. `marked`: rows may be markers. Raises InputError when the
    contract cannot stand as one.
    """

    view: str
    keys: tuple[Column, ...]
    columns: tuple[Column, ...]
    event_timestamp: str | None
    created_timestamp: str | None = None
    marked: bool = False
    contract: ContractModel | None = None
    policy: Policy = "refuse"

    def __post_init__(self) -> None:
        if self.contract is not None:
            from featurestore.contracts.inspection import inspect_contract

            inspect_contract(self.contract)

    @classmethod
    def of(cls, rows: SourceRows, contract: ContractModel | None = None, policy: Policy = "refuse") -> Gate:
        """The gate for the rows that a plan extracts."""
        return cls(
            view=rows.view,
            keys=tuple(Column(key.name, key.dtype) for key in rows.keys),
            columns=tuple(Column(column.name, column.dtype) for column in rows.columns),
            event_timestamp=rows.event_timestamp,
            created_timestamp=rows.created_timestamp,
            marked=rows.deleted is not None,
            contract=contract,
            policy=policy,
        )

    def check(self, chunk: pa.Table, occasion: Occasion | None = None, waivers: Sequence[Waiver] = ()) -> Verdict:
        """The verdict on a chunk; `waivers` are those of `Quarantine.waivers` for this view.

        Raises GateRefused when there can be no verdict: validation is switched off, the contract lets a deliberately
        broken chunk pass, or it changes what it checks.
        """
        occasion = occasion or Occasion(self.view)
        failures = structure_failures(chunk, self._shape)
        if not failures:
            self._prove_declared(chunk.schema)
            names = self._time_names(chunk)
            own = [replace(f, column=names.get(f.column or "", f.column)) for f in row_failures(chunk, self._shape)]
            failures = merge([*own, *self._contract_failures(chunk, prove=True)])
        digest = self._contract_digest()
        valid = [w for w in waivers if w.view == self.view and w.contract == digest]
        pardoned = pardon(chunk, failures, occasion, valid)
        remaining = pardoned.remaining(failures)
        if self.policy == "drop" and all(failure.row_wise for failure in remaining):
            remaining, unsettled = self._without_dropped(chunk, remaining, pardoned)
            settled = pardon(chunk, unsettled, occasion, valid)
            remaining = (*remaining, *settled.remaining(unsettled))
            pardoned = replace(pardoned, by=(*pardoned.by, *settled.by))
        return self._verdict(chunk, occasion, remaining, pardoned.by)

    @property
    def _shape(self) -> Shape:
        return Shape(self.keys, self.columns, timeless=self.event_timestamp is None, marked=self.marked)

    def _contract_digest(self) -> str | None:
        if self.contract is None:
            return None
        from featurestore.contracts.digest import contract_digest

        return contract_digest(self.contract)

    def _prove_declared(self, schema: pa.Schema) -> None:
        """Raise GateRefused unless a row of nulls, and a chunk without a declared column, are refused."""
        shape = self._shape
        nulls = pa.table({field.name: pa.nulls(1, field.type) for field in schema}, schema=schema)
        missed = set(shape.never_null) - {failure.column for failure in row_failures(nulls, shape)}
        for column in shape.declared[:1]:
            if not structure_failures(nulls.drop_columns([column.name]), shape):
                missed.add(column.name)
        if missed:
            raise GateRefused(
                f"View '{self.view}': the gate let a deliberately broken chunk pass ({', '.join(sorted(missed))}); "
                "a gate that cannot refuse has no verdict."
            )

    def _contract_failures(self, chunk: pa.Table, prove: bool = False) -> tuple[Failure, ...]:
        if self.contract is None:
            return ()
        from featurestore.contracts.model import (
            contract_failures,
            contract_schema,
            prove_refusal,
            require_validation,
        )

        require_validation()
        judged = ~pc.fill_null(chunk.column(DELETED), False).to_numpy() if self.marked else None
        schema = contract_schema(self.contract)
        frame = self._natural(chunk if judged is None else chunk.filter(pa.array(judged)))
        if prove:
            prove_refusal(schema, frame)
        failures = contract_failures(schema, frame)
        return failures if judged is None else tuple(_among(judged, failure) for failure in failures)

    def _natural(self, chunk: pa.Table) -> pl.DataFrame:
        """The chunk as a contract sees it: times under the source's names, no ingestion order."""
        names = self._time_names(chunk)
        hidden = {EVENT_TIMESTAMP, CREATED_TIMESTAMP, SEQUENCE, DELETED} - names.keys()
        return pl.DataFrame(chunk.select([c for c in chunk.column_names if c not in hidden])).rename(names)

    def _time_names(self, chunk: pa.Table) -> dict[str, str]:
        """What the chunk's times are called by the source, without those that a column of the view hides."""
        names = ((EVENT_TIMESTAMP, self.event_timestamp), (CREATED_TIMESTAMP, self.created_timestamp))
        present = chunk.column_names
        return {column: name for column, name in names if name and column in present and name not in present}

    def _without_dropped(
        self, chunk: pa.Table, failures: tuple[Failure, ...], pardoned: Pardon
    ) -> tuple[tuple[Failure, ...], tuple[Failure, ...]]:
        """What becomes of the failures when the failing rows are judged alone, and in what the other rows then fail.

        A check that says otherwise of the rows alone depends on other rows: it is no longer row-wise.
        """
        dropped = failing_rows(failures, chunk.num_rows)
        if self.contract is None or not dropped.any():
            return failures, ()
        alone = {f.name: f.rows for f in self._contract_failures(chunk.filter(pa.array(dropped)))}
        others = Pardon(pardoned.rows[~dropped], pardoned.checks)
        left = others.remaining(self._contract_failures(chunk.filter(pa.array(~dropped))))
        return (
            tuple(_believed(failure, alone.get(failure.name), dropped) for failure in failures),
            tuple(replace(f, check=f"{f.check}, once rows are dropped", rows=None, row_wise=False) for f in left),
        )

    def _verdict(
        self, chunk: pa.Table, occasion: Occasion, failures: tuple[Failure, ...], by: tuple[LetThrough, ...]
    ) -> Verdict:
        refused = failing_rows(failures, chunk.num_rows)
        outcome, accepted, whole = Outcome.PASSED, chunk, None
        if failures and self.policy == "drop" and all(failure.row_wise for failure in failures):
            outcome, accepted = Outcome.DROPPED, chunk.filter(pa.array(~refused))
        elif failures:
            outcome, accepted = Outcome.REFUSED, chunk.slice(0, 0)
            open_ended = occasion.start_us is None or occasion.end_us is None
            if open_ended and any(failure.waivable and not failure.row_wise for failure in failures):
                whole = chunk_digest(chunk, content_columns(chunk))
        frame = self._natural(chunk)
        reasons = row_reasons(failures, frame, refused).to_arrow().cast(pa.list_(pa.string()))
        return Verdict(
            view=self.view,
            occasion=occasion,
            policy=self.policy,
            contract=self._contract_digest(),
            outcome=outcome,
            rows=chunk.num_rows,
            refused_rows=int(refused.sum()),
            reasons=to_reasons(failures, frame),
            accepted=accepted,
            refused=chunk.filter(pa.array(refused)).append_column(REASONS, reasons),
            let_through=by,
            chunk=whole,
        )


def _among(judged: Mask, failure: Failure) -> Failure:
    """The failure of a part of the rows as one of all rows."""
    if failure.rows is None:
        return failure
    rows = np.zeros(len(judged), bool)
    rows[judged] = failure.rows
    return replace(failure, rows=rows)


def content_columns(rows: pa.Table) -> tuple[str, ...]:
    """The columns that make a row what it is: all but its place in the ingestion order and its reasons."""
    return tuple(name for name in rows.column_names if name not in (SEQUENCE, REASONS))


def _believed(failure: Failure, alone: Mask | None, dropped: Mask) -> Failure:
    """The failure as it is when the dropped rows alone fail it the same way; else it depends on the other rows."""
    if not failure.waivable or failure.rows is None:  # a rule of the view itself: it looks at one row at a time
        return failure
    if alone is not None and np.array_equal(failure.rows[dropped], alone):
        return failure
    return replace(failure, check=f"{failure.check}, which depends on other rows", row_wise=False)
