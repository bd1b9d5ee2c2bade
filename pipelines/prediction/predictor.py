"""A loaded model version: it scores what a lookup answers, and rows of history, from the same values of its inputs."""

from __future__ import annotations

import polars as pl

from featurestore.errors import InputError
from featurestore.online.result import OnlineFeatures
from pipelines.frames import Columns, model_frame, online_array, online_frame
from pipelines.ledger.records import ModelVersion
from pipelines.models.document import ModelDocument
from pipelines.models.nameless import nameless
from pipelines.models.scoring import Asked, Scores, score


class Predictor:
    """A fitted model with what it is asked with; safe for threads.

    A few rows of numbers are given to it as an array, if it is one that reads no names.
    """

    __slots__ = ("_array", "_frame", "_nameless", "document", "model", "version")

    def __init__(self, version: ModelVersion, model: object) -> None:
        self.version = version
        self.document = ModelDocument.of(version)
        self.model = model
        self._frame = online_frame(self.document.signature.inputs)
        self._array = online_array(self.document.signature.inputs)
        self._nameless = None if self._array is None else nameless(model)

    @property
    def name(self) -> str:
        """`model@version`."""
        return f"{self.version.model}@{self.version.version}"

    def scores(self, answer: OnlineFeatures) -> Scores:
        """A score for each row of a lookup's answer; raises PipelineError when the model gives none."""
        return self.score_columns(answer.to_dict())

    def score_columns(self, columns: Columns) -> Scores:
        """A score for each row of columns of Python values; raises InputError when an input is missing."""
        array = None if self._array is None or self._nameless is None else self._array(columns)
        if array is not None:
            return self._scored(self._nameless, array)
        return self._scored(self.model, self._frame(columns))

    def score_rows(self, rows: pl.DataFrame) -> Scores:
        """A score for each row of a frame that has the inputs among its columns, such as one of history."""
        return self._scored(self.model, model_frame(rows, self.document.signature.inputs))

    def _scored(self, model: object, rows: Asked) -> Scores:
        if not len(rows):
            raise InputError(f"Model {self.name} was asked for no row; give one at least.")
        return score(model, rows, self.document.signature.kind)
