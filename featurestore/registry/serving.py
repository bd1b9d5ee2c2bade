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

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

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
ViewVersion = tuple[str, int]
Dependent = ServiceRecord | OnDemandRecord


@dataclass(frozen=True, slots=True)
class Pending:
    """What is applied and what serves, with all that decides how they settle.

    `ready` holds the versions of views that may serve; `since` the apply in which each applied object's meaning came
    (an object that is not in it switches on its own).
    """

    applied: Catalog
    serving: Catalog
    ready: Collection[ViewVersion]
    since: Mapping[Key, int]

    def waiting(self) -> frozenset[Key]:
        """The objects that go on serving as they do (a new one: not at all); all others serve as applied."""
        differing = self._differing()
        wait = {("view", name) for name in self.applied.views if not self._may_serve(name)}
        while True:
            more = set(self._more(wait, differing)) - wait
            if not more:
                return frozenset(wait)
            wait |= more

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

    def _differing(self) -> frozenset[Key]:
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
        """The views and on-demand views that a form reads, those behind on-demand views included, pinned ones not."""
        reads = {("view", part.view) for part in projections(form) if part.version is None}
        if isinstance(form, ServiceRecord):
            for member in form.members:
                if isinstance(member, OnDemandMember):
                    reads.add(("on_demand", member.view))
                    for catalog in (self.applied, self.serving):
                        if member.view in catalog.on_demand:
                            reads |= self._reads(catalog.on_demand[member.view])
        return reads

    def _pins_ready(self, form: Dependent) -> bool:
        return all(part.version is None or (part.view, part.version) in self.ready for part in projections(form))


def _dependents(catalog: Catalog) -> Iterator[tuple[Key, Dependent]]:
    yield from ((("on_demand", name), view) for name, view in catalog.on_demand.items())
    yield from ((("service", name), service) for name, service in catalog.services.items())


def only_pinned(catalog: Catalog) -> Catalog:
    """The catalog without versions that nothing in it pins."""
    kept = {reference(view, version) for view, version in catalog.pins()}
    pinned = {name: record for name, record in catalog.pinned.items() if name in kept}
    return Catalog.of(catalog.objects(), catalog.versions, pinned)


def rolled_back(
    serving: Catalog, view: ViewRecord, version: int, earlier: Mapping[Key, Collection[Dependent]]
) -> tuple[Catalog, tuple[str, ...]]:
    """What serves when an earlier version of a view does, and the services and on-demand views that cannot follow.

    One that the earlier version cannot answer goes back to the latest of its `earlier` forms (newest first) that can
    be answered.
    """
    objects = serving.objects() | {("view", view.name): view}
    versions = serving.versions | {view.name: version}
    lost: list[str] = []
    for key, form in _dependents(serving):
        now = Catalog.of(objects, versions, serving.pinned)
        if misfit(form, now) is None:
            continue
        fitting = next((past for past in earlier.get(key, ()) if misfit(past, now) is None), None)
        if fitting is None:
            lost.append(key[1])
        else:
            objects[key] = fitting
    return Catalog.of(objects, versions, serving.pinned), tuple(lost)
