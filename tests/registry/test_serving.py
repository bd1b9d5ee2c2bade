"""What serves while a new version of a view is built: worked by hand, and laws for any history."""

from __future__ import annotations

from collections.abc import Iterator, Set
from itertools import combinations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from featurestore.plan.catalog import (
    Catalog,
    OnDemandMember,
    OnDemandRecord,
    ServiceRecord,
    ViewRecord,
    projections,
)
from featurestore.plan.fingerprint import meaning
from featurestore.plan.fitting import misfit
from featurestore.registry.diff import diff
from featurestore.registry.serving import Key, Pending
from tests.plan.catalogs import catalog, feature, projected, service, view
from tests.registry.evolutions import Step, steps

OLD_A, OLD_B = view("a", feature("f")), view("b", feature("g"))
NEW_A, NEW_B = (msgspec.structs.replace(record, ttl_us=1) for record in (OLD_A, OLD_B))
BOTH = service("both", projected(OLD_A), projected(OLD_B))


def waiting(
    before: Catalog, declared: Catalog, *ready: tuple[str, int], since: dict[Key, int] | None = None
) -> set[Key]:
    """What waits when a catalog is applied in revision 2 where another one serves."""
    target = diff(1, before, declared).target
    came = dict.fromkeys(target.objects(), 2) if since is None else since
    return set(Pending(target, before, ready, came).waiting())


def before(*records: ViewRecord | ServiceRecord | OnDemandRecord) -> Catalog:
    return diff(0, Catalog(), catalog(*records)).target


def test_a_view_waits_until_it_is_ready() -> None:
    assert waiting(before(OLD_A), catalog(NEW_A)) == {("view", "a")}
    assert waiting(before(OLD_A), catalog(NEW_A), ("a", 2)) == set()
    assert waiting(before(), catalog(NEW_A)) == set()


def test_a_service_that_is_changed_with_a_view_waits_for_it_and_one_that_is_not_does_not() -> None:
    more = view("a", feature("f"), feature("h"))
    kept, grown = service("kept", projected(OLD_A)), service("grown", projected(OLD_A))
    after = catalog(more, kept, service("grown", projected(more)))
    assert waiting(before(OLD_A, kept, grown), after) == {("view", "a"), ("service", "grown")}


def test_a_new_service_on_a_view_that_waits_does_not_serve_at_all() -> None:
    assert waiting(before(OLD_A), catalog(NEW_A, service("new", projected(OLD_A)))) == {
        ("view", "a"),
        ("service", "new"),
    }


def test_views_that_were_changed_together_and_are_read_together_switch_together() -> None:
    old, new = before(OLD_A, OLD_B, BOTH), catalog(NEW_A, NEW_B, BOTH)
    assert waiting(old, new, ("a", 2)) == {("view", "a"), ("view", "b")}
    assert waiting(old, new, ("a", 2), ("b", 2)) == set()
    apart = {("view", "a"): 2, ("view", "b"): 3, ("service", "both"): 1}
    assert waiting(old, new, ("a", 2), since=apart) == {("view", "b")}
    alone = {("view", "b"): 2, ("service", "both"): 1}
    assert waiting(old, new, ("a", 2), since=alone) == {("view", "b")}


def test_views_that_nothing_reads_together_switch_apart() -> None:
    old, new = before(OLD_A, OLD_B), catalog(NEW_A, NEW_B)
    assert waiting(old, new, ("a", 2)) == {("view", "b")}


def test_a_view_that_a_service_still_needs_stays_though_it_is_removed() -> None:
    old = before(OLD_A, OLD_B, BOTH)
    assert waiting(old, catalog(NEW_A, service("both", projected(OLD_A)))) == {
        ("view", "a"), ("view", "b"), ("service", "both")
    }  # fmt: skip
    assert waiting(old, catalog(NEW_A, service("both", projected(OLD_A))), ("a", 2)) == set()


def test_a_view_that_lost_a_feature_waits_for_the_service_that_still_reads_it() -> None:
    wide = view("a", feature("f"), feature("h"))
    reader = service("reader", projected(wide), projected(OLD_B))
    after = catalog(OLD_A, NEW_B, service("reader", projected(OLD_A), projected(OLD_B)))
    came = {("view", "a"): 2, ("view", "b"): 3, ("service", "reader"): 3}
    assert waiting(before(wide, OLD_B, reader), after, ("a", 2), since=came) == {
        ("view", "a"), ("view", "b"), ("service", "reader")
    }  # fmt: skip


def test_a_service_that_pins_a_version_waits_until_that_is_there() -> None:
    pinned = msgspec.structs.replace(projected(OLD_A), version=1)
    after = msgspec.structs.replace(catalog(NEW_A, service("s", pinned)), pinned={"a@1": OLD_A})
    assert waiting(before(OLD_A), after, ("a", 2)) == {("service", "s")}
    assert waiting(before(OLD_A), after, ("a", 1)) == {("view", "a")}


Dependents = Iterator[tuple[Key, ServiceRecord | OnDemandRecord]]


def _dependents(of: Catalog) -> Dependents:
    yield from ((("service", name), record) for name, record in of.services.items())
    yield from ((("on_demand", name), record) for name, record in of.on_demand.items())


def _reads(record: ServiceRecord | OnDemandRecord, *catalogs: Catalog) -> set[Key]:
    """What a record reads, itself or through an on-demand view, as any of the catalogs has it."""
    found: set[Key] = {("view", part.view) for part in projections(record)}
    for part in record.members if isinstance(record, ServiceRecord) else ():
        if isinstance(part, OnDemandMember):
            found.add(("on_demand", part.view))
            for of in catalogs:
                found |= _reads(of.on_demand[part.view], *catalogs) if part.view in of.on_demand else set()
    return found


def broken(pending: Pending, waits: Set[Key]) -> Iterator[str]:
    """The rules that those objects' waiting, and no others', would break."""
    applied, serving, mixed = pending.applied, pending.serving, pending.settled(waits)
    new, old = applied.objects(), serving.objects()
    moved = {key for key in new if key in old and meaning(new[key]) != meaning(old[key])}
    moved |= {("view", n) for n in applied.views if serving.versions.get(n) not in (None, applied.versions[n])}
    for name, version in mixed.versions.items():
        if ("view", name) in moved and version == applied.versions[name] and (name, version) not in pending.ready:
            yield f"view {name} is not ready"
    for key, record in _dependents(applied):
        if (key in moved or key not in old) and key not in waits and _reads(record, applied, serving) & waits:
            yield f"{key} serves on what it was not declared with"
    for key, record in _dependents(mixed):
        if misfit(record, mixed) is not None:
            yield f"{key} cannot be answered"
    for key, record in (*_dependents(applied), *_dependents(serving)):
        together = {part for part in {key, *_reads(record, applied, serving)} if part in moved}
        for came in {pending.since[part] for part in together}:
            if len({part in waits for part in together if pending.since[part] == came}) > 1:
                yield f"{key} is half changed"


class History:
    """A project that goes through steps, as the registry and the stores would."""

    def __init__(self) -> None:
        self.applied, self.serving = Catalog(), Catalog()
        self.since: dict[Key, int] = {}
        self.revision = 0

    def apply(self, step: Step) -> None:
        self.revision += 1
        old, self.applied = self.applied.objects(), diff(self.revision - 1, self.applied, step.declared).target
        for key, record in self.applied.objects().items():
            if key not in old or meaning(old[key]) != meaning(record):
                self.since[key] = self.revision
        self.settle(step.built_when_applied)

    def settle(self, built: frozenset[str]) -> None:
        ready = {(name, version) for name, version in self.applied.versions.items() if name in built}
        since = {key: self.since[key] for key in self.applied.objects()}
        pending = Pending(self.applied, self.serving, ready, since)
        waits = pending.waiting()
        assert list(broken(pending, waits)) == []
        for fewer in subsets(waits) if len(waits) <= 5 else ():
            assert list(broken(pending, fewer)), f"{waits} wait, and only {fewer} have to"
        self.serving = pending.settled(waits)


def subsets(keys: Set[Key]) -> Iterator[frozenset[Key]]:
    """All that are smaller."""
    for size in range(len(keys)):
        yield from (frozenset(chosen) for chosen in combinations(sorted(keys), size))


@given(story=st.lists(steps(), min_size=1, max_size=5))
def test_as_much_serves_as_can_be_answered_and_is_ready_whatever_is_declared_and_built(story: list[Step]) -> None:
    history = History()
    for step in story:
        history.apply(step)
        history.settle(step.built_later)
    history.settle(frozenset(history.applied.views))
    assert history.serving.objects() == history.applied.objects()
    assert history.serving.versions == {name: history.applied.versions[name] for name in history.applied.views}
