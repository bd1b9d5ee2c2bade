"""What a server answered: values, statuses and event times, one row per entity row."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import polars as pl
import pyarrow as pa

from featurestore.errors import ServerError
from featurestore.timeline import Status, parse_instant

_METADATA = b"featurestore"


class ServedFeatures:
    """The answer of a server: one row per entity row, in order; join keys as given, then the features.

    A feature is None unless its status is PRESENT. `at` is the instant that the answer is for, `versions` says for each
    view its version, table version and watermark. Types are exact: the answer travelled as Arrow.
    """

    __slots__ = ("_said", "_table")

    def __init__(self, table: pa.Table) -> None:
        said = (table.schema.metadata or {}).get(_METADATA)
        if said is None:
            raise ServerError("The answer is none of a feature server; check the address.")
        self._table = table
        self._said: dict[str, Any] = json.loads(said)

    @staticmethod
    def read(stream: bytes) -> ServedFeatures:
        """The answer in an Arrow IPC stream; raises ServerError for anything else."""
        try:
            with pa.ipc.open_stream(stream) as reader:
                return ServedFeatures(reader.read_all())
        except pa.ArrowInvalid as error:
            raise ServerError(
                f"The answer cannot be read ({error}); check that the address is a feature server."
            ) from error

    @property
    def at(self) -> datetime:
        """The instant that the answer is for."""
        return parse_instant(self._said["at"])

    @property
    def versions(self) -> Mapping[str, Mapping[str, object]]:
        """For each view that was read its name, version, table version and watermark (RFC 3339, or None)."""
        views: Mapping[str, Mapping[str, object]] = self._said["views"]
        return views

    def to_arrow(self) -> pa.Table:
        """Join keys and features as an Arrow table."""
        return self._table.select([*self._said["entities"], *self._said["features"]]).replace_schema_metadata(None)

    def to_polars(self) -> pl.DataFrame:
        """The same as a polars frame."""
        return pl.DataFrame(self.to_arrow())

    def to_dict(self) -> dict[str, list[object]]:
        """Each join key and feature with its values."""
        values: dict[str, list[object]] = self.to_polars().to_dict(as_series=False)
        return values

    @property
    def statuses(self) -> dict[str, list[Status]]:
        """Each feature with the reason why each of its values is there or absent."""
        return {
            name: [Status[status] for status in self._table.column(f"{name}__status").to_pylist()]
            for name in self._said["features"]
        }

    @property
    def event_timestamps(self) -> dict[str, list[datetime | None]]:
        """Each feature with the event time of the step in force; None where there is none."""
        return {name: self._times(view) for name, view in self._said["features"].items()}

    def _times(self, view: str | None) -> list[datetime | None]:
        if view is None:
            return [None] * len(self)
        times: list[datetime | None] = (
            pl.DataFrame(self._table.select([f"{view}__event_timestamp"])).to_series().to_list()
        )
        return times

    def __len__(self) -> int:
        """The number of entity rows."""
        return int(self._table.num_rows)

    def __repr__(self) -> str:
        return f"ServedFeatures({self.to_dict()!r})"
