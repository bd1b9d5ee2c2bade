"""A ticker of a project, with the runner of its pipelines and what its configuration names."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from featurestore.audit.layout import LABELS, VECTORS, changed_ns
from pipelines.calling import call_person
from pipelines.definition.triggers import DataDrift
from pipelines.ledger.records import CodeVersion, Run
from pipelines.ledger.triggers import RunBase
from pipelines.rooms import PipelineRooms, predictions_folder
from pipelines.triggers.judging import Judged, live_judged
from pipelines.triggers.labelling import Joined, Labelling
from pipelines.triggers.leases import held
from pipelines.triggers.plans import TriggerPlan
from pipelines.triggers.readings import Moved
from pipelines.triggers.ticking import Outside, Ticker

if TYPE_CHECKING:
    from collections.abc import Mapping

    from featurestore.store import FeatureStore
    from pipelines.ledger.triggers import TableState


def labelling_of(rooms: PipelineRooms) -> Labelling:
    """Joins labels to the predictions that a project has logged."""
    folder = predictions_folder(rooms.store)

    def join(name: str) -> Joined:
        # frames take a while to import, and most looks need none
        from pipelines.prediction.labels import record_labels
        from pipelines.steps.extract import next_known_us

        as_of_us = rooms.store.now_us()  # before the labels are read, so that none falls between
        found = record_labels(rooms.store, name)
        return Joined(found.new, next_known_us(rooms.store, rooms.pipeline(name), as_of_us))

    return Labelling(
        join, lambda name: changed_ns(folder, VECTORS, name), lambda name: changed_ns(folder, LABELS, name) or 0
    )


def open_ticker(store: FeatureStore, judged: Judged | None = None) -> Ticker:
    """The ticker of a store's project; `judged` gives the judged windows of a champion's predictions, in order.

    By default they are judged by the labels that were recorded.
    """
    rooms = PipelineRooms(store)
    alerts = store.configuration.alerts

    def drifts(
        plan: TriggerPlan, trigger: DataDrift, base: RunBase, views: Mapping[str, TableState]
    ) -> Sequence[Moved]:
        # statistics take a while to import, and most looks need none
        from pipelines.triggers.drifting import history_of, measured_drift

        return measured_drift(history_of(store), plan, trigger, base, views)

    outside = Outside(
        drifts,
        judged or live_judged(rooms),
        lambda event: call_person(alerts, store.root, event),
        labelling_of(rooms),
    )
    return Ticker(store, rooms.ledger, LocalRunner(rooms), outside, rooms.folder / "leases")


class LocalRunner:
    """Runs pipelines in this process, one after the other."""

    def __init__(self, rooms: PipelineRooms) -> None:
        self.rooms = rooms

    def exclusive(self, pipeline: str) -> AbstractContextManager[bool]:
        """As Runner."""
        return held(self.rooms.folder / "leases", pipeline)

    def code(self) -> CodeVersion:
        """As Runner."""
        from pipelines.code import code_version

        return code_version(self.rooms.store.root)

    def run(self, run: Run) -> Run:
        """As Runner."""
        from pipelines.running import execute  # what trains and judges is slow to import, and most looks run nothing

        return execute(self.rooms, run, self.rooms.pipeline(run.pipeline)).run
