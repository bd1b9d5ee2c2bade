"""Features on time: which views are due by their schedules, and the materialization of those that are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from featurestore.cron import Cron
from featurestore.errors import FeatureStoreError, GateRefused
from featurestore.plan.catalog import Catalog
from featurestore.timeline import duration_us, format_instant, to_datetime
from pipelines.definition.policy import RunPolicy
from pipelines.ledger import Ledger
from pipelines.ledger.triggers import (
    Materialization,
    MaterializationState,
    add_materialization,
    end_materialization,
    read_materializations,
)
from pipelines.triggers.leases import held

if TYPE_CHECKING:
    from pathlib import Path

    from featurestore.store import FeatureStore

_PAUSES = RunPolicy(retry_after=timedelta(minutes=1), retry_at_most=timedelta(hours=1))
_LOOKED_AT = 50  # a view that failed so often in a row is paused for the longest time anyway


@dataclass(frozen=True, slots=True)
class Punctuality:
    """How a view stands to its schedule: the last time that was due, and why it is not met (None: it is).

    `again_us` is when it may be tried again.
    """

    view: str
    due_us: int
    late: str | None = None
    again_us: int = 0


def punctuality(view: str, cron: Cron, history: Sequence[Materialization], now_us: int) -> Punctuality:
    """How a view stands to its schedule, from its materializations, newest first."""
    due_us = cron.last_us(now_us)
    unmet = []
    for one in history:
        if one.state is MaterializationState.DONE:
            if one.due_us >= due_us:
                return Punctuality(view, due_us)
            break
        unmet.append(one)
    late = f"view '{view}' was due at {format_instant(due_us)}"
    if not unmet:
        return Punctuality(view, due_us, f"{late} and is not materialized yet")
    last = unmet[0]
    again_us = (last.ended_at_us or last.started_at_us) + duration_us(_PAUSES.pause(len(unmet)))
    told = "was refused" if last.state is MaterializationState.REFUSED else "failed"
    why = last.reason or "its process ended before it did"
    again_us = min(again_us, due_us) if due_us > last.due_us else again_us
    tried = f"; it is tried again at {format_instant(again_us)}"
    return Punctuality(view, due_us, f"{late} and {told}: {why}{tried}", again_us)


@dataclass(frozen=True, slots=True)
class FeaturesOnTime:
    """The scheduled views of a store, and what the ledger says of them."""

    store: FeatureStore
    ledger: Ledger
    leases: Path

    def look(self, catalog: Catalog, now_us: int) -> tuple[Punctuality, ...]:
        """How each scheduled view of a catalog stands, in the catalog's order."""
        crons = dict(_schedules(catalog))
        if not crons:
            return ()
        history = self._history(tuple(crons))
        return tuple(punctuality(view, cron, history[view], now_us) for view, cron in crons.items())

    def catch_up(self, catalog: Catalog, now_us: int) -> tuple[Materialization, ...]:
        """Materialize what is due and may be tried now, up to the time of its schedule; what became of it, in order.

        A view that another process is at is left to it.
        """
        done = []
        for seen in self.look(catalog, now_us):
            if seen.late is None or now_us < seen.again_us:
                continue
            with held(self.leases, f"view-{seen.view}") as mine:
                again = [one for one in self.look(catalog, now_us) if one.view == seen.view and one.late is not None]
                if mine and again and now_us >= again[0].again_us:
                    done.append(self._materialize(seen))
        return tuple(done)

    def _materialize(self, seen: Punctuality) -> Materialization:
        started_us = self.store.now_us()
        with self.ledger.writing() as connection:
            number = add_materialization(connection, seen.view, seen.due_us, started_us)
        begun = Materialization(number, seen.view, seen.due_us, started_us, None, MaterializationState.RUNNING)
        ended = replace(self._run(begun), ended_at_us=self.store.now_us())
        with self.ledger.writing() as connection:
            end_materialization(connection, ended)
        return ended

    def _run(self, begun: Materialization) -> Materialization:
        try:
            report = self.store.materialize(to_datetime(begun.due_us), views=[begun.view], check=False)
        except FeatureStoreError as error:
            return replace(begun, state=MaterializationState.FAILED, reason=str(error))
        watermarks = [view.watermark_us for view in report.views if view.watermark_us is not None]
        state = MaterializationState.DONE
        if report.error is not None:
            refused = isinstance(report.error, GateRefused)
            state = MaterializationState.REFUSED if refused else MaterializationState.FAILED
        return replace(
            begun,
            state=state,
            rows=report.rows,
            watermark_us=min(watermarks, default=None),
            reason="" if report.error is None else str(report.error),
        )

    def _history(self, views: tuple[str, ...]) -> Mapping[str, Sequence[Materialization]]:
        with self.ledger.reading() as connection:
            if connection is None:
                return dict.fromkeys(views, ())
            return {view: read_materializations(connection, (view,), _LOOKED_AT) for view in views}


def _schedules(catalog: Catalog) -> Iterator[tuple[str, Cron]]:
    for name, view in catalog.views.items():
        if view.schedule is not None:
            yield name, Cron(view.schedule.cron, view.schedule.zone)
