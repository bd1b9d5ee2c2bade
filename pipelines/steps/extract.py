"""Extract: the examples whose label was known at an instant, with their features as they were known at each."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import timedelta

import msgspec
import polars as pl
import sqlglot
from sqlglot import exp

from featurestore.arrow import instants, ipc_stream
from featurestore.dataset import Dataset
from featurestore.definitions import Split, TimeSplit
from featurestore.errors import InputError, TooFewRowsError, UnknownNameError
from featurestore.pinning import Pins
from featurestore.plan.catalog import SourceRecord
from featurestore.plan.fingerprint import meaning
from featurestore.plan.views import scan_of
from featurestore.project.records import record_of
from featurestore.store import FeatureStore
from featurestore.timeline import duration_us, format_instant, instant_us, to_datetime
from pipelines.definition.labels import LabelSource
from pipelines.definition.pipeline import TrainingPipeline


class Extracted(msgspec.Struct, frozen=True, kw_only=True):
    """A saved dataset of examples, in the order of their instants.

    `oldest_us` and `newest_us` are the first and the last example's instant. `watermarks_us` say up to where each view
    that has a time is committed (None: nothing is); `left_out` examples lie at or after one of them.
    """

    dataset: str
    sha256: str
    rows: int
    oldest_us: int
    newest_us: int
    watermarks_us: dict[str, int | None]
    left_out: int
    outputs: dict[str, str]


def label_spine(store: FeatureStore, pipeline: TrainingPipeline, as_of_us: int) -> pl.DataFrame:
    """What `known_examples` gives; raises TooFewRowsError when there is none."""
    spine = known_examples(store, pipeline, as_of_us)
    if spine.is_empty():
        raise TooFewRowsError(
            f"Pipeline '{pipeline.name}': no example of source '{pipeline.labels.source.name}' has a label that was "
            f"known at {format_instant(as_of_us)}; wait for labels, or look at label, where and known_at."
        )
    return spine


def known_examples(store: FeatureStore, pipeline: TrainingPipeline, as_of_us: int) -> pl.DataFrame:
    """The examples whose label is not null and was known at `as_of_us`, ordered by instant, then by all columns.

    Columns: the keys and request columns of the service, the labels' own keys, instant, known_at, label. Raises
    UnknownNameError for a source that is not applied, InputError for columns or an expression that it has not.
    """
    return _examples(store, pipeline, (as_of_us, pipeline.window))


def examples_known_since(store: FeatureStore, pipeline: TrainingPipeline, as_of_us: int, since: str) -> pl.DataFrame:
    """The examples that `known_examples` gave at some instant up to `as_of_us`, in its order.

    The column `since` says from which instant on. They are those that the source has now.
    """
    found = _examples(store, pipeline, (as_of_us, None))
    instant, known = pl.col(pipeline.labels.timestamp), pl.col(pipeline.labels.known_at)
    found = found.with_columns(pl.max_horizontal(known, instant + timedelta(microseconds=1)).alias(since))
    return found if pipeline.window is None else found.filter(pl.col(since) <= instant + pipeline.window)


def _examples(store: FeatureStore, pipeline: TrainingPipeline, until: tuple[int, timedelta | None]) -> pl.DataFrame:
    labels = pipeline.labels
    scan = scan_of(applied_source(store, labels), str(store.root))
    plan = store.lookup_plan(pipeline.service.name)
    needed = [column for view in plan.views for column, _ in view.keys]
    columns = dict.fromkeys((*needed, *(name for name, _ in plan.request), *labels.keys))
    query = spine_query(labels, scan.name, columns, until)
    try:
        with store.engine.query(query, (scan,)) as reader:
            return pl.DataFrame(reader.read_all())
    except InputError as error:
        told = str(error).removeprefix("Query: ")
        raise InputError(f"Pipeline '{pipeline.name}', label source '{labels.source.name}': {told}") from error


def next_known_us(store: FeatureStore, pipeline: TrainingPipeline, as_of_us: int) -> int | None:
    """When, after `as_of_us`, the next label of an example becomes known that the source has already; None: never."""
    labels = pipeline.labels
    scan = scan_of(applied_source(store, labels), str(store.root))
    known = _instant(labels.known_at)
    conditions = [known > _literal(as_of_us), *_are_examples(labels)]
    query = exp.select(exp.Min(this=known).as_("next")).from_(exp.table_(scan.name, quoted=True)).where(*conditions)
    with store.engine.query(query.sql("duckdb"), (scan,)) as reader:
        (found,) = reader.read_all().column("next").to_pylist()
    return None if found is None else instant_us(found, labels.known_at)


def applied_source(store: FeatureStore, labels: LabelSource) -> SourceRecord:
    """The source of labels as it is applied; raises InputError when it was declared anew since."""
    catalog, source = store.catalog(), labels.source
    if source.name not in catalog.sources:
        raise UnknownNameError("source", source.name, catalog.sources, "what is applied")
    applied = catalog.sources[source.name]
    declared = record_of(source, store.root, lambda view, _: catalog.view(view))
    if meaning(declared) != meaning(applied):
        raise InputError(f"Source '{source.name}' was changed since it was applied; run `featurestore apply` first.")
    return applied


def spine_query(labels: LabelSource, table: str, columns: Iterable[str], until: tuple[int, timedelta | None]) -> str:
    """The SQL of the spine; `until` is the instant by which labels are known, and how far back examples go."""
    as_of_us, window = until
    instant, known = _instant(labels.timestamp), _instant(labels.known_at)
    as_of = _literal(as_of_us)
    conditions = [instant < as_of, known <= as_of, *_are_examples(labels)]
    if window is not None:
        conditions.append(instant >= _literal(as_of_us - duration_us(window)))
    names = [name for name in dict.fromkeys(columns) if name not in (labels.timestamp, labels.known_at)]
    times = dict.fromkeys((labels.timestamp, labels.known_at))
    chosen = [
        *(_column(name) for name in names),
        *(exp.alias_(_instant(name), name, quoted=True) for name in times),
        exp.alias_(_label(labels), labels.name, quoted=True),
    ]
    query = exp.select(*chosen).from_(exp.table_(table, quoted=True)).where(*conditions)
    ordered = exp.select("*").from_(query.subquery("examples"))
    order = dict.fromkeys((labels.timestamp, *names, labels.known_at, labels.name))
    return ordered.order_by(*(_column(name) for name in order)).sql("duckdb")


def spine_digest(spine: pl.DataFrame) -> str:
    """SHA-256 of the rows."""
    return hashlib.sha256(ipc_stream(spine.to_arrow())).hexdigest()


def pins_document(pins: Pins) -> dict[str, object]:
    """What the features of a dataset rest on, as JSON: equal documents give equal features."""
    service = pins.selection.service
    return {
        "service": None if service is None else meaning(pins.catalog.services[service]),
        "views": {name: [meaning(pin.record), pin.table, pin.table_version] for name, pin in pins.views.items()},
        "on_demand": {name: meaning(record) for name, record in sorted(pins.catalog.on_demand.items())},
    }


def split_of(pipeline: TrainingPipeline) -> Split:
    """The pipeline's split; one by time looks at when each label became known."""
    if isinstance(pipeline.split, TimeSplit):
        return replace(pipeline.split, known_at=pipeline.labels.known_at)
    return pipeline.split


def watermarks(pins: Pins) -> dict[str, int | None]:
    """Up to where each view that has a time is committed."""
    return {name: pin.watermark_us for name, pin in pins.views.items() if not pin.record.source.timeless}


def committed_examples(spine: pl.DataFrame, timestamp: str, pins: Pins) -> pl.DataFrame:
    """The examples before every watermark: at later ones features may still change, and are older than in serving."""
    ends = [end for end in watermarks(pins).values() if end is not None]
    return spine.filter(pl.col(timestamp) < to_datetime(min(ends))) if ends else spine


def extract(store: FeatureStore, pipeline: TrainingPipeline, spine: pl.DataFrame, pins: Pins) -> Extracted:
    """Save the features of the committed examples of a spine as the next version of the pipeline's dataset.

    Raises TooFewRowsError when none is committed, or the split leaves none to train on.
    """
    timestamp, known = pipeline.labels.timestamp, spine.height
    spine = committed_examples(spine, timestamp, pins)
    if spine.is_empty():
        raise TooFewRowsError(
            f"Pipeline '{pipeline.name}': all {known:,} examples lie beyond what its views have committed; run "
            "`featurestore materialize` first."
        )
    training = store.retrieve(spine, pins, timestamp=timestamp)
    dataset: Dataset = training.save(pipeline.name, split_of(pipeline))
    times = instants(spine.select(timestamp).to_arrow().column(timestamp), timestamp, "The spine").to_numpy()
    return Extracted(
        dataset=dataset.reference,
        sha256=dataset.manifest.sha256,
        rows=dataset.rows,
        oldest_us=int(times.min()),
        newest_us=int(times.max()),
        watermarks_us=watermarks(pins),
        left_out=known - spine.height,
        outputs=dataset.manifest.outputs,
    )


def _are_examples(labels: LabelSource) -> Iterator[exp.Expression]:
    """What holds for the rows of the source that are examples, once their label is known."""
    yield exp.not_(_label(labels).is_(exp.null()))
    if labels.where is not None:
        yield exp.paren(sqlglot.parse_one(labels.where, dialect="duckdb"))


def _label(labels: LabelSource) -> exp.Expression:
    return exp.paren(sqlglot.parse_one(labels.label, dialect="duckdb"))


def _instant(name: str) -> exp.Expression:
    return exp.cast(_column(name), "TIMESTAMPTZ", dialect="duckdb")


def _literal(micros: int) -> exp.Expression:
    return exp.cast(exp.Literal.string(to_datetime(micros).isoformat()), "TIMESTAMPTZ", dialect="duckdb")


def _column(name: str) -> exp.Column:
    return exp.column(name, quoted=True)
