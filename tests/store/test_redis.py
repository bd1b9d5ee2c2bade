"""A project whose online store is a Redis: the whole path, its loss, and its rebuilding."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from featurestore.errors import NotPublishedError, RecordsLostError
from featurestore.store import FeatureStore
from featurestore.timeline import instant_us
from tests.online.servers import RedisServer, redis_server
from tests.store.projects import PURCHASES, day, make_project, open_project

ENTITIES = [{"customer": name} for name in ("ann", "bob", "nobody")]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def store(server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FeatureStore]:
    """A project with three purchases, materialized up to January 4."""
    server.ask("FLUSHALL")
    monkeypatch.setenv("FEATURESTORE_ONLINE__URL", server.url)
    with make_project(tmp_path, PURCHASES, purchases=FIRST) as store:
        store.apply()
        store.materialize(end=day(4))
        yield store


def bought(*rows: tuple[str, int, float]) -> pl.DataFrame:
    """A purchase per customer, day of January and amount."""
    names, days, amounts = zip(*rows, strict=True)
    return pl.DataFrame(
        {"customer": names, "at": [day(number) for number in days], "amount": amounts, "items": [1] * len(rows)},
        schema_overrides={"at": pl.Datetime("us", "UTC")},
    )


FIRST = bought(("ann", 1, 10.0), ("bob", 2, 20.0), ("ann", 3, 30.0))


def found(store: FeatureStore) -> list[object]:
    return list(store.get_online_features(["last:amount"], ENTITIES, at=day(5)).to_dict()["amount"])


def test_what_is_materialized_is_found_by_every_process(store: FeatureStore) -> None:
    assert found(store) == [30.0, 20.0, None]
    with open_project(store.root) as other:
        assert found(other) == [30.0, 20.0, None]
    pl.concat([FIRST, bought(("bob", 4, 40.0))]).write_parquet(store.root / "data" / "purchases.parquet")
    store.materialize(end=day(5))
    assert found(store) == [30.0, 40.0, None]
    [view] = store.status()
    assert (view.keys, view.in_step, view.lost) == (2, True, False)


def test_a_flushed_store_is_noticed_and_rebuilt(store: FeatureStore, server: RedisServer) -> None:
    server.ask("FLUSHALL")
    with pytest.raises(NotPublishedError, match="`featurestore online rebuild` when the store was emptied"):
        found(store)
    [view] = store.rebuild_online()
    assert (view.view, view.version, view.records, view.error) == ("last", 1, 2, None)
    assert found(store) == [30.0, 20.0, None]


def test_a_store_that_lost_records_is_noticed_and_rebuilt(store: FeatureStore, server: RedisServer) -> None:
    server.ask("DEL", *server.ask("KEYS", "featurestore:{*"))
    with pytest.raises(RecordsLostError, match="Run `featurestore online rebuild`"):
        found(store)
    [view] = store.status()
    assert (view.keys, view.in_step, view.lost) == (None, False, True)
    [rebuilt] = store.rebuild_online(["last"])
    assert rebuilt.records == 2
    assert found(store) == [30.0, 20.0, None]


def test_the_status_tells_what_is_offline_while_the_server_is_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with redis_server(tmp_path / "redis") as own:
        monkeypatch.setenv("FEATURESTORE_ONLINE__URL", own.url)
        with make_project(tmp_path / "project", PURCHASES, purchases=FIRST) as store:
            store.apply()
            store.materialize(end=day(4))
            own.kill()
            with open_project(store.root) as fresh:
                for asked in (store, fresh):
                    [view] = asked.status()
                    assert (view.rows, view.watermark_us) == (3, instant_us(day(4), "W"))
                    assert (view.keys, view.in_step, view.lost) == (None, False, False)
                    assert own.url in str(view.online_error)
                own.start_again()
                assert [view.online_error for view in (*store.status(), *fresh.status())] == [None, None]


def test_a_run_heals_a_store_that_lost_records(store: FeatureStore, server: RedisServer) -> None:
    server.ask("DEL", *server.ask("KEYS", "featurestore:{*"))
    pl.concat([FIRST, bought(("bob", 4, 40.0))]).write_parquet(store.root / "data" / "purchases.parquet")
    store.materialize(end=day(5))
    assert found(store) == [30.0, 40.0, None]


def test_a_view_that_was_never_materialized_is_left_out(tmp_path: Path) -> None:
    with make_project(tmp_path, PURCHASES, purchases=FIRST) as store:
        store.apply()
        [view] = store.rebuild_online()
        assert (view.records, view.error) == (None, None)
