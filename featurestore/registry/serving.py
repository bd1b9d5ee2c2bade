"""What serves: for each object the applied form or, while that waits, the one that served before. Pure data.

The rules, for an object that is applied with another meaning than it serves with:

1. A view waits until its new version is ready. One that did not serve before has nothing to protect, and serves.
2. A service or an on-demand view that is new or changed was declared on what is applied, so it waits for everything it
   reads; one that is new does not serve at all meanwhile.
3. Whatever serves can be answered: what a service that still serves needs is kept, removed views included.
4. What came in one apply and is read together switches together, so that no answer is half of a change.

Each rule only ever makes more objects wait, so there is one greatest set that can switch, and `waiting` finds the rest.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from featurestore.plan.catalog import (
    Catalog,
    Object,
    OnDemandMember,
    OnDemandRecord,
    ServiceRecord,
    ViewRecord,
    projections,
    reference,
)
from featurestore.plan.fingerprint import meaning
from featurestore.plan.fitting import misfit

Key = tuple[str, str]  # kind, name
Dependent = ServiceRecord | OnDemandRecord


@dataclass(frozen=True, slots=True)
class Pending:
    """What is applied and what serves, with all that decides how they settle.

    `ready` holds the versions of views that may serve; `since` the apply in which each applied object's meaning came
    (an object that is not in it switches on its own).
    """

    applied: Catalog
    serving: Catalog
    ready: Collection[tuple[str, int]]
    since: Mapping[Key, int]

    def waiting(self) -> frozenset[Key]:
        """The objects that go on serving as they do (a new one: not at all); all others serve as applied."""
        differing = self.differing()
        wait = {("view", name) for name in self.applied.views if not self._may_serve(name)}
        while True:
            more = set(self._more(wait, differing)) - wait
            if not more:
                return frozenset(wait)
            wait |= more

    def moving(self) -> frozenset[Key]:
        """The objects that mean something else from now on, begin to serve, or cease to."""
        return self.differing() - self.waiting()

    def settled(self, waiting: Collection[Key]) -> Catalog:
        """The catalog that serves while those wait."""
        old, new = self.serving.objects(), self.applied.objects()
        objects: dict[Key, Object] = {}
        for key in (*new, *(key for key in old if key not in new)):
            form = old.get(key) if key in waiting else new.get(key)
            if form is not None:
                objects[key] = form
        views = [name for kind, name in objects if kind == "view"]
        versions = {n: (self.serving if ("view", n) in waiting else self.applied).versions[n] for n in views}
        return only_pinned(Catalog.of(objects, versions, self.serving.pinned | self.applied.pinned))

    def differing(self) -> frozenset[Key]:
        """The objects that mean something else as applied than as they serve, or are only one of both."""
        old, new = self.serving.objects(), self.applied.objects()
        both = old.keys() & new.keys()
        views = {(kind, n) for kind, n in both if kind == "view" and self._served(n) != self.applied.versions[n]}
        others = {key for key in both if key[0] != "view" and meaning(old[key]) != meaning(new[key])}
        return frozenset((old.keys() ^ new.keys()) | views | others)

    def _served(self, view: str) -> int | None:
        return self.serving.versions[view] if view in self.serving.views else None

    def _may_serve(self, view: str) -> bool:
        version = self.applied.versions[view]
        return self._served(view) in (None, version) or (view, version) in self.ready

    def _more(self, wait: Collection[Key], differing: Collection[Key]) -> Iterator[Key]:
        """What has to wait because those do."""
        mixed, serves = self.settled(wait), self.serving.objects()
        for key, form in _dependents(self.applied):
            if key in differing and (self._reads(form) & set(wait) or not self._pins_ready(form)):
                yield key
        for key, form in _dependents(mixed):
            if misfit(form, mixed) is not None:
                newer = key in differing and key not in wait
                yield from [key] if newer else self._reads(form) & set(differing) & serves.keys()
        for key, form in (*_dependents(self.applied), *_dependents(self.serving)):
            changed = {key, *self._reads(form)} & set(differing) & serves.keys() & self.since.keys()
            held = {self.since[part] for part in changed if part in wait}
            yield from (part for part in changed if self.since[part] in held)

    def _reads(self, form: Dependent) -> set[Key]:
        return reads(form, self.applied, self.serving)

    def _pins_ready(self, form: Dependent) -> bool:
        return all(part.version is None or (part.view, part.version) in self.ready for part in projections(form))


def reads(form: Dependent, *catalogs: Catalog) -> set[Key]:
    """The views and on-demand views that a form reads, pinned versions not.

    What an on-demand view reads itself is read too, in any of the catalogs.
    """
    found = {("view", part.view) for part in projections(form) if part.version is None}
    members = form.members if isinstance(form, ServiceRecord) else ()
    for name in [member.view for member in members if isinstance(member, OnDemandMember)]:
        found.add(("on_demand", name))
        for catalog in catalogs:
            if name in catalog.on_demand:
                found |= reads(catalog.on_demand[name], *catalogs)
    return found


def _dependents(catalog: Catalog) -> Iterator[tuple[Key, Dependent]]:
    yield from ((("on_demand", name), view) for name, view in catalog.on_demand.items())
    yield from ((("service", name), service) for name, service in catalog.services.items())


def only_pinned(catalog: Catalog) -> Catalog:
    """The catalog without versions that nothing in it pins."""
    kept = {reference(view, version) for view, version in catalog.pins()}
    pinned = {name: record for name, record in catalog.pinned.items() if name in kept}
    return msgspec.structs.replace(catalog, pinned=pinned)


def rolled_back(
    serving: Catalog, view: ViewRecord, earlier: Mapping[Key, Sequence[Dependent]]
) -> dict[Key, int | None]:
    """The services and on-demand views that an earlier form of a view cannot answer as they serve.

    For each the place of the first of its `earlier` forms (newest first) that can be answered; None: there is none.
    `serving` also has the versions that earlier forms pin.
    """
    objects: dict[Key, Object] = serving.objects() | {("view", view.name): view}
    back: dict[Key, int | None] = {}
    for key, form in _dependents(serving):
        now = Catalog.of(objects, serving.versions, serving.pinned)
        if misfit(form, now) is None:
            continue
        fitting = (place for place, past in enumerate(earlier.get(key, ())) if misfit(past, now) is None)
        back[key] = place = next(fitting, None)
        if place is not None:
            objects[key] = earlier[key][place]
    return back
