"""What is applied and does not serve yet, and why."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from featurestore.errors import FeatureStoreError, NotServingError, UnknownNameError
from featurestore.materialization.succession import Succession
from featurestore.materialization.switching import Switcher
from featurestore.plan.catalog import Catalog, OnDemandMember
from featurestore.plan.selection import select, view_members
from featurestore.registry.base import RegistryState
from featurestore.registry.serving import Dependent, Key, reads


@dataclass(frozen=True, slots=True)
class Waiting:
    """An object that serves in another form than it is applied in; a view's forms have versions.

    `serves` and `applied` are those of a view, None where it does not serve or is applied no more; `reason` says what
    has to happen.
    """

    kind: str
    name: str
    serves: int | None
    applied: int | None
    reason: str


def waiting_objects(state: RegistryState, switcher: Switcher) -> tuple[Waiting, ...]:
    """Views first, in the applied order, then on-demand views and services."""
    differing = state.pending(()).differing()
    order = [key for key in (*state.applied.objects(), *state.serving.objects()) if key in differing]
    return tuple(
        Waiting(kind, name, _version(state.serving, kind, name), _version(state.applied, kind, name), reason)
        for kind, name in dict.fromkeys(order)
        if (reason := _reason((kind, name), state, switcher, differing)) is not None
    )


def explained(
    error: UnknownNameError,
    asked: str | tuple[str, ...],
    applied: Catalog,
    waiting: Callable[[], Collection[Waiting]],
) -> FeatureStoreError:
    """The error for features that do not serve: another one when they are applied, and wait.

    What waits is looked up only then, for that takes the online store.
    """
    try:
        selection = select(asked, applied)
    except UnknownNameError:
        return error
    computed = {member.view for member in selection.members if isinstance(member, OnDemandMember)}
    involved = {*view_members(selection, applied), *computed, selection.service}
    reasons = "; ".join(f"{_listed([(w.kind, w.name)])}: {w.reason}" for w in waiting() if w.name in involved)
    return NotServingError(
        f"'{selection.label}' is applied and does not serve yet ({reasons}). Before that, a version can be asked for: "
        "view@2:feature, with from_source=True when it is not built."
    )


def _version(catalog: Catalog, kind: str, name: str) -> int | None:
    return catalog.versions[name] if kind == "view" and name in catalog.views else None


def _reason(key: Key, state: RegistryState, switcher: Switcher, differing: Collection[Key]) -> str | None:
    kind, name = key
    match kind:
        case "view" if name not in state.serving.views:
            return "the next run lets it serve"
        case "view" if name not in state.applied.views:
            return "it is removed, and something that still serves reads it"
        case "view" if name in state.held:
            return f"it was rolled back; `featurestore switch {name}` ends that"
        case "view":
            return _view_reason(name, state, switcher, differing)
        case "service" | "on_demand":
            missing = sorted(other for other in _reads(key, state) if other in differing)
            return "it waits for " + (_listed(missing) or "a pinned version that is not built")
        case _:
            return None


def _view_reason(name: str, state: RegistryState, switcher: Switcher, differing: Collection[Key]) -> str:
    lacks = switcher.lacking(
        Succession(
            state.applied.views[name],
            state.applied.versions[name],
            state.serving.views[name],
            state.serving.versions[name],
        )
    )
    if lacks is not None:
        return lacks
    readers = [key for key in state.applied.objects() if ("view", name) in _reads(key, state)]
    others = {other for key in readers for other in _reads(key, state) if other[0] == "view"} & set(differing)
    together = sorted(others - {("view", name)})
    return f"it is built, and goes together with {_listed(together)}" if together else "the next run lets it serve"


def _reads(key: Key, state: RegistryState) -> set[Key]:
    forms = (catalog.objects().get(key) for catalog in (state.applied, state.serving))
    return {read for form in forms if isinstance(form, Dependent) for read in reads(form, state.applied, state.serving)}


def _listed(keys: Collection[Key]) -> str:
    return ", ".join(f"{'on-demand view' if kind == 'on_demand' else kind} {name}" for kind, name in keys)
