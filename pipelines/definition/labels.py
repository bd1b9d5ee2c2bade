"""Where labels come from, and when each became known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field

from featurestore.definitions.faults import Faults, Location
from featurestore.definitions.sources import TableSource
from featurestore.errors import InputError


@dataclass(frozen=True, slots=True)
class LabelSource:
    """The rows to learn from: one example for each row of `source` whose label is known, under the name `name`.

    `label` is a SQL expression over the source's columns; a row whose label is null is no example. The example stands
    at `event_timestamp` (by default the source's own), which is when its features are asked for, and its label became
    known at `known_at`, a column of instants. `keys` are columns that stand in the training set beside those that the
    service needs (its join keys and request columns), such as those of slices. `where`: a SQL condition on the rows.
    """

    name: str
    _: KW_ONLY
    source: TableSource
    label: str
    known_at: str
    event_timestamp: str | None = None
    keys: Sequence[str] = ()
    where: str | None = None
    declared_at: Location | None = field(default=None, init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        faults = Faults(f"LabelSource '{self.name}'")
        object.__setattr__(self, "declared_at", faults.site)
        faults.column(self.name, "name")
        for what in ("label", "known_at"):
            value = getattr(self, what)
            faults.add_if(not isinstance(value, str) or not value.strip(), f"{what} must be text that is not empty.")
        faults.add_if(self.where is not None and not str(self.where).strip(), "where is empty; leave it out.")
        for expression in (self.label, self.where):
            if isinstance(expression, str) and expression.strip():
                self._check_expression(faults, expression)
        if not isinstance(self.source, TableSource):
            faults.add(f"source must be a source of rows, found {self.source!r}.")
        elif self.event_timestamp is None:
            own = self.source.event_timestamp
            faults.add_if(
                own is None, f"source '{self.source.name}' is timeless; name the event_timestamp of examples."
            )
            object.__setattr__(self, "event_timestamp", own)
        self._check_keys(faults)
        faults.done()

    @staticmethod
    def _check_expression(faults: Faults, expression: str) -> None:
        from featurestore.sql import check_expression  # takes a while to import, and triggers need no labels

        try:
            check_expression(expression)
        except InputError as error:
            faults.add(str(error))

    def _check_keys(self, faults: Faults) -> None:
        if isinstance(self.keys, str):
            faults.add(f"keys must list columns, got {self.keys!r}; write keys=[{self.keys!r}].")
            return
        object.__setattr__(self, "keys", tuple(self.keys))
        faults.duplicates(tuple(self.keys), "key")
        faults.add_if(self.name in self.keys, f"'{self.name}' is the label and a key; give one of them another name.")

    @property
    def timestamp(self) -> str:
        """The column of the instants at which the features of examples are asked for."""
        assert self.event_timestamp is not None, "__post_init__ has filled it, or refused"
        return self.event_timestamp
