"""What evaluating the triggers of a project's pipelines needs, without loading its definition files again.

Definition files import estimators and frames, which takes seconds, and are the same from one tick to the next. What
they declare of triggers is kept in the ledger, under the digest of the files' contents.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from featurestore.definitions import CsvSource, DeltaSource, ParquetSource, SqlSource
from featurestore.definitions.sources import TableSource, ViewSource
from featurestore.errors import UnknownNameError
from featurestore.timeline import duration_us, format_duration
from pipelines.definition.data_gate import Drift
from pipelines.definition.pipeline import TrainingPipeline
from pipelines.definition.policy import RunPolicy
from pipelines.definition.triggers import DataDrift, NewData, PerformanceDrop, Schedule, Trigger
from pipelines.ledger import Ledger
from pipelines.ledger.triggers import read_plans, set_plans
from pipelines.loading import load_pipelines, read_views

_FORMAT = 2  # raise when the form of plans, or what is refused, changes
_KINDS: Mapping[str, type[Trigger]] = {kind.__name__: kind for kind in (Schedule, NewData, DataDrift, PerformanceDrop)}


class TriggerPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A pipeline as its triggers see it.

    `declared` are its triggers with their kinds, in order. `views` are those that it reads, `features` what of them it
    learns from, `window_us` how far back. `labels` are the paths that its labels come from, `label_views` the views.
    `drift` are the thresholds of its Drift check.
    """

    pipeline: str
    declared: tuple[tuple[str, dict[str, object]], ...]
    policy: RunPolicy
    views: tuple[str, ...]
    features: tuple[tuple[str, str], ...]
    labels: tuple[str, ...]
    label_views: tuple[str, ...]
    drift: dict[str, float]
    window_us: int | None = None

    @property
    def triggers(self) -> dict[str, Trigger]:
        """The triggers by the names that the ledger knows them under, in order."""
        found: dict[str, Trigger] = {}
        for kind, body in self.declared:
            trigger = msgspec.convert(body, _KINDS[kind])
            name = trigger_name(trigger)
            found[f"{name} ({len(found) + 1})" if name in found else name] = trigger
        return found


class Plans(msgspec.Struct, frozen=True, kw_only=True):
    """The plans of all pipelines by name; `definition` is the digest of the `files` that they were made from."""

    definition: str
    files: tuple[str, ...]
    pipelines: dict[str, TriggerPlan]

    def plan(self, name: str) -> TriggerPlan:
        """The plan of a pipeline; raises UnknownNameError listing those there are."""
        if name not in self.pipelines:
            raise UnknownNameError("training pipeline", name, self.pipelines)
        return self.pipelines[name]


def trigger_name(trigger: Trigger) -> str:
    """What people and the ledger call a trigger."""
    match trigger:
        case Schedule(cron=cron, zone=zone):
            return f"schedule {cron} {zone}"
        case NewData(view=view, min_rows=rows):
            return f"new data {view} {rows}"
        case DataDrift(window=window):
            return f"drift {format_duration(duration_us(window))}"
        case PerformanceDrop(metric=metric, below=below):
            return f"performance {metric} {below:g}"


def current_plans(root: Path, folder: str, ledger: Ledger) -> Plans:
    """The plans of a project: the kept ones while the definition files are the same, or else new ones.

    Raises DefinitionError with every fault of every file.
    """
    with ledger.reading() as connection:
        kept = None if connection is None else read_plans(connection)
    if kept is not None:
        plans = _decoded(kept[1])
        if plans is not None and plans.definition == _digest(root, {*plans.files, *_declaring(root, folder)}):
            return plans
    before = set(sys.modules)
    pipelines = load_pipelines(root, folder)
    files = tuple(sorted({*_declaring(root, folder), *_imported(root, before)}))
    made = {name: trigger_plan(pipeline) for name, pipeline in pipelines.items()}
    plans = Plans(definition=_digest(root, files), files=files, pipelines=made)
    with ledger.writing() as connection:
        set_plans(connection, plans.definition, msgspec.json.encode(plans).decode())
    return plans


def trigger_plan(pipeline: TrainingPipeline) -> TriggerPlan:
    """The plan of a declared pipeline."""
    parts = read_views(pipeline)
    checks = [check for check in pipeline.data_gate if isinstance(check, Drift)]
    return TriggerPlan(
        pipeline=pipeline.name,
        declared=tuple((type(trigger).__name__, msgspec.to_builtins(trigger)) for trigger in pipeline.triggers),
        policy=pipeline.policy,
        views=tuple(dict.fromkeys(part.view.name for part in parts)),
        features=tuple(dict.fromkeys((part.view.name, feature) for part in parts for feature in part.features)),
        labels=tuple(_paths(pipeline.labels.source)),
        label_views=tuple(dict.fromkeys(_views(pipeline.labels.source))),
        drift=dict(checks[0].thresholds) if checks else {},
        window_us=None if pipeline.window is None else duration_us(pipeline.window),
    )


def _paths(source: TableSource) -> Iterator[str]:
    """The paths that a source reads, in the end."""
    match source:
        case ParquetSource(path=path) | CsvSource(path=path) | DeltaSource(path=path):
            yield path
        case SqlSource():
            for part in source.tables:
                yield from _paths(part)


def _views(source: TableSource) -> Iterator[str]:
    """The views whose steps a source reads, in the end."""
    match source:
        case ViewSource(view=view):
            yield view.name
        case SqlSource():
            for part in source.tables:
                yield from _views(part)


def _declaring(root: Path, folder: str) -> Iterator[str]:
    for path in sorted(root.joinpath(folder).glob("*.py")):
        yield str(path.relative_to(root))


def _imported(root: Path, before: set[str]) -> Iterator[str]:
    """The project's own files that loading has imported, from its folder of definitions or beside it."""
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None)
        if file and Path(file).is_relative_to(root) and "site-packages" not in Path(file).parts:
            yield str(Path(file).relative_to(root))


def _digest(root: Path, files: Iterable[str]) -> str:
    digest = hashlib.sha256(str(_FORMAT).encode())
    for name in sorted(set(files)):
        path = root / name
        content = path.read_bytes() if path.is_file() else b""
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def _decoded(document: str) -> Plans | None:
    try:
        return msgspec.json.decode(document, type=Plans)
    except msgspec.MsgspecError:
        return None
