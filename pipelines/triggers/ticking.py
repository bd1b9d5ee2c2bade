"""One look at everything: views that are due, then the triggers of each pipeline, and the runs that they start."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sqlalchemy import Connection

from featurestore.errors import NotCommittedError, VersionGoneError
from featurestore.plan.catalog import Catalog
from pipelines.definition.triggers import DataDrift
from pipelines.ledger import Ledger
from pipelines.ledger.ledger import insert_observation
from pipelines.ledger.records import CodeVersion, Decision, Observation, Run, RunState
from pipelines.ledger.runs import insert_run
from pipelines.ledger.triggers import (
    Materialization,
    Memory,
    RunBase,
    TableState,
    expire_run,
    read_base,
    remember,
    see_again,
    set_base,
)
from pipelines.triggers.data import data_state, digest_of
from pipelines.triggers.decision import BREAKER, NEW, Decided, Noted, decide, is_news
from pipelines.triggers.features import FeaturesOnTime
from pipelines.triggers.judging import Judged
from pipelines.triggers.labelling import LABELS, Labelling, is_due, joined, needs_labels
from pipelines.triggers.plans import Plans, TriggerPlan, current_plans
from pipelines.triggers.readings import Facts, Moved, read
from pipelines.triggers.standing import read_known

if TYPE_CHECKING:
    from featurestore.store import FeatureStore

Drifts = Callable[[TriggerPlan, DataDrift, RunBase, Mapping[str, TableState]], Sequence[Moved]]
Caller = Callable[[Mapping[str, object]], str]


class Runner(Protocol):
    """What runs pipelines."""

    def exclusive(self, pipeline: str) -> AbstractContextManager[bool]:
        """The right to run a pipeline, if nobody has it: whether it is ours for the block."""

    def code(self) -> CodeVersion:
        """The code that runs would run now."""

    def run(self, run: Run) -> Run:
        """Bring a run that waits, or was left, to its end, and return it as it ended.

        An error ends the run as FAILED and is raised.
        """


@dataclass(frozen=True, slots=True)
class Outside:
    """What is asked and told outside: drift of features, labels and judged windows of predictions, a person."""

    drifts: Drifts
    judged: Judged
    call: Caller
    labelling: Labelling


@dataclass(frozen=True, slots=True)
class PipelineTick:
    """What was decided for a pipeline: the observations that are new, the run that it ran or that waits.

    `waits` says why it waits, `busy` that another process is at the pipeline. `labels`: what came of joining labels to
    predictions; None when that was not due.
    """

    pipeline: str
    observations: tuple[Observation, ...] = ()
    run: Run | None = None
    waits: str | None = None
    busy: bool = False
    labels: Observation | None = None


@dataclass(frozen=True, slots=True)
class TickReport:
    """What one look did: the views that it materialized and the pipelines that it looked at, in order."""

    materialized: tuple[Materialization, ...]
    pipelines: tuple[PipelineTick, ...]


@dataclass(frozen=True, slots=True)
class Ticker:
    """Looks at a project by the store's clock, as often as it is told to; `leases` is the folder of view leases."""

    store: FeatureStore
    ledger: Ledger
    runner: Runner
    outside: Outside
    leases: Path

    def tick(self) -> TickReport:
        """Materialize the views that are due, then decide for each pipeline, and run what is to run.

        Raises DefinitionError when the definition files cannot be loaded, after the views.
        """
        catalog = self.store.serving()
        features = FeaturesOnTime(self.store, self.ledger, self.leases)
        materialized = features.catch_up(self.store.catalog(), self.store.now_us())
        plans = current_plans(self.store.root, self.store.configuration.definitions, self.ledger)
        if materialized:
            catalog = self.store.serving()  # a new version of a view may serve since
        ticks = tuple(self._pipeline(plan, plans, catalog) for plan in plans.pipelines.values())
        return TickReport(materialized, ticks)

    def _pipeline(self, plan: TriggerPlan, plans: Plans, catalog: Catalog) -> PipelineTick:
        with self.runner.exclusive(plan.pipeline) as mine:
            if not mine:
                return PipelineTick(plan.pipeline, busy=True)
            look = _Look(self, plan, plans.definition, catalog)
            labels = look.join_labels()
            decided, waiting, observations = look.settle()
            run = self._act(look, decided, waiting)
            return PipelineTick(plan.pipeline, observations, run, waits=decided.waits, labels=labels)

    def _act(self, look: _Look, decided: Decided, waiting: int | None) -> Run | None:
        """Do what was decided; the run that it is about, as it is afterwards."""
        left = look.known.standing.left
        if decided.action == "resume" and left is not None:
            return self._run(left.run)
        if decided.action == "give up" and left is not None:
            attempt = self.ledger.begin(self.ledger.run(left.run))
            return self.ledger.end(attempt, RunState.FAILED, f"its process ended {left.attempts} times before it did")
        if waiting is None:
            return None
        if decided.action == "start":
            base = RunBase(waiting, self.store.now_us(), look.data.digest, look.definition, look.data.views)
            with self.ledger.writing() as connection:
                set_base(connection, base)
            return self._run(waiting)
        return self.ledger.run(waiting)

    def _run(self, number: int) -> Run:
        try:
            return self.runner.run(self.ledger.run(number))
        except Exception:
            run = self.ledger.run(number)
            if not run.state.ended:
                raise
            return run  # the ledger says what stopped it, and the decisions to come go by that


class _Look:
    """One evaluation of a pipeline's triggers, under its lease."""

    def __init__(self, ticker: Ticker, plan: TriggerPlan, definition: str, catalog: Catalog) -> None:
        self.ticker = ticker
        self.plan = plan
        self.definition = definition
        self.now_us = ticker.store.now_us()
        self.data = data_state(ticker.store, ticker.ledger, plan, catalog)
        features = FeaturesOnTime(ticker.store, ticker.ledger, ticker.leases)
        seen = features.look(ticker.store.catalog(), self.now_us)
        late = [view.late for view in seen if view.view in plan.views and view.late]
        self.holds = (*self.data.missing, *late)
        with ticker.ledger.reading() as connection:
            self.known = read_known(connection, plan.pipeline)

    def join_labels(self) -> Observation | None:
        """Join labels that became known to predictions, and write down what came of it; None when nothing is due."""
        labelling, name = self.ticker.outside.labelling, self.plan.pipeline
        predicted = labelling.predicted(name) if needs_labels(self.plan) else None
        if predicted is None:
            return None
        rests_on = digest_of(self.definition, self.data.labels, predicted)
        if not is_due(self.known.memory.get(LABELS), rests_on, self.now_us):
            return None
        note = joined(lambda: labelling.join(name), rests_on)
        with self.ticker.ledger.writing() as connection:
            written = self._write(connection, [note], None)
        return written[0] if written else self._observation(note)

    def settle(self) -> tuple[Decided, int | None, tuple[Observation, ...]]:
        """Decide, and write it down: what was decided, the run that waits then, the observations that are new."""
        facts = self._facts()
        readings = [read(name, trigger, facts) for name, trigger in self.plan.triggers.items()]
        standing = replace(
            self.known.standing,
            now_us=self.now_us,
            data=self.data.digest,
            definition=self.definition,
            holds=self.holds,
        )
        decided = decide(self.plan.policy, readings, standing)
        called = self._called(decided)
        with self.ticker.ledger.writing() as connection:
            if decided.expires is not None:
                why = next(note.reason for note in decided.notes if note.decision is Decision.EXPIRED)
                expire_run(connection, decided.expires, why, self.now_us)
            waiting = standing.waiting.run if standing.waiting and decided.expires is None else None
            if decided.adds is not None:
                waiting = insert_run(connection, self._new_run(decided.adds)).number
            notes = [*decided.notes, *called]
            return decided, waiting, tuple(self._write(connection, notes, waiting))

    def _write(self, connection: Connection, notes: Sequence[Noted], waiting: int | None) -> list[Observation]:
        written = []
        memory = {trigger: _noted(seen) for trigger, seen in self.known.memory.items()}
        for note in notes:
            settled = replace(note, run=waiting) if note.run == NEW else note
            if not is_news(settled, memory.get(note.trigger)):
                see_again(connection, (self.plan.pipeline, note.trigger), self.now_us, note.document)
                continue
            observation = insert_observation(connection, self._observation(settled))
            remember(connection, observation)
            memory[note.trigger] = settled
            written.append(observation)
        return written

    def _observation(self, note: Noted) -> Observation:
        return Observation(
            0, self.plan.pipeline, note.trigger, self.now_us, note.decision, note.run, note.reason, note.document
        )

    def _called(self, decided: Decided) -> list[Noted]:
        """Call a person when that was decided; without success it is tried again at the next look."""
        if decided.calls is None:
            return []
        run = self.known.standing.ended[0].run
        event = {
            "event": "circuit open",
            "project": self.ticker.store.configuration.project,
            "pipeline": self.plan.pipeline,
            "run": run,
            "message": f"Pipeline '{self.plan.pipeline}': {decided.calls}. The champion stays.",
        }
        try:
            answer = self.ticker.outside.call(event)
        except OSError as error:
            return [Noted(BREAKER, Decision.SUPPRESSED, f"{decided.calls}; nobody could be called: {error}")]
        return [Noted(BREAKER, Decision.SUPPRESSED, f"{decided.calls}; {answer}", run)]

    def _new_run(self, trigger: str) -> Run:
        return Run(
            number=0,
            pipeline=self.plan.pipeline,
            kind="run",
            state=RunState.PENDING,
            trigger=trigger,
            actor=self.ticker.store.actor,
            as_of_us=self.now_us,
            created_at_us=self.now_us,
            ended_at_us=None,
            parameters={},
            code=self.ticker.runner.code(),
        )

    def _facts(self) -> Facts:
        trained, champion = self.known.trained, self.known.champion or self.known.trained
        outside, plan, views = self.ticker.outside, self.plan, self.data.views
        return Facts(
            now_us=self.now_us,
            data=self.data.digest,
            views=views,
            base=None if trained is None else self._base(trained),
            champion=None if champion is None else champion.number,
            seen={trigger: seen.document for trigger, seen in self.known.memory.items()},
            drift=lambda trigger: outside.drifts(plan, trigger, self._base(champion), views) if champion else (),
            judged=lambda trigger: outside.judged(plan, trigger),
            recorded=outside.labelling.recorded(plan.pipeline),
        )

    def _base(self, run: Run) -> RunBase:
        """What a run began with; found out, and kept, where nobody noted it."""
        with self.ticker.ledger.reading() as connection:
            base = None if connection is None else read_base(connection, run.number)
        if base is not None:
            return base
        views = {name: self._table_at(state, run.as_of_us) for name, state in self.data.views.items()}
        base = RunBase(run.number, run.as_of_us, "", "", views)
        with self.ticker.ledger.writing() as connection:
            set_base(connection, base)
        return base

    def _table_at(self, state: TableState, at_us: int) -> TableState:
        """A table as it was committed at an instant; as it is now where that is gone, empty where it was nothing."""
        try:
            snapshot = self.ticker.store.tables.snapshot_at(state.table, at_us)
        except NotCommittedError:
            return TableState(table=state.table, version=-1, rows=0)
        except VersionGoneError:
            return state
        if snapshot is None:
            return state
        return TableState(
            table=state.table, version=snapshot.version, rows=snapshot.rows, watermark_us=snapshot.watermark_us
        )


def _noted(seen: Memory) -> Noted:
    observation = seen.observation
    return Noted(observation.trigger, observation.decision, observation.reason, observation.run)
