"""What a lookup answers: values, statuses and event times, one row per entity row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl
import pyarrow as pa

from featurestore.arrow import arrow_type, polars_type
from featurestore.dtypes import DType, Value
from featurestore.online.values import Publication
from featurestore.timeline import Status, to_datetime

Origin = tuple[Sequence[Status], Sequence[int | None]]  # per row: how the view's step was found, its event time


@dataclass(frozen=True, slots=True)
class AnswerShape:
    """The columns of an answer, the same for every lookup of a plan: join keys, then features.

    `views` holds for each feature the index of its view, None for a feature computed at request time.
    """

    keys: tuple[tuple[str, DType], ...]
    features: tuple[tuple[str, DType], ...]
    views: tuple[int | None, ...]
    names: tuple[str, ...]  # of all columns, in order


class OnlineFeatures:
    """The answer of a lookup: one row per entity row, in order; join keys as given, then the features.

    A feature has the Python form of its logical type; it is None unless its status is PRESENT. `columns` are the join
    keys and features in the order of `shape.names`; for each view of the plan `origins` say how its rows were found and
    `publications` which table version answers; `at_us` is the instant that the answer is for.
    """

    __slots__ = ("at_us", "columns", "origins", "publications", "shape")

    def __init__(
        self,
        shape: AnswerShape,
        columns: Sequence[list[Value]],
        origins: Sequence[Origin],
        publications: Sequence[Publication] = (),
        at_us: int = 0,
    ) -> None:
        self.shape = shape
        self.columns = columns
        self.origins = origins
        self.publications = publications
        self.at_us = at_us

    def to_dict(self) -> dict[str, list[Value]]:
        """Each join key and feature with its values."""
        return dict(zip(self.shape.names, self.columns, strict=True))

    def to_polars(self) -> pl.DataFrame:
        """The same as a polars frame, in the logical types."""
        types = (dtype for _, dtype in (*self.shape.keys, *self.shape.features))
        columns = zip(self.shape.names, self.columns, types, strict=True)
        return pl.DataFrame([pl.Series(name, values, polars_type(dtype)) for name, values, dtype in columns])

    def to_arrow(self) -> pa.Table:
        """The same as an Arrow table, in the logical types."""
        types = (dtype for _, dtype in (*self.shape.keys, *self.shape.features))
        columns = zip(self.columns, types, strict=True)
        return pa.table(
            [pa.array(values, arrow_type(dtype)) for values, dtype in columns], names=list(self.shape.names)
        )

    @property
    def statuses(self) -> dict[str, list[Status]]:
        """Each feature with the reason why each of its values is there or absent."""
        columns = self.columns[len(self.shape.keys) :]
        features = zip(self.shape.features, self.shape.views, columns, strict=True)
        return {name: self._feature_statuses(view, values) for (name, _), view, values in features}

    @property
    def null_values(self) -> int:
        """How many values have the status NULL_VALUE."""
        features = zip(self.shape.views, self.columns[len(self.shape.keys) :], strict=True)
        statuses = (self._feature_statuses(view, values) for view, values in features if None in values)
        return sum(found.count(Status.NULL_VALUE) for found in statuses)

    @property
    def event_timestamps(self) -> dict[str, list[datetime | None]]:
        """Each feature with the event time of the step in force; None where there is none.

        A step beyond its TTL keeps its event time; timeless and request-time features have none.
        """
        features = zip(self.shape.features, self.shape.views, strict=True)
        return {name: self._feature_times(view) for (name, _), view in features}

    def __len__(self) -> int:
        """The number of entity rows."""
        return len(self.columns[0]) if self.columns else 0

    def __repr__(self) -> str:
        return f"OnlineFeatures({self.to_dict()!r})"

    def _feature_statuses(self, view: int | None, values: list[Value]) -> list[Status]:
        if view is None:
            return [Status.NULL_VALUE if value is None else Status.PRESENT for value in values]
        found, _ = self.origins[view]
        return [
            Status.NULL_VALUE if value is None and status is Status.PRESENT else status
            for value, status in zip(values, found, strict=True)
        ]

    def _feature_times(self, view: int | None) -> list[datetime | None]:
        if view is None:
            return [None] * len(self)
        _, times = self.origins[view]
        return [None if time is None else to_datetime(time) for time in times]
