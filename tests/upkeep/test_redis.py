"""Upkeep of a project whose online store is a Redis: what is swept, rebuilt and erased there, seen from beside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from featurestore.cli.app import app
from featurestore.store import FeatureStore
from tests.online.servers import RedisServer, redis_server
from tests.store.projects import PURCHASES, Clock, day, define, make_clocked
from tests.upkeep.test_erase import GONE, ROWS, STAYS, leave_the_source

WEEK = timedelta(days=7)
LASTING = PURCHASES.replace("    ttl=timedelta(days=10),\n", "")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def filled(
    server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[FeatureStore, Clock]]:
    server.ask("FLUSHALL")
    monkeypatch.setenv("FEATURESTORE_ONLINE__URL", server.url)
    store, clock = make_clocked(tmp_path, LASTING, purchases=ROWS)
    clock.at = day(20)
    store.materialize(end=day(12))
    with store:
        yield store, clock


def test_upkeep_tells_where_the_store_is_and_not_how_to_get_in(
    filled: tuple[FeatureStore, Clock], server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEATURESTORE_ONLINE__URL", f"{server.url}?timeout=1.75")
    told = CliRunner().invoke(app, ["-C", str(filled[0].root), "maintain", "--dry-run", "--json"])
    assert (told.exit_code, server.url in told.output, "1.75" in told.output) == (0, True, False)


def bought(store: FeatureStore) -> list[object]:
    rows = [{"customer": name} for name in (GONE, STAYS)]
    return list(store.get_online_features(["last:items"], rows, at=day(20)).to_dict()["items"])


def kept(server: RedisServer) -> dict[bytes, bytes]:
    """All that the server keeps, by key: the fields and values of hashes."""
    return {key: b" ".join(_parts(server.ask("HGETALL", key))) for key in server.ask("KEYS", "*")}


def _parts(found: Mapping[bytes, bytes] | Sequence[bytes]) -> list[bytes]:
    return [part for pair in found.items() for part in pair] if isinstance(found, Mapping) else list(found)


def generations(server: RedisServer) -> int:
    """How many whole sets of records there are."""
    return len(server.ask("KEYS", "featurestore:{*"))


def test_records_of_versions_that_nobody_uses_are_swept_and_those_in_use_answer(
    filled: tuple[FeatureStore, Clock], server: RedisServer
) -> None:
    store, clock = filled
    for factor in (10, 100):
        define(store.root, LASTING.replace('"items", Int64', f'"items", Int64, expr="items * {factor}"'))
        store.apply()
        store.materialize(end=day(12))
    assert generations(server) == 3
    clock.at = day(31)
    before = bought(store)
    report = store.maintain(WEEK)
    assert [finding.where for finding in report.swept if finding.kind == "online records"] != []
    assert generations(server) == 2  # what serves, and what a rollback would go to
    assert bought(store) == before == [500, 600]


def test_what_a_flush_of_the_catalog_left_behind_is_swept_after_the_rebuild(
    filled: tuple[FeatureStore, Clock], server: RedisServer
) -> None:
    store, _ = filled
    server.ask("DEL", "{featurestore}:catalog", "{featurestore}:generations")
    [rebuilt] = store.rebuild_online()
    assert (rebuilt.records, generations(server)) == (2, 2)
    shown = CliRunner().invoke(app, ["-C", str(store.root), "maintain"])
    assert (shown.exit_code, "online store" in shown.stdout) == (0, True)
    assert generations(server) == 1
    assert bought(store) == [5, 6]


def test_no_byte_of_an_erased_entity_is_left(filled: tuple[FeatureStore, Clock], server: RedisServer) -> None:
    store, _ = filled
    store.push("last", ROWS.select("customer", "at", "amount", "items").with_columns(at=day(13)))
    leave_the_source(store)
    assert [GONE.encode() in b"".join(kept(server).values()), bought(store)] == [True, [5, 6]]
    report = store.erase({"customer": GONE})
    assert "online records" in {place.kind for place in report.erased}
    assert (report.complete, bought(store)) == (True, [None, 6])
    left = kept(server)
    assert [key for key, value in left.items() if GONE.encode() in key + value] == []
    assert STAYS.encode() in b"".join(left.values())
