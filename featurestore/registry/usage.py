"""Which versions of views are in use, and by what: those are kept fresh, and nothing of them may be removed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from featurestore.plan.catalog import Catalog, pins_of
from featurestore.plan.views import namespace, table_name
from featurestore.registry.base import Move, RegistryState, ViewVersion

SERVES, APPLIED, ROLLBACK_TARGET = "serves", "applied", "rollback target"


@dataclass(frozen=True, slots=True)
class UsedVersion:
    """A version of a view with its offline table and online namespace; `reasons` are SERVES, APPLIED, `pinned by ...`
    and ROLLBACK_TARGET.
    """

    version: ViewVersion
    table: str
    namespace: str
    reasons: tuple[str, ...]

    @property
    def fresh(self) -> bool:
        """Whether materializing keeps it up to date: a version that could only be rolled back to stands still."""
        return self.reasons != (ROLLBACK_TARGET,)


def used_versions(
    state: RegistryState, versions: Iterable[ViewVersion], moves: Sequence[Move], project: str
) -> tuple[UsedVersion, ...]:
    """The versions in use, by view in the applied order: the one that serves first, the applied one last."""
    reasons: dict[tuple[str, int], list[str]] = {}
    for name in dict.fromkeys((*state.applied.views, *state.serving.views)):
        for (view, version), reason in _reasons(name, state, moves):
            reasons.setdefault((view, version), []).append(reason)
    known = {(version.view, version.version): version for version in versions}
    return tuple(
        UsedVersion(
            version=known[key],
            table=table_name(known[key].record),
            namespace=namespace(project, known[key].record),
            reasons=tuple(dict.fromkeys(why)),
        )
        for key, why in reasons.items()
    )


def previous_version(moves: Iterable[Move], served: int) -> int | None:
    """Of one view's moves: the last version before `served` that ever served; None when there is none."""
    return max((m.to_version for m in moves if m.to_version is not None and m.to_version < served), default=None)


def _reasons(view: str, state: RegistryState, moves: Sequence[Move]) -> Iterable[tuple[tuple[str, int], str]]:
    if view in state.serving.views:
        served = state.serving.versions[view]
        yield (view, served), SERVES
        before = previous_version((m for m in moves if (m.kind, m.name) == ("view", view)), served)
        if before is not None:
            yield (view, before), ROLLBACK_TARGET
    for catalog in (state.serving, state.applied):
        yield from _pins(view, catalog)
    if view in state.applied.views:
        yield (view, state.applied.versions[view]), APPLIED


def _pins(view: str, catalog: Catalog) -> Iterable[tuple[tuple[str, int], str]]:
    dependents = (("service", catalog.services), ("on-demand view", catalog.on_demand))
    for kind, records in dependents:
        for name, record in records.items():
            for pinned, version in sorted(pins_of(record)):
                if pinned == view:
                    yield (view, version), f"pinned by {kind} {name}"
