"""When a policy would have retrained: its triggers read and decided over the past, with a pretended clock.

The past is pretended as if each view had been materialized on time: at an instant it has the rows with earlier event
times, up to the last time of its schedule where it has one. Every run that starts ends well, at once.

What a pretended run learns predicts nothing: live metrics are those of who was champion then, of the predictions and
labels that were known then.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from heapq import merge
from itertools import groupby, takewhile
from typing import TYPE_CHECKING

from featurestore.cron import Cron
from featurestore.errors import InputError
from featurestore.plan.catalog import ViewRecord
from featurestore.plan.views import table_name
from featurestore.timeline import EVENT_TIMESTAMP, format_instant
from pipelines.definition.triggers import Schedule, Trigger
from pipelines.ledger.records import Decision
from pipelines.ledger.triggers import RunBase, TableState
from pipelines.prediction.past import Logged, PredictionPast
from pipelines.rooms import PipelineRooms
from pipelines.triggers.decision import NEW, START, Ended, Ending, Noted, Standing, Waiting, decide, is_news
from pipelines.triggers.drifting import History, history_of, measured_drift
from pipelines.triggers.judging import JudgedThen, past_judged
from pipelines.triggers.labelling import needs_labels
from pipelines.triggers.plans import TriggerPlan
from pipelines.triggers.readings import Facts, read

if TYPE_CHECKING:
    from featurestore.store import FeatureStore

_MINUTE_US = 60_000_000


@dataclass(frozen=True, slots=True)
class Past:
    """A view's committed rows by time: of all rows before `ends_us[i]` there are `totals[i]`, up to `watermark_us`.

    `cron` None: the view is pretended to be materialized at each look.
    """

    table: str
    ends_us: Sequence[int]
    totals: Sequence[int]
    watermark_us: int
    cron: Cron | None

    def at(self, now_us: int) -> TableState | None:
        """The table as it is pretended to have been; None while it had no row."""
        due_us = now_us if self.cron is None else self.cron.last_us(now_us)
        watermark = min(due_us, self.watermark_us)
        place = bisect_left(self.ends_us, watermark + 1)
        rows = self.totals[place - 1] if place else 0
        return TableState(table=self.table, version=rows, rows=rows, watermark_us=watermark) if rows else None


@dataclass(frozen=True, slots=True)
class PretendedRun:
    """A run that would have started; `joined` are the triggers that would have come in while it waited."""

    number: int
    at_us: int
    trigger: str
    reason: str
    joined: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BacktestReport:
    """The runs that would have started, in order, and how often it would have been looked, and refused.

    `logged` are the predictions that were known in the end; None when no trigger goes by predictions.
    """

    pipeline: str
    from_us: int
    to_us: int
    looks: int
    runs: tuple[PretendedRun, ...]
    suppressed: int
    logged: Logged | None = None


def backtest(
    store: FeatureStore,
    plan: TriggerPlan,
    interval_us: tuple[int, int],
    every_us: int,
    judged: JudgedThen | None = None,
) -> BacktestReport:
    """When the policy of a pipeline would have retrained between two instants, looked at so often and at its schedules.

    Begins with no model. `judged` gives the judged windows of a champion's predictions as they were known at an
    instant; by default they are judged from the log of predictions. Raises InputError when a view of the pipeline has
    committed nothing, the interval is empty, or the labels of predictions cannot be read.
    """
    from_us, to_us = interval_us
    if to_us <= from_us:
        raise InputError(f"The end {format_instant(to_us)} is not after the start {format_instant(from_us)}.")
    pasts = {name: _past(store, name) for name in plan.views}
    triggers = plan.triggers
    logged = None
    if judged is None:
        judged, logged = _judged(store, plan, to_us)
    pretence = _Pretence(plan, triggers, pasts, cache(history_of(store)), judged)
    looks = 0
    for at_us in _looks(triggers, from_us, to_us, every_us):
        pretence.look(at_us)
        looks += 1
    return BacktestReport(plan.pipeline, from_us, to_us, looks, tuple(pretence.runs), pretence.suppressed, logged)


@dataclass
class _Pretence:
    """The ledger of a pretended past, in memory."""

    plan: TriggerPlan
    triggers: Mapping[str, Trigger]
    pasts: Mapping[str, Past]
    history: History
    judged: JudgedThen
    runs: list[PretendedRun] = field(default_factory=list)
    suppressed: int = 0
    waiting: PretendedRun | None = None
    base: RunBase | None = None
    ended: list[Ended] = field(default_factory=list)
    memory: dict[str, Noted] = field(default_factory=dict)
    number: int = 0

    def look(self, now_us: int) -> None:
        states = {name: past.at(now_us) for name, past in self.pasts.items()}
        views = {name: state for name, state in states.items() if state is not None}
        data = hashlib.sha256(repr(sorted((name, state.rows) for name, state in views.items())).encode()).hexdigest()
        facts = self._facts(now_us, data, views)
        readings = [read(name, trigger, facts) for name, trigger in self.triggers.items()]
        missing = tuple(f"view '{name}' has no row yet" for name in self.pasts if name not in views)
        waiting = None if self.waiting is None else Waiting(self.waiting.number, self.waiting.at_us)
        standing = Standing(now_us, data, "", waiting, None, self.ended[:1], missing)
        decided = decide(self.plan.policy, readings, standing)
        if decided.expires is not None:
            self.waiting = None
        if decided.adds is not None:
            self.number += 1
            reason = next(note.reason for note in decided.notes if note.run == NEW and note.trigger == decided.adds)
            self.waiting = PretendedRun(self.number, now_us, decided.adds, reason, ())
        for note in decided.notes:
            self._note(replace(note, run=self.number) if note.run == NEW else note)
        if decided.action == "start" and self.waiting is not None:
            self._run(replace(self.waiting, at_us=now_us), RunBase(self.waiting.number, now_us, data, "", views))

    def _note(self, note: Noted) -> None:
        news = is_news(note, self.memory.get(note.trigger))
        if news and note.decision is Decision.SUPPRESSED and note.trigger != START:
            self.suppressed += 1
        if news and note.decision is Decision.COALESCED and self.waiting is not None:
            self.waiting = replace(self.waiting, joined=(*self.waiting.joined, note.trigger))
        self.memory[note.trigger] = note if news else replace(self.memory[note.trigger], document=note.document)

    def _run(self, run: PretendedRun, base: RunBase) -> None:
        self.runs.append(run)
        self.base, self.waiting = base, None
        self.ended.insert(0, Ended(run.number, Ending.TRAINED, run.at_us, data=base.data))

    def _facts(self, now_us: int, data: str, views: Mapping[str, TableState]) -> Facts:
        base, plan = self.base, self.plan
        return Facts(
            now_us=now_us,
            data=data,
            views=views,
            base=base,
            champion=None if base is None else base.run,
            seen={name: note.document for name, note in self.memory.items()},
            drift=lambda trigger: () if base is None else measured_drift(self.history, plan, trigger, base, views),
            judged=lambda trigger: self.judged(plan, trigger, now_us),
        )


def _looks(triggers: Mapping[str, Trigger], from_us: int, to_us: int, every_us: int) -> Iterator[int]:
    """The instants of a grid that begins with the start, and the times of all schedules, in order and each once."""
    crons = [Cron(trigger.cron, trigger.zone) for trigger in triggers.values() if isinstance(trigger, Schedule)]
    times = [takewhile(lambda at: at <= to_us, cron.after_us(from_us)) for cron in crons]
    for at_us, _ in groupby(merge(range(from_us, to_us + 1, every_us), *times)):
        yield at_us


def _judged(store: FeatureStore, plan: TriggerPlan, to_us: int) -> tuple[JudgedThen, Logged | None]:
    if not needs_labels(plan):
        return lambda *_: (), None
    rooms = PipelineRooms(store)
    past = PredictionPast.of(rooms, plan.pipeline)
    return past_judged(rooms, past), past.logged(to_us)


def _past(store: FeatureStore, view: str) -> Past:
    record = store.serving().views.get(view)
    snapshot = None if record is None else store.tables.snapshot(table_name(record))
    if record is None or snapshot is None or snapshot.watermark_us is None:
        raise InputError(f"View '{view}' has committed nothing, so it has no past; materialize it first.")
    cron = None if record.schedule is None else Cron(record.schedule.cron, record.schedule.zone)
    ends, totals = _counted(record, snapshot.files, snapshot.rows)
    return Past(snapshot.table, ends, totals, snapshot.watermark_us, cron)


def _counted(record: ViewRecord, files: Sequence[str], rows: int) -> tuple[Sequence[int], Sequence[int]]:
    """The ends of the minutes that have rows, and how many rows there are before each; exact at whole minutes."""
    if record.source.timeless or not files:
        return (0,), (rows,)
    import polars as pl

    minute = (pl.col(EVENT_TIMESTAMP).dt.epoch("us") // _MINUTE_US + 1) * _MINUTE_US
    counted = pl.scan_parquet(list(files)).group_by(minute.alias("end")).len().sort("end").collect()
    return counted["end"].to_list(), counted["len"].cum_sum().to_list()
