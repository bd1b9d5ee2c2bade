"""A training pipeline: what is learned, from what, and what it must pass before it is live."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import timedelta

from featurestore.definitions import EntitySplit, FeatureService, FeatureView, RandomSplit, Split, TimeSplit
from featurestore.definitions.faults import Faults, Location
from featurestore.definitions.service import needed_columns, output_names
from featurestore.errors import closest_first
from pipelines.definition.data_gate import DataCheck
from pipelines.definition.labels import LabelSource
from pipelines.definition.metrics import METRICS, Kind
from pipelines.definition.model_gate import Behaves, ModelCheck
from pipelines.definition.policy import DEFAULT_POLICY, RunPolicy
from pipelines.definition.triggers import Trigger

Estimator = Callable[[], object]  # returns a new scikit-learn estimator


@dataclass(frozen=True, slots=True)
class TrainingPipeline:
    """How the model `name` is kept good: trained on a service's features and a source's labels, behind two gates.

    `estimator` makes a new scikit-learn estimator; it is fitted on the rows of the split's train part, judged on those
    of its test part. `inputs` are the features that it learns from, by default all of the service. `window`: how far
    back from a run examples are taken, by default all. Without a model gate no model is ever approved. `policy` limits
    the runs that triggers start.
    """

    name: str
    _: KW_ONLY
    service: FeatureService
    labels: LabelSource
    estimator: Estimator
    split: Split
    data_gate: Sequence[DataCheck] = ()
    model_gate: Sequence[ModelCheck] = ()
    triggers: Sequence[Trigger] = ()
    policy: RunPolicy = DEFAULT_POLICY
    inputs: Sequence[str] | None = None
    window: timedelta | None = None
    description: str = ""
    owner: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    declared_at: Location | None = field(default=None, init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        faults = Faults(f"TrainingPipeline '{self.name}'")
        object.__setattr__(self, "declared_at", faults.site)
        faults.name(self.name)
        faults.texts(self.description, self.owner, self.tags)
        faults.add_if(not callable(self.estimator), f"estimator must be a function, found {self.estimator!r}.")
        if self.window is not None:
            faults.duration(self.window, "window")
        self._check_split(faults)
        self._check_parts(faults)
        if not isinstance(self.service, FeatureService):
            faults.add(f"service must be a FeatureService, found {self.service!r}.")
        elif not isinstance(self.labels, LabelSource):
            faults.add(f"labels must be a LabelSource, found {self.labels!r}.")
        else:
            self._check_columns(faults, self.service, self.labels)
        faults.done()

    def _check_split(self, faults: Faults) -> None:
        match self.split:
            case TimeSplit(test=test, known_at=known_at):
                faults.add_if(not test, "split leaves no rows to test on; give test a length.")
                faults.add_if(known_at is not None, "split takes known_at from the labels; leave it out there.")
            case EntitySplit(fractions=fractions) | RandomSplit(fractions=fractions):
                faults.add_if(not fractions or not fractions[-1], "split leaves no rows to test on; give test a share.")
            case _:
                faults.add(f"split must be a TimeSplit, EntitySplit or RandomSplit, found {self.split!r}.")

    def _check_parts(self, faults: Faults) -> None:
        for what, kinds in (("data_gate", DataCheck), ("model_gate", ModelCheck), ("triggers", Trigger)):
            given = getattr(self, what)
            parts = tuple(given) if isinstance(given, list | tuple) else ()
            wrong = [part for part in parts if not isinstance(part, kinds)]
            names = ", ".join(kind.__name__ for kind in kinds.__args__)
            faults.add_if(parts != tuple(given or ()) or bool(wrong), f"{what} lists some of {names}; found {given!r}.")
            object.__setattr__(self, what, parts)
        faults.add_if(not isinstance(self.policy, RunPolicy), f"policy must be a RunPolicy, found {self.policy!r}.")
        faults.add_if(sum(isinstance(c, Behaves) for c in self.model_gate) > 1, "model_gate has more than one Behaves.")
        kinds_of_label = {METRICS[name].kind for name in self._metrics() if name in METRICS}
        faults.add_if(len(kinds_of_label) > 1, "model_gate and triggers mix metrics of classification and regression.")

    def _metrics(self) -> Iterator[str]:
        for part in (*self.model_gate, *self.triggers):
            metric = getattr(part, "metric", None)
            if metric is not None:
                yield metric

    def _check_columns(self, faults: Faults, service: FeatureService, labels: LabelSource) -> None:
        members = tuple(member for member in service.features if not isinstance(member, FeatureView))
        features = [name for member in members for name in output_names(member)]
        spine = {*needed_columns(members), *labels.keys, labels.timestamp, labels.known_at}
        taken = sorted({labels.name} & {*features, *spine})
        faults.add_if(bool(taken), f"the label '{labels.name}' has the name of another column; rename it.")
        for key in sorted({*labels.keys, labels.known_at} & set(features)):
            faults.add(f"column '{key}' of the labels has the name of a feature; rename one of them.")
        if self.inputs is None:
            return
        if isinstance(self.inputs, str) or not self.inputs:
            faults.add(f"inputs must list features of the service, got {self.inputs!r}.")
            return
        object.__setattr__(self, "inputs", tuple(self.inputs))
        faults.duplicates(tuple(self.inputs), "input")
        if all(output_names(member) for member in members):  # a pinned view may not say what it has
            for name in self.inputs:
                near = ", ".join(closest_first(name, features)[:5])
                faults.add_if(
                    name not in features, f"input '{name}' is no feature of service '{service.name}', which has {near}."
                )

    @property
    def kind(self) -> Kind | None:
        """The kind of label that the gate's metrics are for; None when they do not say."""
        return next((METRICS[name].kind for name in self._metrics()), None)

    def behaves(self) -> Behaves | None:
        """What the model must be like in the server, when the gate says."""
        return next((check for check in self.model_gate if isinstance(check, Behaves)), None)
