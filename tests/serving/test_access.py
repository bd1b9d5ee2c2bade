"""Who may call what, on every route: no key, a wrong one, an expired or revoked one, and a key of each scope."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from featurestore.errors import InputError
from featurestore.store import FeatureStore
from featurestore.timeline import format_instant
from serving.app import create_app, keys_of
from serving.exchange import Answer, Request
from serving.keys import GRANTED, Keys
from serving.routes import Route, Scope
from tests.serving.servers import Asker, shop

QUESTION = {"features": ["last:items"], "entities": [{"customer": "a"}]}


def _done(_: Request) -> Answer:
    return Answer(b'{"done":true}')


ROUTES = tuple(Route("POST", f"/test/{scope.value}", scope, hot=_done) for scope in GRANTED)
PATHS = {scope: f"/test/{scope.value}" for scope in GRANTED}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FeatureStore]:
    with shop(tmp_path) as store:
        yield store


@pytest.fixture
def keys(store: FeatureStore) -> Keys:
    return keys_of(store)


def serving(store: FeatureStore) -> Asker:
    return Asker(create_app(store, ROUTES))


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def test_without_any_key_features_may_be_read_and_nothing_may_be_written(store: FeatureStore) -> None:
    ask = serving(store)
    assert {scope: ask("POST", path).status_code for scope, path in PATHS.items()} == {
        Scope.FEATURES_READ: 200,
        Scope.PREDICT: 200,
        Scope.PUSH: 403,
        Scope.ADMIN: 403,
    }


@pytest.mark.parametrize("held", GRANTED)
def test_a_key_opens_the_routes_of_its_scope_and_one_of_admin_all(store: FeatureStore, keys: Keys, held: Scope) -> None:
    _, key = keys.create("one", [held], "ann")
    ask = serving(store)
    for scope, path in PATHS.items():
        expected = 200 if held in (scope, Scope.ADMIN) else 403
        assert ask("POST", path, headers=bearer(key)).status_code == expected, scope


def test_wrong_expired_and_revoked_keys_are_refused_and_say_why(store: FeatureStore, keys: Keys) -> None:
    now = store.now_us()
    good, secret = keys.create("good", ["features:read"], "ann")
    _, short_lived = keys.create("short", ["features:read"], "ann", expires_at_us=now + 1)
    path = PATHS[Scope.FEATURES_READ]

    def said(given: str) -> tuple[int, str]:
        answer = serving(store)("POST", path, headers={"authorization": given})
        return answer.status_code, answer.json()["error"]["message"] if answer.status_code != 200 else ""

    assert said(f"Bearer {secret}") == (200, "")
    assert said(f"bearer {secret}") == (200, "")
    for wrong in (
        "Bearer",
        "Bearer x",
        f"Basic {secret}",
        f"Bearer {secret}x",
        f"Bearer fs_{good.id}_",
        "Bearer fs__",
        "",
    ):
        assert said(wrong)[0] == 401, wrong
    store.now_us = lambda: now + 1
    assert said(f"Bearer {short_lived}")[0] == 401
    assert "is expired" in said(f"Bearer {short_lived}")[1]
    keys.revoke(good.id)
    assert said(f"Bearer {secret}")[0] == 401
    assert "is revoked" in said(f"Bearer {secret}")[1]


def test_a_revoked_key_is_refused_by_a_server_that_knew_it(store: FeatureStore, keys: Keys) -> None:
    made, secret = keys.create("one", ["features:read"], "ann")
    ask = serving(store)
    assert ask("POST", PATHS[Scope.FEATURES_READ], headers=bearer(secret)).status_code == 200
    keys.revoke(made.id)
    asyncio.run(asyncio.sleep(0.02))  # the registry's token is asked for at most every 10 ms
    assert ask("POST", PATHS[Scope.FEATURES_READ], headers=bearer(secret)).status_code == 401


def test_a_key_may_be_limited_to_views_and_services(store: FeatureStore, keys: Keys) -> None:
    _, by_view = keys.create("view", ["features:read"], "ann", views=["last"])
    _, by_service = keys.create("service", ["features:read"], "ann", views=["buyer"])
    _, by_other = keys.create("other", ["features:read"], "ann", views=["something"])
    ask = serving(store)
    whole = {"service": "buyer", "entities": [{"customer": "a"}], "request": [{"price": 1.0}]}
    statuses = {
        name: [ask("POST", "/v1/features", json=asked, headers=bearer(key)).status_code for asked in (QUESTION, whole)]
        for name, key in (("view", by_view), ("service", by_service), ("other", by_other))
    }
    assert statuses == {"view": [200, 200], "service": [403, 200], "other": [403, 403]}


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"service": "buyr"}, 403),
        ({"service": "last"}, 422),
        ({"service": "ratio"}, 403),
        ({"features": ["lst:items"]}, 403),
        ({"features": ["ratio:nothing"]}, 403),
        ({"features": ["last:nothing"]}, 404),
    ],
)
def test_a_limited_key_is_told_no_other_name_when_it_asks_for_one_that_is_wrong(
    store: FeatureStore, keys: Keys, asked: dict[str, object], status: int
) -> None:
    _, key = keys.create("view", ["features:read"], "ann", views=["last"])
    whole = {**asked, "entities": [{"customer": "a"}]}
    answer = serving(store)("POST", "/v1/features", json=whole, headers=bearer(key))
    assert answer.status_code == status
    assert "buyer" not in answer.text
    assert "Available" not in answer.text or status == 404


def test_the_scope_admin_lifts_no_limit_to_views(store: FeatureStore, keys: Keys) -> None:
    _, key = keys.create("one", ["admin"], "ann", views=["something"])
    assert serving(store)("POST", "/v1/features", json=QUESTION, headers=bearer(key)).status_code == 403


def test_requiring_keys_closes_the_server_before_the_first_is_made(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEATURESTORE_SERVING__REQUIRE_KEYS", "true")
    with FeatureStore(store.root) as closed:
        assert serving(closed)("POST", PATHS[Scope.FEATURES_READ]).status_code == 401


@pytest.mark.parametrize(
    ("host", "status"),
    [("127.0.0.1", 200), ("localhost:6566", 200), ("[::1]:6566", 200), ("evil.example", 421), ("evil.example:80", 421)],
)
def test_a_host_that_is_not_allowed_is_refused(store: FeatureStore, host: str, status: int) -> None:
    assert serving(store)("POST", PATHS[Scope.PREDICT], headers={"host": host}).status_code == status


def test_pages_of_other_sites_may_not_ask_unless_they_are_named(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = {"origin": "https://shop.example"}
    assert "access-control-allow-origin" not in serving(store)("POST", PATHS[Scope.PREDICT], headers=headers).headers
    monkeypatch.setenv("FEATURESTORE_SERVING__CORS_ORIGINS", "https://shop.example")
    with FeatureStore(store.root) as open_to_one:
        answer = serving(open_to_one)("POST", PATHS[Scope.PREDICT], headers=headers)
    assert answer.headers["access-control-allow-origin"] == "https://shop.example"


def test_writes_are_logged_with_their_caller_and_reads_are_not(store: FeatureStore, keys: Keys) -> None:
    made, secret = keys.create("writer", ["push", "features:read"], "ann")
    ask = serving(store)
    for scope in (Scope.FEATURES_READ, Scope.PUSH, Scope.ADMIN):
        ask("POST", PATHS[scope], headers=bearer(secret))
    lines = (store.root / "data" / "serving" / "writes.jsonl").read_text().splitlines()
    assert [(line["route"], line["key"], line["status"]) for line in map(json.loads, lines)] == [
        ("POST /test/push", made.id, 200),
        ("POST /test/admin", None, 403),
    ]


def test_no_secret_is_kept_or_told(
    store: FeatureStore, keys: Keys, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    made, canary = keys.create("canary", ["push"], "ann")
    ask = serving(store)
    answers = [
        ask(method, path, headers=bearer(canary), content=b'{"canary":' + canary.encode())
        for method, path in (("POST", "/v1/features"), ("POST", PATHS[Scope.PUSH]), ("GET", "/nowhere"))
    ]
    answers += [ask("POST", PATHS[Scope.PUSH], headers=bearer(canary[:-1]))]
    secret = canary.split("_", 2)[2]
    told = [answer.text for answer in answers] + [str(answer.headers) for answer in answers]
    told += [*capfd.readouterr(), caplog.text, repr(made)]
    told += [path.read_bytes().decode("latin-1") for path in store.root.rglob("*") if path.is_file()]
    assert [text[:100] for text in told if secret in text] == []


def test_a_key_expires_in_a_year_that_can_be_shown(keys: Keys) -> None:
    with pytest.raises(InputError, match="after the year 9999"):
        keys.create("far", ["push"], "ann", expires_at_us=253_402_300_800_000_000)
    made, _ = keys.create("last", ["push"], "ann", expires_at_us=253_402_300_799_999_999)
    assert made.expires_at_us is not None
    assert format_instant(made.expires_at_us).startswith("9999-12-31")
