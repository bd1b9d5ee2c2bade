"""What stands before every commit: rows of a view, from its source or handed in, through the gate."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pyarrow as pa
from sqlglot import exp

from featurestore.arrow import ipc_stream
from featurestore.contracts.gate import Gate
from featurestore.contracts.quarantine import Quarantine
from featurestore.contracts.verdict import Occasion, Outcome, Verdict
from featurestore.engines.base import OfflineEngine
from featurestore.errors import GateRefused
from featurestore.plan.catalog import ContractRecord, ViewRecord
from featurestore.plan.materialization import ExtractPlan
from featurestore.plan.nodes import CREATED_TIMESTAMP, DELETED, EVENT_TIMESTAMP, Computed, FrameScan, Scan, SourceRows
from featurestore.plan.views import kept_columns, scan_of, source_rows
from featurestore.timeline import Clock

if TYPE_CHECKING:
    from featurestore.contracts.inspection import ContractColumn
    from featurestore.contracts.model import ContractModel


@dataclass(frozen=True, slots=True)
class Judge:
    """Judges rows of one project's views; `root` is where relative source paths start."""

    root: str
    engine: OfflineEngine
    quarantine: Quarantine
    load_contract: Callable[[ContractRecord], ContractModel]
    now_us: Clock

    def rows(self, view: ViewRecord, scan: Scan | None = None, start_us: int | None = None) -> SourceRows:
        """The view's rows computed from its source (or from another scan of the same columns), as the gate sees them.

        They carry the source columns that the contract asks for. `start_us` is the committed start.
        """
        scan = scan or scan_of(view.source, self.root)
        extra = () if view.contract is None else self._carried(view, scan, self.load_contract(view.contract))
        return replace(source_rows(view, self.root, start_us, extra), scan=scan)

    def verdict(self, view: ViewRecord, plan: ExtractPlan, occasion: Occasion) -> Verdict:
        """The gate's verdict on the rows of a plan; nothing is written."""
        assert isinstance(plan.rows, SourceRows)  # stored rows were judged before
        contract = None if view.contract is None else self.load_contract(view.contract)
        with self.engine.extract(plan) as reader:
            table = reader.read_all()
        gate = Gate.of(plan.rows, contract, view.on_refusal)
        return gate.check(table, occasion, self.quarantine.waivers(view.name))

    def admit(self, view: ViewRecord, plan: ExtractPlan, occasion: Occasion) -> Verdict:
        """The verdict of a gate that did not refuse, with what it dropped in quarantine.

        Raises GateRefused, with the rows in quarantine, when it refuses.
        """
        verdict = self.verdict(view, plan, occasion)
        if verdict.outcome is not Outcome.PASSED:
            entry = self.quarantine.keep(verdict, self.now_us())
            if verdict.outcome is Outcome.REFUSED:
                raise GateRefused(
                    f"{verdict.summary} See `featurestore quarantine show {entry.id}`; mend the rows, or let them "
                    f"through with `featurestore quarantine release {entry.id} --reason ...`, then run again."
                )
        return verdict

    def refuse_untimed(self, view: ViewRecord, scan: Scan) -> tuple[int, int]:
        """Refuse rows without event time, which no interval would ever show to the gate, unless the view drops rows.

        Returns how many rows the scan has, and how many of them have no event time.
        """
        table, every = exp.Table(this=exp.to_identifier(scan.name, quoted=True)), exp.Count(this=exp.Star())
        time = view.source.event_timestamp
        timed = every if time is None else exp.Count(this=exp.column(exp.to_identifier(time, quoted=True)))
        with self.engine.query(exp.select(every, timed).from_(table).sql("duckdb"), (scan,)) as reader:
            rows, with_time = (int(column[0].as_py()) for column in reader.read_all().columns)
        if rows > with_time and view.on_refusal != "drop":
            found = "1 row" if rows - with_time == 1 else f"{rows - with_time:,} rows"
            raise GateRefused(
                f"View '{view.name}': {found} of source '{view.source.name}' without event time ('{time}' is null), "
                "and such rows belong to no interval. Mend the source, filter them in a SqlSource, or "
                'declare on_refusal="drop".'
            )
        return rows, rows - with_time

    def _carried(self, view: ViewRecord, scan: Scan, contract: ContractModel) -> tuple[str, ...]:
        """The source columns that the contract asks for and the rows do not have anyway."""
        from featurestore.contracts.inspection import contract_columns  # pandera is slow to import

        wanted = contract_columns(contract)
        have = {
            *(key for key, _ in view.keys),
            *(column.stored for column in kept_columns(view)),
            view.source.event_timestamp,
            view.source.created_timestamp,
        }
        offered = [name for name, _ in self.engine.columns(scan) if name not in have]
        return tuple(name for name in offered if any(_names(column, name) for column in wanted))


def _names(column: ContractColumn, name: str) -> bool:
    return bool(re.fullmatch(column.name, name)) if column.pattern else column.name == name


def accepted_rows(view: ViewRecord, accepted: pa.Table) -> SourceRows:
    """Rows that passed the gate, as if they were the source; their order is the ingestion order."""
    rows = source_rows(view, "")
    return replace(
        rows,
        scan=FrameScan(view.source.name, ipc_stream(accepted)),
        event_timestamp=None if view.source.timeless else EVENT_TIMESTAMP,
        created_timestamp=None if view.source.created_timestamp is None else CREATED_TIMESTAMP,
        columns=tuple(Computed(column.name, column.dtype, column.name) for column in rows.columns),
        deleted=None if view.source.deleted is None else DELETED,
    )
