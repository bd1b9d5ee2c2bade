"""The registry on SQLite: transactions, conflicts, damage."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from featurestore.errors import ConfigurationError, ConflictError, RegistryError
from featurestore.plan.catalog import Catalog, Metadata
from featurestore.registry.base import DatasetRecord, ModelRecord, Ready, Registry
from featurestore.registry.diff import diff
from featurestore.registry.open import open_registry
from tests.plan.catalogs import WEATHER, catalog, projected, service, view

VIEW = view()
NOTHING_READY = Ready((0, 0), frozenset())
ALL = catalog(WEATHER, VIEW, service("flight_v1", projected(VIEW)))


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return open_registry("sqlite:///data/registry.db", tmp_path, lambda: 5)


def apply(registry: Registry, declared: Catalog) -> int:
    state = registry.state()
    everything = frozenset(diff(0, state.applied, declared).target.versions.items())
    return registry.apply(diff(state.revision, state.applied, declared), "ann", Ready(state.number, everything))


def test_an_empty_registry_is_revision_zero_and_makes_no_file(registry: Registry, tmp_path: Path) -> None:
    assert registry.catalog() == (0, Catalog())
    assert registry.history() == ()
    assert not (tmp_path / "data").exists()


def test_what_was_applied_is_read_back_in_its_order(registry: Registry) -> None:
    assert apply(registry, ALL) == 1
    revision, read = registry.catalog()
    assert revision == 1
    assert list(read.objects().values()) == list(ALL.objects().values())
    assert read.versions == {"origin_weather": 1}


def test_a_second_apply_keeps_what_did_not_change(registry: Registry) -> None:
    apply(registry, ALL)
    short = msgspec.structs.replace(VIEW, ttl_us=9)
    apply(registry, catalog(WEATHER, short, ALL.services["flight_v1"]))
    _, read = registry.catalog()
    assert read.views["origin_weather"].ttl_us == 9
    assert read.sources["weather"] == WEATHER
    assert read.versions == {"origin_weather": 2}


def test_a_plan_made_on_another_revision_is_refused(registry: Registry) -> None:
    stale = diff(0, Catalog(), ALL)
    apply(registry, ALL)
    with pytest.raises(ConflictError, match="revision 0, but revision 1 is applied now"):
        registry.apply(stale, "bob", NOTHING_READY)
    assert registry.revision() == 1


def test_of_many_concurrent_appliers_of_one_plan_exactly_one_wins(registry: Registry) -> None:
    plan = diff(0, Catalog(), ALL)
    outcomes: list[str] = []

    def run() -> None:
        try:
            registry.apply(plan, "ann", NOTHING_READY)
            outcomes.append("applied")
        except ConflictError:
            outcomes.append("refused")

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["applied"] + ["refused"] * 5


def test_history_says_who_when_and_what(registry: Registry) -> None:
    apply(registry, ALL)
    told = msgspec.structs.replace(VIEW, metadata=Metadata(owner="ops"))
    apply(registry, catalog(WEATHER, told, ALL.services["flight_v1"]))
    newest, oldest = registry.history()
    assert (newest.number, newest.applied_by, newest.applied_at_us) == (2, "ann", 5)
    assert newest.summary == ("view origin_weather v1 metadata: owner",)
    assert "service flight_v1 added" in oldest.summary


def test_the_token_changes_with_every_apply(registry: Registry) -> None:
    before = registry.token()
    apply(registry, ALL)
    assert registry.token() != before


def test_a_dataset_gets_the_next_version_of_its_name(registry: Registry) -> None:
    dataset = DatasetRecord("train", 0, 5, "ann", "data/x.parquet", 3, {"features": "flight_v1"})
    first, second = registry.add_dataset(dataset), registry.add_dataset(dataset)
    assert registry.add_dataset(replace(dataset, name="other")).version == 1
    assert (first.version, second.version) == (1, 2)
    assert registry.datasets("train") == (second, first)


def test_a_model_is_read_back_as_recorded(registry: Registry) -> None:
    model = ModelRecord("late", 0, 5, "ann", "train", 2, "flight_v1", 3, {"weather": 4}, "m.skops", "ab", "first")
    recorded = [registry.add_model(model), registry.add_model(replace(model, dataset=None, dataset_version=None))]
    assert [one.version for one in recorded] == [1, 2]
    assert registry.models("late") == (recorded[1], recorded[0])
    assert registry.models("lost") == ()


def test_a_damaged_registry_is_one_clear_sentence(registry: Registry, tmp_path: Path) -> None:
    apply(registry, ALL)
    path = tmp_path / "data" / "registry.db"
    path.write_bytes(b"not a database" * 500)
    with pytest.raises(RegistryError, match=r"registry .*registry.db is damaged: .*Restore it from a copy"):
        registry.catalog()


def test_a_damaged_document_is_one_clear_sentence(registry: Registry, tmp_path: Path) -> None:
    import sqlite3

    apply(registry, ALL)
    with sqlite3.connect(tmp_path / "data" / "registry.db") as connection:
        connection.execute("UPDATE objects SET document = X'7B' WHERE kind = 'view'")
    connection.close()
    with pytest.raises(RegistryError, match="is damaged"):
        registry.catalog()


def test_a_registry_that_lost_a_table_is_damaged(registry: Registry, tmp_path: Path) -> None:
    import sqlite3

    apply(registry, ALL)
    with sqlite3.connect(tmp_path / "data" / "registry.db") as connection:
        connection.execute("DROP TABLE live")
    connection.close()
    with pytest.raises(RegistryError, match="is damaged: no such table: live"):
        registry.catalog()


def test_a_registry_whose_services_name_a_view_that_is_gone_is_damaged(registry: Registry, tmp_path: Path) -> None:
    import sqlite3

    apply(registry, ALL)
    with sqlite3.connect(tmp_path / "data" / "registry.db") as connection:
        connection.execute("DELETE FROM live WHERE kind = 'view'")
    connection.close()
    with pytest.raises(RegistryError, match="is damaged: it holds services that name a view 'origin_weather'"):
        registry.catalog()


def test_a_database_that_is_not_built_yet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="PostgreSQL is not built yet"):
        open_registry("postgresql://localhost/x", tmp_path, lambda: 0)
