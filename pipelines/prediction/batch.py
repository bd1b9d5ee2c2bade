"""Predictions for many rows at once: by a loaded version, with the features that it learned from, as the server has it.

Features are looked up as they are now, and predictions logged as the server logs them; or, with a column of instants,
answered from history as they were known at each, and not logged.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import polars as pl

from featurestore.audit.log import Scorer, id_text, new_id
from featurestore.errors import InputError
from featurestore.pinning import Pins
from featurestore.plan.views import table_name
from featurestore.store import FeatureStore
from pipelines.models.scoring import Scores
from pipelines.prediction.learned import learned_catalog
from pipelines.prediction.predictor import Predictor
from pipelines.rooms import PipelineRooms

CHUNK = 1_000
Progress = Callable[[int], None]  # is told of so many rows more that are done


def _unseen(_rows: int) -> None: ...


class BatchPredictor:
    """A version of a model, by default the champion, for rows of a frame."""

    def __init__(self, store: FeatureStore, name: str, version: int | None = None) -> None:
        self._store = store
        self._rooms = PipelineRooms(store)
        found = self._rooms.models.get(name, version)
        self._predictor = Predictor(found, self._rooms.models.load(found))
        self._service = self._predictor.document.signature.service
        self._catalog = learned_catalog(self._predictor.document, store.registry)

    def online(self, rows: pl.DataFrame, progress: Progress = _unseen) -> pl.DataFrame:
        """The rows, in order, with `score`, `model`, `version`, `feature_versions` (JSON) and `prediction_id`.

        The rows have the join keys and request columns. Raises InputError when they lack one.
        """
        lookup = self._store.compile_lookup(self._service, self._catalog)
        keys, request = [name for name, _ in lookup.shape.keys], [name for name, _ in lookup.plan.request]
        self._check(rows, [*keys, *request])
        version = self._predictor.version
        logged, scores, ids = self._rooms.predictions, [], []
        scorer = Scorer(version.model, version.version)
        kept = None if logged is None else logged.of(lookup.plan, self._service, self._catalog, scorer)
        for part in rows.iter_slices(CHUNK):
            given = part.select(request).to_dicts() if request else None
            answer = lookup.answer(part.select(keys).to_dicts() if keys else [{}] * part.height, given)
            found, number = self._predictor.scores(answer).tolist(), new_id()
            if kept is not None and logged is not None:
                kept.log(number, answer, given, found)
                logged.flush()
            scores += found
            ids += [f"{id_text(number)}-{row}" for row in range(part.height)]
            progress(part.height)
        if logged is not None:
            logged.close()
        return self._told(rows, pl.Series("score", scores, pl.Float64), pl.Series("prediction_id", ids, pl.String))

    def at(self, rows: pl.DataFrame, timestamp: str) -> pl.DataFrame:
        """The same with each row's features as they were known at its instant; `prediction_id` is null.

        Raises InputError when a view's version that the model learned from is not kept any more.
        """
        if not rows.height:
            raise InputError("There is no row to predict for.")
        frame = self._store.retrieve(rows, self._pins(), timestamp=timestamp).to_polars()
        scores: Scores = self._predictor.score_rows(frame)
        none = pl.Series("prediction_id", [None] * rows.height, pl.String)
        return self._told(rows, pl.Series("score", scores, pl.Float64), none)

    def _pins(self) -> Pins:
        catalog, selection = self._store.selected(self._service, self._catalog)
        serving = self._store.pins(self._service)
        snapshots = {pin.table: pin.snapshot for pin in serving.views.values()}
        pins = Pins.of(selection, catalog, serving.revision, lambda record: snapshots.get(table_name(record)))
        for name, pin in pins.views.items():
            if pin.table not in snapshots:
                raise InputError(
                    f"Model {self._predictor.name} learned from an earlier version of view '{name}', and history is "
                    "kept for the one that serves; train the model again, or predict from present features."
                )
        return pins

    def _told(self, rows: pl.DataFrame, score: pl.Series, ids: pl.Series) -> pl.DataFrame:
        version = self._predictor.version
        views = msgspec.json.encode(self._predictor.document.views, order="sorted").decode()
        said = {"model": version.model, "version": version.version, "feature_versions": views}
        return rows.with_columns(score, *(pl.lit(value).alias(name) for name, value in said.items()), ids)

    def _check(self, rows: pl.DataFrame, columns: list[str]) -> None:
        lacking = [column for column in columns if column not in rows.columns]
        if lacking or not rows.height:
            what = f"lack {', '.join(lacking)}" if lacking else "are none"
            raise InputError(f"Model {self._predictor.name} is asked with {', '.join(columns)}; the rows {what}.")


def write_predictions(predictions: pl.DataFrame, path: Path) -> None:
    """Write them as Parquet; raises InputError where they cannot be written."""
    try:
        predictions.write_parquet(path)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}.") from error
