"""Request-time features: computed from request values and other features, in training and in serving alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Any

from featurestore.definitions.faults import Faults, Location
from featurestore.definitions.sources import RequestSource
from featurestore.definitions.view import FeatureView, ViewProjection
from featurestore.dtypes import DType

if TYPE_CHECKING:
    import polars as pl

    FrameFunction = Callable[[pl.DataFrame], pl.DataFrame]


@dataclass(frozen=True, slots=True)
class OnDemandFeatureView:
    """Features computed when asked: polars expressions over the inputs, or a named function on a polars frame.

    With expressions `features` maps names to expressions. With `function` it maps names to types; the function gets
    a frame with one row per entity row and returns one with as many rows and those columns. Inputs keep their plain
    names inside the view; missing inputs are null.
    """

    name: str
    _: KW_ONLY
    inputs: Sequence[RequestSource | FeatureView | ViewProjection]
    features: Mapping[str, pl.Expr | DType]
    function: Callable[[Any], Any] | None = None
    description: str = ""
    owner: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    declared_at: Location | None = field(default=None, init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        faults = Faults(f"OnDemandFeatureView '{self.name}'")
        object.__setattr__(self, "declared_at", faults.site)
        faults.name(self.name)
        faults.texts(self.description, self.owner, self.tags)
        self._check_inputs(faults)
        if not isinstance(self.features, Mapping) or not self.features:
            faults.add(f"features must map one or more names to expressions, found {self.features!r}.")
        else:
            object.__setattr__(self, "features", dict(self.features))
            self._check_features(faults)
        faults.done()

    def _check_inputs(self, faults: Faults) -> None:
        inputs = tuple(self.inputs) if isinstance(self.inputs, list | tuple) else ()
        faults.add_if(not inputs, "inputs must list request sources and views.")
        kinds = (RequestSource, FeatureView, ViewProjection)
        wrong = [i for i in inputs if not isinstance(i, kinds)]
        faults.add_if(bool(wrong), f"inputs must be request sources and feature views, found {wrong!r}.")
        plain = tuple(i.projection() if isinstance(i, FeatureView) else i for i in inputs if isinstance(i, kinds))
        for part in plain:
            faults.add_if(
                isinstance(part, ViewProjection) and not part.features,
                "an input of one version names its features: view.version(2)[[...]].",
            )
        object.__setattr__(self, "inputs", plain)
        names = tuple(name for i in plain for name in input_names(i))
        for name in sorted({n for n in names if names.count(n) > 1}):
            faults.add(f"input '{name}' comes from two inputs; select features so that each name comes once.")

    def _check_features(self, faults: Faults) -> None:
        taken = {name for i in self.inputs for name in input_names(i)}
        for name, value in self.features.items():
            faults.column(name, "feature name")
            faults.add_if(
                name in taken, f"feature '{name}' has the name of an input column; give the feature another name."
            )
            if self.function is not None:
                faults.dtype(value, f"feature '{name}', computed by a function,")
            elif not hasattr(value, "meta"):
                faults.add(f"feature '{name}' must be a polars expression, found {value!r}.")
        faults.add_if(
            self.function is not None and not callable(self.function), f"function is not callable: {self.function!r}."
        )

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The names of the features, in order."""
        return tuple(self.features)


def input_names(source: RequestSource | FeatureView | ViewProjection) -> tuple[str, ...]:
    """The column names that an input brings into the view."""
    match source:
        case RequestSource(columns=columns):
            return tuple(columns)
        case FeatureView(feature_names=names) | ViewProjection(features=names):
            return names
