"""What serves, in the registry: one transaction a move, a log of them all, and no move on stale knowledge."""

from __future__ import annotations

import threading
from pathlib import Path

import msgspec
import pytest

from featurestore.errors import ConflictError
from featurestore.plan.catalog import Catalog, Metadata
from featurestore.registry.base import Ready, Registry
from featurestore.registry.diff import diff
from featurestore.registry.open import open_registry
from featurestore.registry.usage import used_versions
from tests.plan.catalogs import catalog, projected, service, view

VIEW = view()
SHORT = msgspec.structs.replace(VIEW, ttl_us=1)
SERVICE = service("flight_v1", projected(VIEW))


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    registry = open_registry("sqlite:///data/registry.db", tmp_path, lambda: 5)
    apply(registry, catalog(VIEW, SERVICE))
    return registry


def ready(registry: Registry, *versions: tuple[str, int]) -> Ready:
    return Ready(registry.state().number, frozenset(versions))


def apply(registry: Registry, declared: Catalog, *versions: tuple[str, int]) -> int:
    state = registry.state()
    return registry.apply(diff(state.revision, state.applied, declared), "ann", ready(registry, *versions))


def test_what_is_applied_serves_unless_it_has_to_be_built(registry: Registry) -> None:
    assert registry.serving() == registry.catalog()
    apply(registry, catalog(SHORT, SERVICE))
    assert registry.catalog()[1].views["origin_weather"].ttl_us == 1
    revision, serving = registry.serving()
    assert (revision, serving.views["origin_weather"].ttl_us, serving.versions) == (2, None, {"origin_weather": 1})


def test_a_switch_moves_what_is_ready_and_logs_it(registry: Registry) -> None:
    apply(registry, catalog(SHORT, SERVICE))
    assert registry.switch(ready(registry), "bob", "built") == ()
    [move] = registry.switch(ready(registry, ("origin_weather", 2)), "bob", "built")
    assert (move.actor, move.reason, move.at_us, move.from_revision, move.to_revision) == ("bob", "built", 5, 1, 2)
    assert registry.serving()[1].views == registry.catalog()[1].views
    assert registry.moves("origin_weather")[0] == move
    assert [(m.kind, m.number) for m in registry.moves()] == [("view", 3), ("service", 2), ("view", 1)]


def test_a_switch_that_moves_nothing_leaves_every_lookup_its_plan(registry: Registry, tmp_path: Path) -> None:
    path = tmp_path / "data" / "registry.db"
    token, written = registry.token(), path.read_bytes()
    assert registry.switch(ready(registry, ("origin_weather", 1)), "bob", "built") == ()
    assert (registry.token(), path.read_bytes()) == (token, written)


def test_knowledge_of_another_state_moves_nothing(registry: Registry) -> None:
    stale = ready(registry, ("origin_weather", 2))
    apply(registry, catalog(SHORT, SERVICE))
    with pytest.raises(ConflictError, match="Something was applied, switched or rolled back meanwhile"):
        registry.switch(stale, "bob", "built")
    fresh = ready(registry, ("origin_weather", 2))
    registry.switch(fresh, "bob", "built")
    told = catalog(msgspec.structs.replace(SHORT, ttl_us=2), SERVICE)
    with pytest.raises(ConflictError):
        registry.apply(diff(2, registry.catalog()[1], told), "ann", fresh)
    assert registry.revision() == 2


def test_of_many_who_switch_at_once_one_moves(registry: Registry) -> None:
    apply(registry, catalog(SHORT, SERVICE))
    known = ready(registry, ("origin_weather", 2))
    moved: list[int] = []

    def run() -> None:
        try:
            moved.append(len(registry.switch(known, "bob", "built")))
        except ConflictError:
            moved.append(0)

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(moved) == [0, 0, 0, 0, 0, 1]


def test_a_view_that_was_rolled_back_stays_until_it_is_applied_anew(registry: Registry) -> None:
    apply(registry, catalog(SHORT, SERVICE), ("origin_weather", 2))
    [first] = [version for version in registry.view_versions("origin_weather") if version.version == 1]
    registry.roll_back(first, "bob", "wrong")
    assert registry.state().held == {"origin_weather"}
    assert registry.switch(ready(registry, ("origin_weather", 2)), "bob", "built") == ()
    told = msgspec.structs.replace(SERVICE, metadata=Metadata(owner="ops"))
    apply(registry, catalog(SHORT, told), ("origin_weather", 2))
    assert registry.serving()[1].versions == {"origin_weather": 1}
    assert registry.serving()[1].services["flight_v1"].metadata.owner == "ops"
    apply(registry, catalog(msgspec.structs.replace(VIEW, ttl_us=9), told), ("origin_weather", 3))
    assert (registry.serving()[1].versions, registry.state().held) == ({"origin_weather": 3}, frozenset())


def test_every_version_is_kept_in_its_newest_words(registry: Registry) -> None:
    apply(registry, catalog(msgspec.structs.replace(VIEW, metadata=Metadata(owner="ops")), SERVICE))
    apply(registry, catalog(SHORT, SERVICE))
    found = registry.view_versions()
    assert [(v.version, v.applied_by, v.record.ttl_us, v.record.metadata.owner) for v in found] == [
        (2, "ann", 1, ""),
        (1, "ann", None, "ops"),
    ]


def test_a_pin_is_read_back_and_keeps_its_version_in_use(registry: Registry) -> None:
    pinned = service("fixed", msgspec.structs.replace(projected(VIEW), version=1))
    declared = msgspec.structs.replace(catalog(SHORT, SERVICE, pinned), pinned={"origin_weather@1": VIEW})
    apply(registry, declared, ("origin_weather", 2), ("origin_weather", 1))
    assert registry.serving()[1].view("origin_weather@1") == VIEW
    used = used_versions(registry.state(), registry.view_versions(), registry.moves(), "shop")
    assert [(u.version.version, u.reasons, u.fresh) for u in used] == [
        (2, ("serves", "applied"), True),
        (1, ("rollback target", "pinned by service fixed"), True),
    ]
    apply(registry, catalog(SHORT, SERVICE))
    [_, old] = used_versions(registry.state(), registry.view_versions(), registry.moves(), "shop")
    assert (old.reasons, old.fresh) == (("rollback target",), False)
    assert old.namespace.startswith("shop/origin_weather/")
