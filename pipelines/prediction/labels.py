"""Labels that come later: joined to the predictions that were logged, by id, or by entity and time.

Each file of labels holds what one call recorded: prediction_id, label, known_at. Of several
labels of one prediction the one that was known last counts, so any repetition changes nothing. The files hold no keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import polars as pl
import pyarrow as pa

from featurestore.audit.records import LogFiles
from featurestore.errors import InputError
from featurestore.files import write_whole
from featurestore.store import FeatureStore
from featurestore.timeline import to_datetime
from pipelines.definition.pipeline import TrainingPipeline
from pipelines.frames import Signature, label_values
from pipelines.models.document import ModelDocument
from pipelines.rooms import PipelineRooms, predictions_folder
from pipelines.steps.extract import examples_known_since, known_examples

ID = "prediction_id"
_INSTANT = pl.Datetime("us", "UTC")
_RECORDED = pl.Schema({ID: pl.String(), "label": pl.Float64(), "known_at": _INSTANT})
_SCORED = pl.Schema({ID: pl.String(), "version": pl.Int64(), "asked_at": _INSTANT, "score": pl.Float64()})
_LOGGED = pl.Schema(_SCORED | {"served_at": _INSTANT})
_READ = ("id", "row", "served_at", "asked_at", "request", "keys", "score")
_SEEN = "=seen_at"  # since when a tick has joined a label of the source
_KEY = "="  # before the names of join keys and request columns, which may be called as ours are


@dataclass(frozen=True, slots=True)
class Labelled:
    """What became of `labels` that are not null: `joined` belong to a prediction, one to each.

    `new` of them were not recorded before, or are others and were known no earlier than what was.
    """

    pipeline: str
    labels: int
    joined: int
    new: int


@dataclass(frozen=True, slots=True)
class LabelColumns:
    """The columns of a frame of labels; by default those that the pipeline's LabelSource names.

    `within`: how long before its label's instant a prediction may have been asked for.
    """

    label: str | None = None
    timestamp: str | None = None
    known_at: str | None = None
    within: timedelta = timedelta(days=1)


def record_labels(
    store: FeatureStore, name: str, frame: pl.DataFrame | None = None, columns: LabelColumns | None = None
) -> Labelled:
    """Join labels to logged predictions and keep them; by default those of the pipeline's source that are known by now.

    With a column `prediction_id` a label belongs to that prediction. Otherwise it belongs to the last prediction for
    the same join keys, and the same request columns as far as the frame has them, that was asked for at or before the
    label's instant and not longer than `within` before it; of several labels to the earliest. Null labels are left out.
    Raises InputError for a frame without the columns, or whose labels are no labels of the model.
    """
    rule, now_us, folder = _rule(PipelineRooms(store), name, columns), store.now_us(), predictions_folder(store)
    if frame is None:
        frame = known_examples(store, rule.pipeline, now_us)
    labels, found = _matched(frame, logged_predictions(folder, name), rule, now_us)
    return _keep((folder, store.now_us()), name, labels, foremost(found))


def source_labels(rooms: PipelineRooms, name: str, logged: pl.DataFrame) -> pl.DataFrame:
    """The labels of a pipeline's source that are known by now, beside the logged predictions that they belong to.

    Columns: prediction_id, label, known_at, and since when a tick has joined it: seen_at. Of those that were seen by
    some instant the `foremost` of each prediction was joined.
    """
    rule, now_us = _rule(rooms, name, None), rooms.store.now_us()
    frame = examples_known_since(rooms.store, rule.pipeline, now_us, _SEEN)
    return _matched(frame, logged, rule, now_us)[1].rename({_SEEN: "seen_at"})


def foremost(labels: pl.DataFrame) -> pl.DataFrame:
    """The first row of each prediction."""
    return labels.unique(ID, keep="first", maintain_order=True)


@dataclass(frozen=True, slots=True)
class _Rule:
    """Which labels belong to which predictions of a pipeline's model, which is asked as its signature says."""

    pipeline: TrainingPipeline
    columns: LabelColumns
    signature: Signature


def _rule(rooms: PipelineRooms, name: str, columns: LabelColumns | None) -> _Rule:
    return _Rule(rooms.pipeline(name), columns or LabelColumns(), _signature(rooms, name))


def _matched(frame: pl.DataFrame, logged: pl.DataFrame, rule: _Rule, now_us: int) -> tuple[int, pl.DataFrame]:
    """How many labels are not null, and prediction_id, label and known_at of those that belong to a prediction.

    In order of precedence: by the labels' instants, or, where they name their predictions, those known last first.
    """
    pipeline, given = rule.pipeline, rule.columns
    label = given.label or pipeline.labels.name
    _need(frame, [label], pipeline.name)
    frame = frame.filter(pl.col(label).is_not_null())
    known = given.known_at or pipeline.labels.known_at
    known_at = pl.col(known) if known in frame.columns else pl.lit(to_datetime(now_us))
    labels = frame.with_columns(
        pl.Series("=label", label_values(frame, label, rule.signature.kind), pl.Float64), known_at.alias("=known_at")
    )
    by_id = ID in frame.columns
    joined = labels.join(logged.select(ID), on=ID, maintain_order="left") if by_id else _by_time(labels, logged, rule)
    seen = [_utc(joined, _SEEN)] if _SEEN in joined.columns else []
    found = joined.select(ID, *seen, label="=label", known_at=_utc(joined, "=known_at"))
    return labels.height, found.sort("known_at", maintain_order=True).reverse() if by_id else found


def _keep(at: tuple[Path, int], name: str, labels: int, chosen: pl.DataFrame) -> Labelled:
    folder, now_us = at
    before = chosen.join(recorded_labels(folder, name), on=ID, how="left", suffix="_before")
    other = (pl.col("label") != pl.col("label_before")) & (pl.col("known_at") >= pl.col("known_at_before"))
    new = before.filter(pl.col("label_before").is_null() | other).select(ID, "label", "known_at")
    if new.height:
        write_whole(LogFiles(folder).new_labels(name, now_us), new.write_parquet)
    return Labelled(name, labels, chosen.height, new.height)


def _by_time(labels: pl.DataFrame, logged: pl.DataFrame, rule: _Rule) -> pl.DataFrame:
    pipeline, given, signature = rule.pipeline, rule.columns, rule.signature
    timestamp = given.timestamp or pipeline.labels.timestamp
    _need(labels, [timestamp, *signature.keys], pipeline.name)
    by = [*signature.keys, *(column for column, _ in signature.request if column in labels.columns)]
    if logged.is_empty():
        return labels.clear().with_columns(pl.lit(None, pl.String).alias(ID))
    marked = [f"{_KEY}{column}" for column in dict.fromkeys(by)]
    try:
        left = labels.select(
            *(name for name in ("=label", "=known_at", _SEEN) if name in labels.columns),
            _utc(labels, timestamp).alias("=at"),
            *(pl.col(column.removeprefix(_KEY)).cast(logged.schema[column]).alias(column) for column in marked),
        ).sort("=at", maintain_order=True)
    except pl.exceptions.PolarsError as error:
        raise InputError(f"The labels' keys are not of the service's types: {str(error).splitlines()[0]}.") from error
    found = left.join_asof(
        logged.select(ID, "asked_at", *marked).sort("asked_at"),
        left_on="=at",
        right_on="asked_at",
        by=marked or None,
        strategy="backward",
        tolerance=given.within,
        check_sortedness=False,
    )
    return found.filter(pl.col(ID).is_not_null())


def logged_predictions(folder: Path, model: str) -> pl.DataFrame:
    """What a model predicted: prediction_id, version, asked_at, score, served_at, and keys and request as `=name`."""
    alike: dict[tuple[int | None, pa.Schema], list[pa.Table]] = {}
    for facts, rows in LogFiles(folder).columns(model, _READ):
        plain = rows.replace_schema_metadata()
        alike.setdefault((facts.model_version, plain.schema), []).append(plain)
    frames = [pl.DataFrame(schema=_LOGGED)]
    frames += [_logged(pl.DataFrame(pa.concat_tables(tables)), of) for (of, _), tables in alike.items()]
    return pl.concat(frames, how="diagonal_relaxed").unique(ID, keep="first").sort("asked_at", ID)


def _logged(rows: pl.DataFrame, model_version: int | None) -> pl.DataFrame:
    columns = {
        f"{_KEY}{part.name}": pl.col(group).struct.field(part.name)
        for group in ("request", "keys")
        if isinstance(kind := rows.schema.get(group), pl.Struct)
        for part in kind.fields
    }
    number = pl.concat_str(pl.col("id"), pl.col("row").cast(pl.String), separator="-")
    version = pl.lit(model_version, pl.Int64)
    return rows.select(number.alias(ID), version.alias("version"), "asked_at", "score", "served_at", **columns)


def predicted_scores(folder: Path, model: str, version: int | None, *, length_us: int, newest: int) -> pl.DataFrame:
    """prediction_id, version, asked_at, score and `start` of the `newest` windows in which a model predicted, or more.

    A window of a version begins at `start`, a multiple of `length_us`, and is given whole. Only files of the `version`,
    by default of all, are read that have a prediction in these windows; their footers tell.
    """
    files = LogFiles(folder)
    asked = {}
    for path, facts in files.files(model):
        if version in (None, facts.model_version):
            bounds = files.asked(path)
            if bounds is not None:
                asked[path] = (facts.model_version, *bounds)
    # each file is known to have a prediction in the windows of its first and its last instant
    known = {(us // length_us * length_us, number) for number, *us_of in asked.values() for us in us_of}
    since = sorted(start for start, _ in known)[-newest:][:1]
    frames = [pl.DataFrame(schema=_SCORED | {"start": pl.Int64()})]
    for path, (number, _, last) in asked.items():
        if last >= since[0]:
            rows = pl.scan_parquet(path).select(
                pl.concat_str(pl.col("id"), pl.col("row").cast(pl.String), separator="-").alias(ID),
                pl.lit(number, pl.Int64).alias("version"),
                "asked_at",
                "score",
                window_start(length_us),
            )
            frames.append(rows.filter(pl.col("start") >= since[0]).collect())
    return pl.concat(frames).unique(ID, keep="first").sort("asked_at", ID)


def window_start(length_us: int) -> pl.Expr:
    """`start`: when the window of a prediction begins."""
    return (pl.col("asked_at").dt.epoch("us") // length_us * length_us).alias("start")


def recorded_labels(folder: Path, model: str) -> pl.DataFrame:
    """The label of each prediction that has one, as it was known last, and then recorded last.

    Columns: prediction_id, label, known_at.
    """
    return known_last(all_recorded(folder, model).drop("recorded_at"))


def all_recorded(folder: Path, model: str) -> pl.DataFrame:
    """All labels of predictions that were recorded, in that order: prediction_id, label, known_at, recorded_at."""
    frames = [pl.DataFrame(schema=pl.Schema(_RECORDED | {"recorded_at": _INSTANT}))]
    for path, recorded_us in LogFiles(folder).labels(model):
        recorded_at = pl.lit(to_datetime(recorded_us), _INSTANT)
        frames.append(pl.read_parquet(path).with_columns(recorded_at=recorded_at))
    return pl.concat(frames)


def known_last(labels: pl.DataFrame) -> pl.DataFrame:
    """Of each prediction the label that was known last; of those the last row."""
    return labels.sort("known_at", maintain_order=True).unique(ID, keep="last", maintain_order=True)


def _signature(rooms: PipelineRooms, name: str) -> Signature:
    versions = rooms.ledger.models(name)
    if not versions:
        raise InputError(f"Pipeline '{name}' has no model yet, so nothing was predicted; run it first.")
    return ModelDocument.of(max(versions, key=lambda version: version.version)).signature


def _need(frame: pl.DataFrame, columns: list[str], name: str) -> None:
    for column in columns:
        if column not in frame.columns:
            raise InputError(
                f"The labels of '{name}' lack the column '{column}'; they have {', '.join(frame.columns)}. Give "
                f"{ID} and the label, or join keys, instant and label."
            )


def _utc(frame: pl.DataFrame, column: str) -> pl.Expr:
    kind = frame.schema[column]
    if not isinstance(kind, pl.Datetime) or kind.time_zone is None:
        raise InputError(f"The labels' column '{column.removeprefix(_KEY)}' must be an instant with zone, is {kind}.")
    return pl.col(column).dt.convert_time_zone("UTC").cast(_INSTANT)
