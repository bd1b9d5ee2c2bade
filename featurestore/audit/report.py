"""What an audit found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from featurestore.dtypes import Value


@dataclass(frozen=True, slots=True)
class Cell:
    """A feature of one vector; `event_us` is the event time of what answered."""

    value: Value
    status: str
    event_us: int | None


@dataclass(frozen=True, slots=True)
class Example:
    """A cell that is not as history has it: the vector's `id` and `row` in the log, and what was asked for at `at_us`.

    `kind` is different, missing or extra; `distance` None where there is none.
    """

    id: str
    row: int
    at_us: int
    entity: Mapping[str, Value]
    request: Mapping[str, Value]
    kind: str
    served: Cell
    history: Cell
    distance: float | None

    @property
    def severity(self) -> tuple[float, str, int]:
        """The worst come last: a value where there is none, or none where there is one, then the farthest."""
        far = -1.0 if self.distance is None else self.distance
        return (float("inf") if self.kind != "different" else far, self.id, self.row)


@dataclass(frozen=True, slots=True)
class FeatureAudit:
    """One feature against history as of the versions that it was served from; `examples` are the worst cells."""

    feature: str
    equal: int
    different: int
    missing: int
    extra: int
    max_distance: float | None
    examples: tuple[Example, ...]

    @property
    def differences(self) -> int:
        """Cells that are not equal."""
        return self.different + self.missing + self.extra


@dataclass(frozen=True, slots=True)
class Lateness:
    """One feature against history as it is known now, over `cells`: what those served would be today.

    `changed` have another value or status, `appeared` have one now where none was served, `vanished` none any more.
    Distances are of changed numbers.
    """

    feature: str
    cells: int
    changed: int
    appeared: int
    vanished: int
    mean_distance: float | None
    max_distance: float | None

    @property
    def differences(self) -> int:
        """Cells that would be another today."""
        return self.changed + self.appeared + self.vanished


@dataclass(frozen=True, slots=True)
class Unauditable:
    """Vectors that cannot be held against history any more, and why."""

    vectors: int
    reason: str


@dataclass(frozen=True, slots=True)
class AuditReport:
    """An audit of the vectors that a service served in [since_us, until_us); None: no such end.

    `vectors` were logged, `audited` of them compared, `dropped` not logged because the buffer was full, `erased` taken
    out. `features` and `lateness` come worst first.
    """

    service: str
    since_us: int | None
    until_us: int | None
    vectors: int
    audited: int
    dropped: int
    erased: int
    features: tuple[FeatureAudit, ...]
    unauditable: tuple[Unauditable, ...]
    lateness: tuple[Lateness, ...]

    @property
    def differences(self) -> int:
        """Cells that are not as history has them; none on a healthy store."""
        return sum(feature.differences for feature in self.features)
