"""Pushes over HTTP: to history and online at once, through the contracts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from featurestore.arrow import ipc_stream
from featurestore.store import FeatureStore
from serving.app import keys_of
from serving.exchange import ARROW
from tests.serving.servers import Asker, serving, shop
from tests.store.projects import NOW, day

ROWS = [{"customer": "c", "at": "2024-02-25T00:00:00Z", "amount": 7.5, "items": 4}]
TABLE = pl.DataFrame({"customer": ["c"], "at": [day(25).replace(month=2)], "amount": [7.5], "items": [4]})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FeatureStore]:
    with shop(tmp_path) as store:
        yield store


def _key(store: FeatureStore, *views: str) -> dict[str, str]:
    _, key = keys_of(store).create("tests", ["push", "features:read"], "ann", views=views or None)
    return {"authorization": f"Bearer {key}"}


def _asked(ask: Asker, headers: dict[str, str]) -> list[object]:
    question = {"features": ["last:amount", "last:items"], "entities": [{"customer": "c"}]}
    features = ask("POST", "/v1/features", json=question, headers=headers).json()["features"]
    return [features["amount"]["values"][0], features["items"]["values"][0]]


@pytest.mark.parametrize("form", ["rows", "columns", "arrow"])
def test_pushed_rows_answer_at_once_and_again_changes_nothing(store: FeatureStore, form: str) -> None:
    ask, headers = serving(store), _key(store)
    body: object = {"rows": ROWS} if form == "rows" else {"rows": {name: [v] for name, v in ROWS[0].items()}}
    sent = {"content": ipc_stream(TABLE.to_arrow()), "headers": {**headers, "content-type": ARROW.decode()}}
    options = sent if form == "arrow" else {"json": body, "headers": headers}
    for rows, repeated in ((1, 0), (0, 1)):
        pushed = ask("POST", "/v1/push/last", **options)
        assert pushed.status_code == 200, pushed.text
        [view] = pushed.json()["views"]
        assert (view["view"], view["rows"], view["repeated"]) == ("last", rows, repeated)
        assert _asked(ask, headers) == [7.5, 4]
    spine = pl.DataFrame({"customer": ["c"], "event_timestamp": [NOW]})
    history = store.get_historical_features(spine, ["last:amount"])
    assert history.to_polars()["amount"].to_list() == [7.5]


def test_feasts_push_names_a_source_and_has_instants_without_zone(store: FeatureStore) -> None:
    ask, headers = serving(store), _key(store)
    df = {"customer": ["c"], "at": ["2024-02-25 00:00:00"], "amount": [7.5], "items": [4]}
    body = {"push_source_name": "purchases", "df": df, "to": "online_and_offline"}
    assert ask("POST", "/push", json=body, headers=headers).status_code == 200
    assert _asked(ask, headers) == [7.5, 4]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/push/nothing", {"rows": ROWS}, 404),
        ("/v1/push/last", {"rows": [{"customer": "c"}]}, 422),
        ("/v1/push/last", {"rows": []}, 422),
        ("/v1/push/last", {"rows": [{**ROWS[0], "amount": "much"}]}, 422),
        ("/v1/push/last", {"rows": {"customer": ["c"], "at": []}}, 422),
        ("/v1/push/last", ROWS, 400),
        ("/push", {"push_source_name": "nothing", "df": {}}, 404),
    ],
)
def test_a_wrong_push_is_refused_and_writes_nothing(store: FeatureStore, path: str, body: object, status: int) -> None:
    ask, headers = serving(store), _key(store)
    refused = ask("POST", path, json=body, headers=headers)
    assert refused.status_code == status, refused.text
    assert _asked(ask, headers) == [None, None]


def test_a_push_of_no_rows_is_told_so(store: FeatureStore) -> None:
    refused = serving(store)("POST", "/v1/push/last", json={"rows": []}, headers=_key(store))
    assert refused.json()["error"]["message"] == "The rows: there are none; give at least one."


def test_a_key_limited_to_other_views_pushes_nothing(store: FeatureStore) -> None:
    ask, headers = serving(store), _key(store, "buyer")
    for path, body in (("/v1/push/last", {"rows": ROWS}), ("/push", {"push_source_name": "purchases", "df": {}})):
        assert ask("POST", path, json=body, headers=headers).status_code == 403


def test_a_push_stands_in_the_audit_log_without_its_rows(store: FeatureStore, tmp_path: Path) -> None:
    ask, headers = serving(store), _key(store)
    ask("POST", "/v1/push/last", json={"rows": ROWS}, headers=headers)
    df = {"customer": ["d"], "at": ["2024-02-25 00:00:00"], "amount": [7.5], "items": [4]}
    ask("POST", "/push", json={"push_source_name": "purchases", "df": df}, headers=headers)
    lines = (tmp_path / "data" / "serving" / "writes.jsonl").read_text().splitlines()
    assert [{name: json.loads(line)[name] for name in ("route", "view", "status")} for line in lines] == [
        {"route": "POST /v1/push/{view}", "view": "last", "status": 200},
        {"route": "POST /push", "view": "purchases", "status": 200},
    ]
    assert "7.5" not in "".join(lines)


@pytest.mark.parametrize(
    ("rows", "status"),
    [
        ([{f"c{number}": 1} for number in range(1_100)], 413),
        ([{**ROWS[0], "more": json.loads("[" * 90 + "]" * 90)}], 422),
    ],
)
def test_rows_that_are_small_on_their_way_only_are_refused(
    store: FeatureStore, rows: list[dict[str, object]], status: int
) -> None:
    answer = serving(store)("POST", "/v1/push/last", json={"rows": rows}, headers=_key(store))
    assert answer.status_code == status, answer.text


def test_a_limited_key_is_not_told_what_else_could_be_pushed_to(store: FeatureStore) -> None:
    answer = serving(store)("POST", "/v1/push/nope", json={"rows": ROWS}, headers=_key(store, "last"))
    assert (answer.status_code, "Available" in answer.text) == (403, False)


def test_a_version_of_endless_digits_is_no_version(store: FeatureStore) -> None:
    answer = serving(store)("POST", f"/v1/push/last@{'9' * 5_000}", json={"rows": ROWS}, headers=_key(store))
    assert answer.status_code == 404


def test_who_is_refused_does_not_fill_the_audit_log(store: FeatureStore, tmp_path: Path) -> None:
    assert serving(store)("POST", f"/v1/push/{'a' * 60_000}", json={"rows": ROWS}).status_code == 403
    assert max(path.stat().st_size for path in tmp_path.rglob("writes.jsonl")) < 1_000
