"""An entity erased: its bytes are in no file any more, everybody else's answers are as before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from featurestore.cli.app import app
from featurestore.errors import InputError, UnknownNameError, VersionGoneError
from featurestore.store import FeatureStore
from tests.store.projects import PURCHASES, Clock, day, define, make_clocked

GONE, STAYS = "customer-zebra-7731", "customer-quagga-0042"
MORE = """
class Positive(pa.DataFrameModel):
    amount: float = pa.Field(gt=0)

totals = FeatureView(
    "totals", entities=[customer], every=timedelta(days=1), source=purchases,
    features=[Aggregation("items", "sum", window=timedelta(days=30), name="bought")],
)
shop = Entity("shop", join_keys={"shop": Int64})
visits = FeatureView(
    "visits", entities=[customer, shop], source=purchases, features=[Feature("items", Int64)],
    contract=Positive, on_refusal="drop",
)
favourites = FeatureView(
    "favourites", entities=[shop], source=purchases, features=[Feature("customer", String), Feature("amount", Float64)]
)
visitor = FeatureService("visitor", features=[totals, visits.with_join_keys(customer="guest"), ratio])
"""
ROWS = pl.DataFrame(
    {
        "customer": [GONE, STAYS, GONE, STAYS, GONE, STAYS],
        "shop": [1, 1, 2, 1, 2, 3],
        "at": [day(2), day(3), day(4), day(8), day(9), day(10)],
        "amount": [1.0, 2.0, 3.0, -4.0, -5.0, 6.0],
        "items": [1, 2, 3, 4, 5, 6],
    },
    schema_overrides={"at": pl.Datetime("us", "UTC")},
)
SPINE = pl.DataFrame(
    {"customer": [GONE, STAYS, STAYS], "guest": [STAYS, GONE, STAYS], "shop": [1, 2, 1], "price": [1.0, 2.0, 3.0],
     "event_timestamp": [day(5), day(5), day(11)]}
)  # fmt: skip


@pytest.fixture
def filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[FeatureStore, Clock]]:
    """A store with several versions of tables, a quarantine, a dataset and a log."""
    monkeypatch.setenv("FEATURESTORE_AUDIT__SAMPLE", "1")
    store, clock = make_clocked(tmp_path, PURCHASES + MORE, purchases=ROWS)
    clock.at = day(20)
    store.materialize(end=day(6))
    store.materialize(end=day(12))
    store.get_historical_features(SPINE, "visitor").save("visitors")
    ask(store)
    yield store, clock
    store.close()


def ask(store: FeatureStore) -> object:
    entities = SPINE.select("customer", "guest", "shop").to_dicts()
    return store.get_online_features("visitor", entities, [{"price": 1.0}] * 3).to_dict()


def leave_the_source(store: FeatureStore) -> None:
    ROWS.filter(pl.col("customer") != GONE).write_parquet(store.root / "data" / "purchases.parquet")


def places(root: Path, text: str) -> list[str]:
    """The files below a folder in which a text stands, raw or in a Parquet column."""
    found = []
    for file in sorted(path for path in root.rglob("*") if path.is_file()):
        columns = ""
        if file.suffix == ".parquet":
            columns = str([column.to_list() for column in pl.read_parquet(file, glob=False).get_columns()])
        if text.encode() in file.read_bytes() or text in columns:
            found.append(str(file.relative_to(root)))
    return found


def history(store: FeatureStore) -> pl.DataFrame:
    spine = SPINE.filter((pl.col("customer") != GONE) & (pl.col("guest") != GONE))
    return store.get_historical_features(spine, "visitor", statuses=True).to_polars()


def test_no_byte_of_an_erased_entity_is_left_and_others_answer_as_before(filled: tuple[FeatureStore, Clock]) -> None:
    store, _ = filled
    leave_the_source(store)
    before, kept = history(store), ask(store)
    report = store.erase({"customer": GONE})
    favourites = [held for held in report.held if "favourites" in held.where]
    assert (report.complete, [held.rows for held in favourites]) == (False, [3])  # as values of a shop
    assert len(report.held) == 1
    kinds = {place.kind for place in report.erased}
    assert kinds == {"offline table", "online records", "audit log", "dataset", "spine", "quarantine"}
    assert history(store).equals(before)
    assert isinstance(kept, dict)
    after = ask(store)
    assert isinstance(after, dict)
    assert [values[2] for values in after.values()] == [values[2] for values in kept.values()]
    assert (after["bought"], after["guest__items"]) == (
        [None, 12, 12],
        [2, None, 2],
    )  # 2 + 4 + 6; of shop 1 the last accepted
    store.close()  # what this last request logged names the entity again
    log = [place for place in places(store.root / "data", GONE) if not place.startswith("audit")]
    assert all(place.startswith(("offline/views/favourites", "online", "offline/statistics")) for place in log), log
    assert [place for place in log if "views" not in place and "online" not in place] == []


def test_with_nothing_left_that_holds_it_the_erasure_is_complete(tmp_path: Path) -> None:
    store, clock = make_clocked(tmp_path, PURCHASES, purchases=ROWS)
    clock.at = day(20)
    store.materialize(end=day(6))
    store.materialize(end=day(12))
    leave_the_source(store)
    report = store.erase({"customer": GONE})
    assert (report.complete, report.held) == (True, ())
    assert places(tmp_path, GONE) == []
    assert places(tmp_path, STAYS) != []
    assert store.erase({"customer": GONE}).erased == ()
    with pytest.raises(VersionGoneError):
        store.tables.kept(store.pins("buyer").views["last"].table, 0)
    [status] = store.status()
    assert status.in_step
    assert status.watermark_us == 1_705_017_600_000_000


def test_what_was_pushed_is_erased_from_the_push_log_and_comes_back_in_no_new_version(tmp_path: Path) -> None:
    store, clock = make_clocked(tmp_path, PURCHASES, purchases=ROWS)
    clock.at = day(20)
    store.materialize(end=day(12))
    leave_the_source(store)
    pushed = ROWS.with_columns(at=pl.col("at") + pl.duration(hours=1))
    store.push("last", pushed.with_columns(pl.col("customer").cast(pl.Categorical), tags=pl.concat_list("customer")))
    store.push("purchases", pushed.filter(pl.col("customer") == GONE).with_columns(items=7))
    log = tmp_path / "data" / "offline" / "pushed"
    assert len(places(log, GONE)) == 2
    dry = store.erase({"customer": GONE}, dry_run=True)
    assert [place.rows for place in dry.erased if place.kind == "push log"] == [6]
    assert len(places(log, GONE)) == 2
    report = store.erase({"customer": GONE})
    assert (report.complete, [place.rows for place in report.erased if place.kind == "push log"]) == (True, [6])
    assert places(tmp_path, GONE) == []
    assert len(places(log, STAYS)) == 1
    define(tmp_path, PURCHASES.replace('Feature("items", Int64)', 'Feature("items", Int64, expr="items * 10")'))
    store.apply()
    store.materialize(end=day(12))
    assert store.serving().versions == {"last": 2}
    found = store.get_online_features(["last:items"], [{"customer": GONE}, {"customer": STAYS}]).to_dict()
    assert found["items"] == [None, 60]
    assert places(tmp_path, GONE) == []


def test_what_was_pushed_as_a_value_of_others_is_held(filled: tuple[FeatureStore, Clock]) -> None:
    store, _ = filled
    leave_the_source(store)
    store.push("favourites", ROWS.with_columns(at=pl.col("at") + pl.duration(hours=1)))
    report = store.erase({"customer": GONE})
    assert [(held.where, held.rows) for held in report.held if held.kind == "push log"] == [("view favourites", 3)]
    shops = store.erase({"shop": 2})
    assert [place.rows for place in shops.erased if place.kind == "push log"] == [2]


def test_a_source_that_still_holds_it_is_named_with_its_rows(filled: tuple[FeatureStore, Clock]) -> None:
    report = filled[0].erase({"customer": GONE})
    [source] = [held for held in report.held if held.kind == "source"]
    assert (source.where, source.rows) == ("data/purchases.parquet", 3)
    assert "materializing their interval brings them back" in source.why


def test_a_dry_run_changes_nothing(filled: tuple[FeatureStore, Clock]) -> None:
    store, _ = filled
    store.served.flush()  # type: ignore[union-attr]  # it is on
    files = {path: path.read_bytes() for path in (store.root / "data").rglob("*") if path.is_file()}
    report = store.erase({"customer": GONE}, dry_run=True)
    assert len(report.erased) > 5
    assert {path: path.read_bytes() for path in (store.root / "data").rglob("*") if path.is_file()} == files


def test_part_of_a_composite_key_means_every_row_with_it(filled: tuple[FeatureStore, Clock]) -> None:
    store, _ = filled
    report = store.erase({"customer": GONE, "shop": 2})
    tables = [place for place in report.erased if place.kind == "offline table"]
    assert [(place.where.split("-")[0], place.rows) for place in tables] == [("visits", 1)]  # the other row was dropped
    answer = ask(store)
    assert isinstance(answer, dict)
    assert answer["bought"] == [9, 12, 12]


def test_an_erased_dataset_says_so_when_it_is_rebuilt(filled: tuple[FeatureStore, Clock]) -> None:
    store, _ = filled
    leave_the_source(store)
    store.erase({"customer": GONE})
    dataset = store.datasets.get("visitors")
    assert (dataset.rows, dataset.manifest.erased_rows) == (1, 2)
    assert dataset.to_polars()["customer"].to_list() == [STAYS]
    rebuilt = store.datasets.rebuild(dataset)
    assert "2 rows were erased from it" in rebuilt.changes
    assert rebuilt.identical or any("erased" in obstacle for obstacle in rebuilt.obstacles)


def test_a_dataset_that_a_model_learned_from_is_held(filled: tuple[FeatureStore, Clock]) -> None:
    store, _ = filled
    leave_the_source(store)
    store.record_model("churn", dataset="visitors")
    report = store.erase({"customer": GONE})
    [dataset] = [held for held in report.held if held.kind == "dataset"]
    assert (dataset.where, dataset.rows) == ("visitors@1", 2)
    assert "model churn v1 learned from it" in dataset.why
    assert store.datasets.get("visitors").rows == 3


@pytest.mark.parametrize(
    ("entity", "error", "message"),
    [
        ({}, InputError, "Name the entity to erase"),
        ({"custmer": "a"}, UnknownNameError, "There is no join key 'custmer'"),
        ({"customer": 7}, InputError, "wants String, found int 7"),
        ({"customer": None}, InputError, "null names no entity"),
    ],
)
def test_what_names_no_entity_is_refused(
    filled: tuple[FeatureStore, Clock], entity: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        filled[0].erase(entity)  # type: ignore[arg-type]  # on purpose


class TestCommand:
    def run(self, root: Path, *arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["--project", str(root), "erase", *arguments])
        return result.exit_code, result.stdout + (str(result.exception) if result.exception else "")

    def test_it_asks_shows_and_ends_with_1_while_something_holds(self, filled: tuple[FeatureStore, Clock]) -> None:
        root = filled[0].root
        code, told = self.run(root, "-e", f"customer={GONE}", "--dry-run")
        assert (code, "Would erase" in told, "data/purchases.parquet" in told) == (0, True, True)
        code, told = self.run(root, "-e", f"customer={GONE}")
        assert "look at --dry-run first, then give --yes" in told
        code, told = self.run(root, "-e", f"customer={GONE}", "--yes", "--json")
        assert (code, '"complete": false' in told) == (1, True)
        code, told = self.run(root, "-e", f"customer={GONE}", "-e", f"customer={STAYS}", "--yes")
        assert "Join key 'customer' is given twice" in told
