"""The log of served vectors: what is in it, what it may cost, and what becomes of it in odd processes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from featurestore.audit.log import LogSettings, ServiceLog, VectorLog
from featurestore.audit.records import LogFiles
from featurestore.dtypes import Float64, Int64, List, String, Timestamp, Vector
from featurestore.online.result import AnswerShape, OnlineFeatures
from featurestore.online.values import Publication
from featurestore.plan.catalog import (
    Catalog,
    FeatureRecord,
    FramePlace,
    Projected,
    ServiceRecord,
    SourceRecord,
    ViewRecord,
)
from featurestore.plan.lookup import LookupColumn, LookupPlan, ViewLookup
from featurestore.timeline import Status
from tests.store.projects import PURCHASES, day, make_project, purchases

FEATURES = (("f", Float64), ("i", Int64), ("l", List(String)), ("v", Vector(Float64, 2)), ("t", Timestamp))
PLAN = LookupPlan(
    "buyer",
    (ViewLookup("last", "p/last", (("customer", String),), tuple(LookupColumn(0, n, t) for n, t in FEATURES),
                view="last", version=1),),
    (),
    (("price", Float64),),
    FEATURES,
)  # fmt: skip
VIEW = ViewRecord(
    name="last",
    entities=("customer",),
    keys=(("customer", "String"),),
    source=SourceRecord(name="purchases", place=FramePlace(data=b"rows"), event_timestamp="at"),
    features=tuple(FeatureRecord(name=n, dtype=str(t), column=n, stored=n) for n, t in FEATURES),
)
CATALOG = Catalog(
    views={"last": VIEW},
    services={
        "buyer": ServiceRecord(
            name="buyer",
            members=(Projected(view="last", features=tuple(n for n, _ in FEATURES), keys=(("customer", "customer"),)),),
        )
    },
    versions={"last": 3},
)
Make = Callable[..., ServiceLog]
INSTANT = datetime(2024, 1, 1, tzinfo=UTC)


def answer(*rows: tuple[object, ...]) -> OnlineFeatures:
    """An answer of the plan; a row is the key, then the features."""
    shape = AnswerShape(
        (("customer", String),), FEATURES, (0,) * len(FEATURES), ("customer", *(n for n, _ in FEATURES))
    )
    columns = [list(column) for column in zip(*rows, strict=True)]
    found = ([Status.PRESENT] * len(rows), [7] * len(rows))
    return OnlineFeatures(shape, columns, [found], [Publication(5, 2, 5)], 9)


ROW = ("a", 1.0, 1, ["x"], [1.0, 2.0], INSTANT)


@pytest.fixture
def files(tmp_path: Path) -> LogFiles:
    return LogFiles(tmp_path / "audit")


@pytest.fixture
def make(files: LogFiles) -> Iterator[Make]:
    made: list[VectorLog] = []

    def log(sample: float = 1.0, buffer_rows: int = 100, flush_seconds: float = 1e6) -> ServiceLog:
        made.append(VectorLog(LogSettings(files.folder, sample, buffer_rows, flush_seconds), now_us=lambda: 11))
        return made[-1].of(PLAN, "buyer", CATALOG)

    yield log
    for vector_log in made:
        vector_log.close()


def logged(files: LogFiles) -> list[dict[str, Any]]:
    vectors = [row for path, _ in files.files("buyer") for row in files.read(path).to_pylist()]
    return sorted(vectors, key=lambda row: (row["served_at"], row["id"], row["row"]))


class TestWhatIsLogged:
    def test_a_vector_keeps_every_bit_and_says_what_it_was_read_from(self, files: LogFiles, make: Make) -> None:
        log = make()
        first = ("a", -0.0, 2**63 - 1, ["x", None], [float("nan"), 1.0], INSTANT)
        log(answer(first, ("b", float("nan"), None, None, None, None)), [{"price": 0.1}, {"price": None}])
        log.owner.flush()
        one, other = logged(files)
        features = one["features"]
        assert [str(features[name]) for name in "filv"] == ["-0.0", str(2**63 - 1), "['x', None]", "[nan, 1.0]"]
        assert features["t"] == INSTANT
        assert str(other["features"]["f"]) == "nan"
        assert (one["row"], other["row"], one["id"]) == (0, 1, other["id"])
        assert (one["keys"], one["request"]) == ({"customer": "a"}, {"price": 0.1})
        assert other["statuses"] == {"f": "PRESENT", **dict.fromkeys("ilvt", "NULL_VALUE")}
        micros = [one["asked_at"], one["served_at"], one["event_timestamps"]["last"], one["watermarks"]["last"]]
        assert [instant.microsecond for instant in micros] == [9, 11, 7, 5]
        assert one["table_versions"] == {"last": 2}

    def test_a_file_says_which_definitions_and_table_versions_it_rests_on(self, files: LogFiles, make: Make) -> None:
        log = make()
        log(answer(ROW), [{"price": 1.0}])
        log.owner.flush()
        [(_, facts)] = files.files("buyer")
        definitions = files.definitions(facts.definitions)
        assert facts.versions == {definitions.tables["last"]: [2]}
        assert (facts.first_us, facts.last_us, facts.sample, facts.dropped) == (11, 11, 1.0, 0)
        assert definitions.catalog.versions == {"last": 3}
        assert definitions.lookups == ({"customer": "customer"},)

    def test_literal_rows_of_a_source_are_not_in_the_log(self, files: LogFiles, make: Make) -> None:
        log = make()
        log(answer(ROW), [{"price": 1.0}])
        log.owner.flush()
        assert all(b"cm93cw" not in path.read_bytes() for path in files.folder.rglob("*.json"))  # "rows" in base64

    def test_what_the_caller_changes_afterwards_is_not_logged(self, files: LogFiles, make: Make) -> None:
        log = make()
        served, request = answer(ROW), [{"price": 1.0}]
        log(served, request)
        served.to_dict()["f"][0] = 9.0
        request[0]["price"] = 9.0
        log.owner.flush()
        assert logged(files)[0]["features"]["f"] == 1.0
        assert logged(files)[0]["request"] == {"price": 1.0}

    def test_a_share_of_the_requests_is_logged(self, files: LogFiles, make: Make) -> None:
        log = make(sample=0.25, buffer_rows=10_000)
        for _ in range(4_000):
            log(answer(ROW), [{"price": 1.0}])
        log.owner.flush()
        assert 850 < len(logged(files)) < 1_150  # 1,000 expected, standard deviation 27


class TestBounds:
    def test_what_does_not_fit_is_dropped_and_counted_in_the_next_file(self, files: LogFiles, make: Make) -> None:
        log = make(buffer_rows=3)
        for _ in range(3):
            log(answer(ROW, ROW), [{"price": 1.0}] * 2)  # two vectors fit, two and two do not
        log.owner.writer._wake.clear()
        log.owner.flush()
        log(answer(ROW), [{"price": 1.0}])
        log.owner.flush()
        assert [(facts.dropped, files.read(path).num_rows) for path, facts in files.files("buyer")] in (
            [(4, 2), (0, 1)], [(0, 1), (4, 2)],
        )  # fmt: skip

    def test_a_half_full_buffer_is_written_at_once(self, files: LogFiles, make: Make) -> None:
        log = make(buffer_rows=10)
        for _ in range(6):
            log(answer(ROW), [{"price": 1.0}])
        log.owner.close()
        assert len(logged(files)) == 6

    def test_no_vector_is_lost_or_doubled_when_threads_log(self, files: LogFiles, make: Make) -> None:
        log = make(buffer_rows=64)

        def serve(name: str) -> None:
            for number in range(200):
                log(answer((f"{name}{number}", *ROW[1:])), [{"price": 1.0}])

        threads = [threading.Thread(target=serve, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        log.owner.close()
        keys = [row["keys"]["customer"] for row in logged(files)]
        assert len(set(keys)) == len(keys)
        assert len(keys) + sum(facts.dropped for _, facts in files.files("buyer")) == 800

    def test_a_folder_that_cannot_be_written_stops_no_answer(
        self, files: LogFiles, make: Make, caplog: pytest.LogCaptureFixture
    ) -> None:
        files.folder.write_text("in the way")
        log = make()
        log(answer(ROW), [{"price": 1.0}])
        log.owner.flush()
        log.owner.flush()
        assert [record.message.split(": ")[0] for record in caplog.records] == [
            "Served vectors of 'buyer' cannot be logged"
        ]
        files.folder.unlink()
        log.owner.flush()
        [(path, facts)] = files.files("buyer")
        assert (facts.dropped, files.read(path).num_rows) == (1, 0)

    def test_a_value_that_fits_no_column_costs_its_own_request_only(self, files: LogFiles, make: Make) -> None:
        log = make()
        log(answer(("a", "no number", *ROW[2:])), [{"price": 1.0}])
        log(answer(ROW), [{"price": 1.0}])
        log.owner.flush()
        [(path, facts)] = files.files("buyer")
        assert (facts.dropped, files.read(path).num_rows) == (1, 1)


class TestProcesses:
    def test_a_forked_child_writes_its_own_and_leaves_its_parents(self, files: LogFiles, make: Make) -> None:
        log = make()
        log(answer(("parent", *ROW[1:])), [{"price": 1.0}])
        child = os.fork()
        if child == 0:
            try:
                log(answer(("child", *ROW[1:])), [{"price": 1.0}])
                log.owner.close()
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        log.owner.close()
        assert sorted(row["keys"]["customer"] for row in logged(files)) == ["child", "parent"]
        assert len({facts.process for _, facts in files.files("buyer")}) == 2

    def test_the_end_of_the_process_writes_the_rest(self, tmp_path: Path) -> None:
        store = make_project(tmp_path, PURCHASES, purchases=purchases())
        store.apply()
        store.materialize(end=day(12))
        code = (
            "import sys; from pathlib import Path; from tests.store.projects import open_project\n"
            "store = open_project(Path(sys.argv[1]))\n"
            "store.get_online_features('buyer', [{'customer': 'a'}], [{'price': 1.0}])\n"
            "store.get_online_features(['last:items'], [{'customer': 'a'}])\n"
        )
        environment = {**os.environ, "FEATURESTORE_AUDIT__SAMPLE": "1"}
        subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, env=environment)
        assert [row["keys"] for row in logged(LogFiles(tmp_path / "data" / "audit"))] == [{"customer": "a"}]
        assert store.served is None  # off by default


def test_vectors_are_a_table_for_anybody(files: LogFiles, make: Make) -> None:
    log = make()
    log(answer(ROW), [{"price": 1.0}])
    log.owner.flush()
    query = "SELECT keys.customer, features.i, epoch_us(asked_at) FROM read_parquet(?)"
    found = duckdb.execute(query, [f"{files.folder}/vectors/buyer/*.parquet"]).fetchall()
    assert found == [("a", 1, 9)]
