"""A loaded model version: it scores what a lookup answers, and rows of history, through one and the same frame."""

from __future__ import annotations

import polars as pl

from featurestore.errors import InputError
from featurestore.online.result import OnlineFeatures
from pipelines.frames import Columns, model_frame, online_frame
from pipelines.ledger.records import ModelVersion
from pipelines.models.document import ModelDocument
from pipelines.models.scoring import Scores, score


class Predictor:
    """A fitted model with what it is asked with; safe for threads."""

    __slots__ = ("_frame", "document", "model", "version")

    def __init__(self, version: ModelVersion, model: object) -> None:
        self.version = version
        self.document = ModelDocument.of(version)
        self.model = model
        self._frame = online_frame(self.document.signature.inputs)

    @property
    def name(self) -> str:
        """`model@version`."""
        return f"{self.version.model}@{self.version.version}"

    def scores(self, answer: OnlineFeatures) -> Scores:
        """A score for each row of a lookup's answer; raises PipelineError when the model gives none."""
        return self.score_columns(answer.to_dict())

    def score_columns(self, columns: Columns) -> Scores:
        """A score for each row of columns of Python values; raises InputError when an input is missing."""
        return self._scored(self._frame(columns))

    def score_rows(self, rows: pl.DataFrame) -> Scores:
        """A score for each row of a frame that has the inputs among its columns, such as one of history."""
        return self._scored(model_frame(rows, self.document.signature.inputs))

    def _scored(self, frame: pl.DataFrame) -> Scores:
        if not frame.height:
            raise InputError(f"Model {self.name} was asked for no row; give one at least.")
        return score(self.model, frame, self.document.signature.kind)
