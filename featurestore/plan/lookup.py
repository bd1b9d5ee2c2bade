"""The plan of an online lookup, compiled once per service and registry revision."""

from __future__ import annotations

from dataclasses import dataclass

from featurestore.dtypes import DType
from featurestore.plan.on_demand import OnDemandStep
from featurestore.timeline import Visibility


@dataclass(frozen=True, slots=True)
class LookupColumn:
    """A feature: `index` in the view's record, `name` in the answer."""

    index: int
    name: str
    dtype: DType


@dataclass(frozen=True, slots=True)
class ViewLookup:
    """One record per entity row: namespace, key, and what is read from it; `view` and `version` say of what.

    `keys` pairs the request's column name with the key's type, in the entity's order. Of a windowed view the value at
    t stands at v (`featurestore.plan.windows`), which the namespace's watermark bounds: the record's last step at or
    before v answers, and v is its event time.
    """

    label: str
    namespace: str
    keys: tuple[tuple[str, DType], ...]
    columns: tuple[LookupColumn, ...]
    delay_us: int = 0
    ttl_us: int | None = None
    visibility: Visibility = "event"
    timeless: bool = False
    windowed: bool = False
    every_us: int | None = None
    view: str = ""
    version: int = 0

    @property
    def reference(self) -> str:
        """What names the view in the catalog: the label without aliases."""
        return self.label.partition("(")[0]


@dataclass(frozen=True, slots=True)
class LookupPlan:
    """`outputs` are the answered features in order; view columns outside it only feed on-demand steps."""

    features: str
    views: tuple[ViewLookup, ...]
    on_demand: tuple[OnDemandStep, ...]
    request: tuple[tuple[str, DType], ...]
    outputs: tuple[tuple[str, DType], ...]
