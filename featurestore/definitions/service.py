"""Feature services: the features that one model consumes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field

from featurestore.definitions.faults import Faults, Location
from featurestore.definitions.on_demand import OnDemandFeatureView
from featurestore.definitions.sources import RequestSource
from featurestore.definitions.view import FeatureView, ViewProjection

Member = ViewProjection | OnDemandFeatureView


@dataclass(frozen=True, slots=True)
class FeatureService:
    """The features that one model consumes, in order: views, parts of views, on-demand views."""

    name: str
    _: KW_ONLY
    features: Sequence[FeatureView | Member]
    description: str = ""
    owner: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    declared_at: Location | None = field(default=None, init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        faults = Faults(f"FeatureService '{self.name}'")
        object.__setattr__(self, "declared_at", faults.site)
        faults.name(self.name)
        faults.texts(self.description, self.owner, self.tags)
        given = self.features if isinstance(self.features, Iterable) else ()
        wrong = [m for m in given if not isinstance(m, FeatureView | ViewProjection | OnDemandFeatureView)]
        faults.add_if(bool(wrong), f"features must be views or parts of views, found {wrong!r}.")
        members = tuple(
            m.projection() if isinstance(m, FeatureView) else m
            for m in given
            if isinstance(m, FeatureView | ViewProjection | OnDemandFeatureView)
        )
        if not isinstance(self.features, Iterable):
            faults.add(f"features must be a list, found {type(self.features).__name__} {_name(self.features)}.")
        elif not members and not wrong:
            faults.add("features is empty; a service has one view or more.")
        object.__setattr__(self, "features", members)
        self._check_collisions(members, faults)
        faults.done()

    def _check_collisions(self, members: tuple[Member, ...], faults: Faults) -> None:
        owners: dict[str, str] = {}
        for member in members:
            for name in output_names(member):
                if name in owners:
                    faults.add(
                        f"feature '{name}' comes from '{owners[name]}' and from '{_label(member)}'; select features, "
                        "or use with_join_keys or with_prefix."
                    )
                owners[name] = _label(member)
        for column in sorted(needed_columns(members) & set(owners)):
            faults.add(f"feature '{column}' of '{owners[column]}' has the name of a column that the spine brings.")


def _name(given: object) -> str:
    return repr(getattr(given, "name", given))


def output_names(member: Member) -> tuple[str, ...]:
    """The names of a member's features in the service's answer."""
    match member:
        case ViewProjection():
            return tuple(member.output_name(feature) for feature in member.features)
        case OnDemandFeatureView():
            return member.feature_names


def _label(member: Member) -> str:
    return member.view.name if isinstance(member, ViewProjection) else member.name


def needed_columns(members: tuple[Member, ...]) -> set[str]:
    """The join keys and request columns that a spine or a lookup brings."""
    needed: set[str] = set()
    for member in members:
        parts = member.inputs if isinstance(member, OnDemandFeatureView) else (member,)
        for part in parts:
            match part:
                case ViewProjection(keys=keys):
                    needed |= set(keys.values())
                case RequestSource(columns=columns):
                    needed |= set(columns)
    return needed
