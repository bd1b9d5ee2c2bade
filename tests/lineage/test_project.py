"""Lineage on the whole path: a project with every kind of declaration, its datasets and models."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import polars as pl
import pytest

from featurestore.engines.duckdb.engine import DuckDbEngine
from featurestore.lineage import Lineage
from featurestore.plan.nodes import Scan
from featurestore.store import FeatureStore
from tests.store.projects import PURCHASES, day, define, make_project, open_project, purchases

EVERYTHING = '''
customer = Entity("customer", join_keys={"customer": String})
shop = Entity("shop", join_keys={"shop": String})
purchases = ParquetSource(
    "purchases", path="data/purchases.parquet", event_timestamp="at", created_timestamp="known", event_id="id",
    deleted="gone",
)
shops = ParquetSource("shops", path="data/shops.parquet", timeless=True)
billed = SqlSource(
    "billed", inputs=[purchases, shops], event_timestamp="at",
    sql="""
        WITH open AS (SELECT shop, city FROM shops WHERE closed IS NULL)
        SELECT p.*, o.city AS town, p.amount * 2 AS "Twice Of" FROM purchases p JOIN open o USING (shop)
        QUALIFY row_number() OVER (PARTITION BY id ORDER BY known) = 1
    """,
)
last = FeatureView(
    "last", entities=[customer], source=billed,
    features=[
        Feature("town", String),
        Feature("spent", Float64, column="amount"),
        Feature("each", Float64, expr="""\\"Twice Of\\" / 2 / nullif(ITEMS, 0)"""),
    ],
)
windows = FeatureView(
    "windows", entities=[shop], source=purchases, every=timedelta(days=1),
    features=[
        Aggregation("amount", "sum", timedelta(days=3), where="items > 1", name="large"),
        Aggregation("*", "count", timedelta(days=3), name="sales"),
        Aggregation("*", "ratio", timedelta(days=3), where="items > 2", params={"of": "amount > 1"}, name="share"),
    ],
)
ranked = SqlSource(
    "ranked", inputs=[windows, shops], event_timestamp="event_timestamp",
    sql="""
        SELECT w.shop, w.event_timestamp, w.large / w.sales AS mean_sale, s.city
        FROM windows w LEFT JOIN shops s USING (shop)
    """,
)
rank = FeatureView("rank", entities=[shop], source=ranked, features=[Feature("mean_sale", Float64)])
steps = FeatureView("steps", entities=[shop], source=windows, features=[Feature("latest", Float64, column="large")])
request = RequestSource("request", {"price": Float64, "coins": Float64})
asked = OnDemandFeatureView(
    "asked", inputs=[request, last[["spent"]]],
    features={"dear": pl.col("price") > pl.col("spent"), "whole": pl.max_horizontal(pl.selectors.float())},
)
doubled = OnDemandFeatureView(
    "doubled", inputs=[RequestSource("more", {"x": Float64}), last[["town"]]], features={"twice": Float64},
    function=double,
)
buyer = FeatureService(
    "buyer", features=[last[["each"]], windows.with_join_keys(shop="nearest")[["large"]], asked, doubled],
)
'''  # fmt: skip
FUNCTION = '''
def double(frame):
    """Twice x."""
    return frame.select(twice=pl.col("x") * 2)
'''


def everything() -> dict[str, pl.DataFrame]:
    """The sources' rows."""
    times = {"at": [day(2), day(3), day(5)], "known": [day(2), day(4), day(5)]}
    return {
        "purchases": pl.DataFrame(
            {
                "customer": ["a", "a", "b"], "shop": ["s", "s", "z"], "id": [1, 2, 3], "gone": [False, False, False],
                "amount": [2.0, 3.0, 5.0], "items": [1, 2, 3], "colour": ["red", "blue", "red"], **times,
            },
            schema_overrides=dict.fromkeys(times, pl.Datetime("us", "UTC")),
        ),
        "shops": pl.DataFrame({"shop": ["s", "z"], "city": ["X", "Y"], "closed": [None, "2020"], "size": [1, 2]}),
    }  # fmt: skip


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Lineage:
    """The lineage of a project that has everything."""
    with make_project(tmp_path_factory.mktemp("shop"), FUNCTION + EVERYTHING, **everything()) as store:
        store.apply()
        return store.lineage()


def direct(graph: Lineage, target: str, *, leave: tuple[str, ...] = ("rows",)) -> dict[str, str]:
    """What a node directly depends on, with the use of each, without rows."""
    [node] = [node for node in graph.nodes if str(node) == target]
    return {str(edge.source): edge.use for edge in graph.edges if edge.target == node and edge.use not in leave}


def test_a_query_is_followed_column_by_column(graph: Lineage) -> None:
    assert direct(graph, "billed.town") == {"shops.city": "value"}
    assert direct(graph, "billed.Twice Of") == {"purchases.amount": "value"}
    assert direct(graph, "billed.shop") == {"purchases.shop": "value"}
    assert direct(graph, "billed.colour") == {"purchases.colour": "value"}


def test_filters_and_joins_decide_the_rows_of_a_query(graph: Lineage) -> None:
    [rows] = [node for node in graph.nodes if str(node) == "billed"]
    assert {str(e.source): e.use for e in graph.edges if e.target == rows} == {
        "purchases": "rows",
        "shops": "rows",
        "purchases.shop": "condition",
        "shops.shop": "condition",
        "shops.closed": "condition",
        "purchases.id": "condition",
        "purchases.known": "condition",
    }


def test_features_come_from_columns_and_expressions(graph: Lineage) -> None:
    assert direct(graph, "last:town") == {"billed.town": "value"}
    assert direct(graph, "last:spent") == {"billed.amount": "value"}
    assert direct(graph, "last:each") == {"billed.Twice Of": "value", "billed.items": "value"}


def test_aggregations_come_from_columns_and_conditions(graph: Lineage) -> None:
    assert direct(graph, "windows:large") == {"purchases.amount": "value", "purchases.items": "condition"}
    assert direct(graph, "windows:sales") == {}
    assert direct(graph, "windows:share") == {"purchases.items": "condition", "purchases.amount": "condition"}


def test_keys_times_ids_and_markers_decide_the_rows_of_a_view(graph: Lineage) -> None:
    [rows] = [node for node in graph.nodes if str(node) == "windows"]
    assert {str(e.source): e.use for e in graph.edges if e.target == rows} == {
        "purchases": "rows",
        "windows:shop": "key",
        "windows:event_timestamp": "time",
        "windows:created_timestamp": "time",
        "purchases.id": "event_id",
        "purchases.gone": "deleted",
    }
    assert direct(graph, "windows:shop") == {"purchases.shop": "key"}
    assert direct(graph, "windows:event_timestamp") == {"purchases.at": "time"}
    assert direct(graph, "windows:created_timestamp") == {"purchases.known": "time"}
    assert "windows:sales" in map(str, graph.downstream("purchases.gone"))


def test_the_steps_of_a_view_are_a_source_like_another(graph: Lineage) -> None:
    assert direct(graph, "steps:latest") == {"windows:large": "value"}
    assert direct(graph, "steps:shop") == {"windows:shop": "key"}
    assert direct(graph, "steps:event_timestamp") == {"windows:event_timestamp": "time"}
    assert direct(graph, "ranked.mean_sale") == {"windows:large": "value", "windows:sales": "value"}
    assert direct(graph, "ranked.city") == {"shops.city": "value"}
    assert "purchases.amount" in map(str, graph.upstream("rank:mean_sale"))


def test_request_time_features_come_from_what_their_expressions_name(graph: Lineage) -> None:
    assert direct(graph, "asked:dear") == {"request.price": "value", "last:spent": "value"}


def test_a_selector_and_a_python_function_read_all_inputs(graph: Lineage) -> None:
    assert direct(graph, "asked:whole") == {"request.price": "value", "request.coins": "value", "last:spent": "value"}
    assert direct(graph, "doubled:twice") == {"more.x": "value", "last:town": "value"}


def test_a_service_names_features_as_it_answers_them(graph: Lineage) -> None:
    assert [str(node) for node in graph.find("buyer")] == [
        "buyer", "buyer:each", "buyer:nearest__large", "buyer:dear", "buyer:whole", "buyer:twice",
    ]  # fmt: skip
    assert direct(graph, "buyer:nearest__large") == {"windows:large": "value"}
    assert direct(graph, "buyer:dear") == {"asked:dear": "value"}


def test_from_a_column_of_a_source_to_the_service_and_back(graph: Lineage) -> None:
    downstream = [str(node) for node in graph.downstream("shops.closed")]
    assert "buyer:each" in downstream
    assert "buyer:nearest__large" not in downstream
    assert "shops.closed" in map(str, graph.upstream("buyer:dear"))
    assert graph.downstream("shops.size") == ()


def test_a_key_reaches_every_feature_of_its_view_and_no_other(graph: Lineage) -> None:
    reached = {str(node) for node in graph.downstream("purchases.customer")}
    assert {"last:town", "last:spent", "last:each", "buyer:dear"} <= reached
    assert not {name for name in reached if name.startswith(("windows", "rank", "steps"))}


def test_other_names_of_views_and_entities(graph: Lineage) -> None:
    assert graph.find("last@1") == graph.find("last")
    assert [str(node) for node in graph.find("shop")] == ["windows:shop", "rank:shop", "steps:shop"]


def test_the_graph_is_the_same_each_time_and_computes_no_windows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, graph: Lineage
) -> None:
    make_project(tmp_path, FUNCTION + EVERYTHING, **everything()).apply()
    monkeypatch.setattr("featurestore.engines.duckdb.scan._steps", None)  # what computes the steps of a view
    with open_project(tmp_path) as store:
        again = store.lineage()
    assert (again.nodes, again.edges, again.notes) == (graph.nodes, graph.edges, ())


def test_a_source_that_is_gone_is_told_and_its_named_columns_stay(tmp_path: Path) -> None:
    with make_project(tmp_path, FUNCTION + EVERYTHING, **everything()) as store:
        store.apply()
        (tmp_path / "data" / "purchases.parquet").unlink()
        found = store.lineage()
    one, other = found.notes
    assert one.startswith("Source 'purchases': ")
    assert other.startswith("Source 'billed' reads 'purchases', which cannot be read; its columns are known only where")
    assert direct(found, "windows:large") == {"purchases.amount": "value", "purchases.items": "condition"}
    assert direct(found, "billed.amount") == {"purchases.*": "value", "shops.*": "value"}


# datasets and models

SPINE = 'SELECT customer, "at" AS event_timestamp, items AS label FROM purchases WHERE amount > 1'


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    """The small shop, materialized."""
    made = make_project(tmp_path, PURCHASES, purchases=purchases())
    made.apply()
    made.materialize(end=day(20))
    return made


def save(store: FeatureStore, name: str, features: object = "buyer", price: bool = True) -> None:
    """A dataset of a spine that is a query."""
    query = SPINE.replace("label", "label, 1.5::DOUBLE AS price") if price else SPINE
    store.get_historical_features(query, features).save(name)  # type: ignore[arg-type]  # as users write it


def test_a_dataset_comes_from_its_service_and_a_model_from_the_dataset(store: FeatureStore) -> None:
    save(store, "train")
    store.record_model("again", dataset="train")
    found = store.lineage()
    assert direct(found, "train@1:amount") == {"buyer:amount": "value"}
    assert direct(found, "train@1:relative") == {"buyer:relative": "value"}
    assert "again@1" in map(str, found.downstream("purchases.amount"))
    assert {"purchases.amount", "last:amount", "buyer:amount", "train@1:amount"} <= set(
        map(str, found.upstream("again"))
    )


def test_labels_come_from_the_query_of_the_spine(store: FeatureStore) -> None:
    save(store, "train")
    found = store.lineage()
    assert direct(found, "train@1:label") == {"purchases.items": "value"}
    assert direct(found, "train@1:customer") == {"purchases.customer": "value"}
    assert direct(found, "train@1:price") == {}
    assert direct(found, "train@1") == {
        "purchases.amount": "condition",
        "train@1:customer": "key",
        "train@1:event_timestamp": "time",
        "buyer": "named",
    }


def test_a_spine_from_a_file_is_named(store: FeatureStore, tmp_path: Path) -> None:
    spine = pl.DataFrame({"customer": ["a"], "event_timestamp": [day(12)], "label": [1]})
    spine.write_parquet(tmp_path / "data" / "labels.parquet")
    store.get_historical_features(tmp_path / "data" / "labels.parquet", ["last:items"], statuses=True).save("train")
    found = store.lineage()
    assert direct(found, "train@1:label") == {"data/labels.parquet.label": "value"}
    assert direct(found, "train@1:items") == {"last:items": "value"}
    assert direct(found, "train@1:items__status") == {"last:items": "value"}


def test_a_dataset_of_a_dataset(store: FeatureStore) -> None:
    save(store, "train", ["last:items"], price=False)
    query = "SELECT customer, event_timestamp, label + items AS target FROM train_v1"
    store.get_historical_features(query, ["last:amount"]).save("more")
    assert direct(store.lineage(), "more@1:target") == {"train@1:label": "value", "train@1:items": "value"}


def test_a_dataset_keeps_the_version_that_it_was_made_of(store: FeatureStore, tmp_path: Path) -> None:
    save(store, "old")
    store.record_model("first", dataset="old")
    store.record_model("direct", service="buyer")
    define(tmp_path, PURCHASES.replace('Feature("amount", Float64)', 'Feature("amount", Float64, expr="items * 2.0")'))
    store.apply()
    store.materialize(end=day(21))
    save(store, "new")
    found = store.lineage()
    assert direct(found, "old@1:amount") == {"last@1:amount": "value"}
    assert direct(found, "last@1:amount") == {"purchases.amount": "value"}
    assert direct(found, "old@1:relative") == {"request.price": "value", "last@1:amount": "value"}
    assert direct(found, "new@1:amount") == {"buyer:amount": "value"}
    assert direct(found, "last:amount") == {"purchases.items": "value"}
    assert "old@1:amount" not in map(str, found.downstream("last:amount"))
    assert {"old@1", "new@1", "first@1", "direct@1"} <= set(map(str, found.downstream("buyer")))
    assert direct(found, "direct@1") == {"buyer": "named", "last@1:*": "value"}
    assert {"last@1:amount", "last@1:items"} <= set(map(str, found.upstream("direct")))


def test_a_model_of_a_service_that_is_as_it_was_comes_from_its_features(store: FeatureStore) -> None:
    store.record_model("direct", service="buyer")
    assert direct(store.lineage(), "direct@1") == {
        "buyer": "named", "buyer:amount": "value", "buyer:items": "value", "buyer:relative": "value",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("features=[last, ratio]", 'features=[last[["amount"]], ratio]'),
        ('pl.col("price") / pl.col("amount")', 'pl.col("price") * 2'),
    ],
    ids=["the service", "its on-demand view"],
)
def test_a_model_of_a_service_that_changed_since_comes_from_all_columns_of_the_views(
    store: FeatureStore, tmp_path: Path, before: str, after: str
) -> None:
    store.record_model("direct", service="buyer")
    define(tmp_path, PURCHASES.replace(before, after))
    store.apply()
    assert direct(store.lineage(), "direct@1") == {"buyer": "named", "last:*": "value"}


def test_the_newest_dataset_and_model_are_meant_without_a_version(store: FeatureStore) -> None:
    for _ in range(2):
        save(store, "train")
        store.record_model("again", dataset="train")
    found = store.lineage()
    assert {node.name for node in found.find("train")} == {"train@2"}
    assert [str(node) for node in found.find("again")] == ["again@2"]
    assert {node.name for node in found.find("train@1:amount")} == {"train@1"}


def test_a_pinned_version_is_another_object(store: FeatureStore, tmp_path: Path) -> None:
    pinned = PURCHASES.replace('"amount", Float64)', '"amount", Float64, expr="items * 2.0")')
    define(tmp_path, pinned + '\nold = FeatureService("old", features=[last.version(1)[["amount"]]])\n')
    store.apply()
    found = store.lineage()
    assert direct(found, "old:amount") == {"last@1:amount": "value"}
    assert direct(found, "buyer:amount") == {"last:amount": "value"}


def test_a_dataset_whose_file_is_gone_has_the_columns_of_its_manifest(store: FeatureStore) -> None:
    save(store, "train")
    store.datasets.get("train").path.unlink()
    found = store.lineage()
    assert direct(found, "train@1:amount") == {"buyer:amount": "value"}
    assert "is gone" in found.notes[0]


def test_what_an_older_version_reads_in_another_meaning_is_told_apart(tmp_path: Path) -> None:
    half = """\
    half = SqlSource(
        "half", inputs=[purchases], event_timestamp="at", sql='SELECT customer, "at", amount, items FROM purchases',
    )
    last = """
    queried = PURCHASES.replace("last = ", dedent(half)).replace("source=purchases", "source=half")
    with make_project(tmp_path, queried, purchases=purchases()) as store:
        store.apply()
        store.materialize(end=day(20))
        save(store, "train")
        define(tmp_path, queried.replace(", amount, items FROM", ", items + 0.5 AS amount, items FROM"))
        store.apply()
        found = store.lineage()
    assert direct(found, "half.amount") == {"purchases.items": "value"}
    assert direct(found, "last:amount") == {"half.amount": "value"}
    assert direct(found, "last@1:amount") == {"half of last@1.amount": "value"}
    assert direct(found, "half of last@1.amount") == {"purchases.amount": "value"}


def test_the_engine_is_asked_for_headers_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    with make_project(tmp_path, FUNCTION + EVERYTHING, **everything()) as store:
        store.apply()
        columns = DuckDbEngine.columns

        def counted(self: DuckDbEngine, scan: Scan) -> tuple[tuple[str, str], ...]:
            asked.append(scan.name)
            return columns(self, scan)

        monkeypatch.setattr(DuckDbEngine, "columns", counted)
        for method in ("expression_types", "historical", "extract", "current", "current_windows", "query"):
            monkeypatch.setattr(DuckDbEngine, method, None)
        store.lineage()
    assert sorted(asked) == ["billed", "purchases", "ranked", "shops"]
