"""How much may be in work at once, and which addresses are served."""

from __future__ import annotations

from pathlib import Path

import pytest

from featurestore.errors import ConfigurationError
from featurestore.project.configuration import Serving
from serving.errors import Refused
from serving.exchange import Answer, Request
from serving.load import Load
from serving.routes import Route, Scope
from serving.server import check_address, serve

ROUTE = Route("POST", "/work", Scope.FEATURES_READ, hot=lambda _: Answer(b"{}"))
HEALTH = Route("GET", "/healthz", Scope.OPEN, hot=lambda _: Answer(b"{}"))


def _refused(load: Load, request: Request) -> int:
    with pytest.raises(Refused) as refused, load.admitted(ROUTE, request):
        pass
    assert refused.value.retry_seconds == 1
    return refused.value.status


def test_beyond_the_most_in_work_is_refused_and_a_place_is_given_back() -> None:
    load = Load(most=2, most_of_one=2)
    with load.admitted(ROUTE, Request({})):
        with load.admitted(ROUTE, Request({})):
            assert _refused(load, Request({})) == 503
            with load.admitted(HEALTH, Request({})):
                assert load.in_work == 2
        with pytest.raises(KeyError), load.admitted(ROUTE, Request({})):
            raise KeyError
    assert load.in_work == 0


def test_one_key_cannot_take_all_places() -> None:
    load = Load(most=10, most_of_one=1)
    with load.admitted(ROUTE, Request({}, caller="ann")):
        assert _refused(load, Request({}, caller="ann")) == 429
        with load.admitted(ROUTE, Request({}, caller="bob")):
            assert load.in_work == 2


@pytest.mark.parametrize(
    ("settings", "has_keys", "message"),
    [
        (Serving(host="0.0.0.0"), False, "no key exists"),
        (Serving(host="0.0.0.0"), True, "without TLS"),
        (Serving(host="0.0.0.0", tls_certificate="c.pem"), True, "both a certificate and its key"),
        (Serving(host="feature.example", require_keys=True), False, "without TLS"),
    ],
)
def test_an_address_that_others_reach_wants_keys_and_tls(settings: Serving, has_keys: bool, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        check_address(settings, has_keys=has_keys)


@pytest.mark.parametrize(
    ("settings", "has_keys"),
    [
        (Serving(), False),
        (Serving(host="::1"), False),
        (Serving(host="0.0.0.0", behind_proxy=True), True),
        (Serving(host="0.0.0.0", tls_certificate="c.pem", tls_key="k.pem", require_keys=True), False),
    ],
)
def test_a_safe_address_is_served(settings: Serving, has_keys: bool) -> None:
    check_address(settings, has_keys=has_keys)


@pytest.mark.parametrize("name", ["", "missing.pem", "junk.pem", "."])
def test_tls_files_that_cannot_be_used_are_refused_before_it_serves(tmp_path: Path, name: str) -> None:
    (tmp_path / "junk.pem").write_text("junk")
    file = str(tmp_path / name) if name else ""
    settings = Serving(host="0.0.0.0", port=0, tls_certificate=file, tls_key=file, require_keys=True)
    announced: list[str] = []
    with pytest.raises(ConfigurationError, match="cannot be used for TLS"):
        serve(settings, announced.append)
    assert announced == []
