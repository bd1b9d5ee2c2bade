"""Features: named, typed values computed from a source row, or aggregated over a window of rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from featurestore.definitions.faults import Faults, Location
from featurestore.definitions.functions import FUNCTIONS, ROWS, Parameter
from featurestore.definitions.functions import faults as use_faults
from featurestore.dtypes import DType
from featurestore.errors import UnknownNameError
from featurestore.timeline import duration_us, format_duration


@dataclass(frozen=True, slots=True)
class Feature:
    """A value of one source row: the column of the same name, or `column`, or a SQL expression over the row.

    `was` names the feature's earlier name, so that a rename rebuilds nothing.
    """

    name: str
    dtype: DType
    expr: str | None = None
    column: str | None = None
    was: str | None = None
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    declared_at: Location | None = field(default=None, init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        faults = Faults(f"Feature '{self.name}'")
        object.__setattr__(self, "declared_at", faults.site)
        faults.column(self.name, "name")
        faults.dtype(self.dtype, "the feature")
        faults.texts(self.description, "", self.tags)
        faults.add_if(self.expr is not None and self.column is not None, "give either expr or column, not both.")
        for what in ("expr", "column"):
            text = getattr(self, what)
            faults.add_if(text is not None and (not isinstance(text, str) or not text.strip()), f"{what} is empty.")
        if self.was is not None:
            faults.column(self.was, "was")
            faults.add_if(self.was == self.name, "was must be the earlier name, not the present one.")
        faults.done()


@dataclass(frozen=True, slots=True)
class Aggregation:
    """A function over the events of a trailing window; `window` None is the whole past.

    `column` is a source column, a SQL expression over the row, or `*` to count rows. `where` is a SQL condition on
    the row. `offset` moves both ends of the window back. Unnamed, it is `{column}_{function}_{window}`, with
    `_{offset}_ago` appended when it has an offset.
    """

    column: str
    function: str
    window: timedelta | None
    where: str | None = None
    offset: timedelta | None = None
    params: Mapping[str, Parameter] | None = None
    name: str | None = None
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    declared_at: Location | None = field(default=None, init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        faults = Faults(f"Aggregation '{self.name or self.column}'")
        object.__setattr__(self, "declared_at", faults.site)
        for what in ("column", "function"):
            text = getattr(self, what)
            faults.add_if(not isinstance(text, str) or not text.strip(), f"{what} must be text that is not empty.")
        if self.window is not None:
            faults.duration(self.window, "window")
        if self.offset is not None:
            faults.duration(self.offset, "offset")
        faults.add_if(self.where is not None and not str(self.where).strip(), "where is empty; leave it out.")
        faults.texts(self.description, "", self.tags)
        object.__setattr__(self, "params", dict(self.params or {}))
        self._check_function(faults)
        if self.name is not None:
            faults.column(self.name, "name")
        elif isinstance(self.window, timedelta | None) and isinstance(self.offset, timedelta | None):
            object.__setattr__(self, "name", self._default_name(faults))
        faults.done()

    def _check_function(self, faults: Faults) -> None:
        """Refuse an unknown function and wrong parameters; types are known when the source is asked."""
        function = FUNCTIONS.get(self.function)
        if function is None:
            faults.add(str(UnknownNameError("aggregate function", str(self.function), FUNCTIONS)))
            return
        fitting = None if self.column == ROWS else DType(min(function.takes))
        for fault in use_faults(self.function, fitting, self.params or {}, lifetime=self.window is None):
            faults.add(fault)

    def _default_name(self, faults: Faults) -> str | None:
        column = "rows" if self.column == "*" else self.column
        if not isinstance(column, str) or not column.isidentifier():
            faults.add("a name is needed: the column is a SQL expression, so none can be made from it.")
            return None
        window = "lifetime" if self.window is None else format_duration(duration_us(self.window))
        offset = f"_{format_duration(duration_us(self.offset))}_ago" if self.offset else ""
        return f"{column}_{self.function}_{window}{offset}"
