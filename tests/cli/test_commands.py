"""The command as people and machines run it: a new project, every command, wrong input."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from featurestore.cli import main
from featurestore.cli.output import print_table
from featurestore.project.configuration import load_configuration
from tests.store.projects import PURCHASES, day, define, make_project, purchases


def run(folder: Path, *arguments: str, code: int = 0) -> str:
    """What the command says, on stdout and stderr; it must end with that exit code."""
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(said), redirect_stderr(said):
        patch.chdir(folder)
        patch.setenv("COLUMNS", "200")
        patch.setattr(sys, "argv", ["featurestore", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
    assert (ended.value.code or 0) == code, said.getvalue()
    return said.getvalue()


def answer(folder: Path, *arguments: str, code: int = 0) -> Any:
    """The command's answer in JSON."""
    return json.loads(run(folder, *arguments, "--json", code=code))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new project, applied and materialized."""
    folder = tmp_path_factory.mktemp("projects")
    assert "featurestore apply" in run(folder, "init", "shop")
    assert "Applied as revision 1." in run(folder / "shop", "apply")
    report = answer(folder / "shop", "materialize")
    assert [(view["view"], view["rows"], view["published"]) for view in report["views"]] == [("last_purchase", 600, 20)]
    return folder / "shop"


def test_a_new_project_answers_history_and_lookups_at_once(shop: Path) -> None:
    rows = answer(shop, "historical", "buyer_v1", "--spine", "data/labels.parquet", "--statuses")
    assert len(rows) == 90
    assert {row["amount__status"] for row in rows} <= {"PRESENT", "OUTSIDE_MAX_AGE"}
    [found] = answer(shop, "online", "buyer_v1", "--entity", "customer=c01")
    assert found["entity"] == {"customer": "c01"}
    assert found["features"]["amount"]["status"] == "PRESENT"
    [[latest]] = [list(row.values()) for row in answer(
        shop, "sql", "SELECT arg_max(amount, event_timestamp) FROM last_purchase WHERE customer = 'c01'"
    )]  # fmt: skip
    assert found["features"]["amount"]["value"] == latest


def test_a_push_is_reported_and_looked_up(tmp_path: Path) -> None:
    with make_project(tmp_path, PURCHASES, purchases=purchases()) as store:
        store.apply()
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"customer": "n", "at": "2024-01-13T00:00:00Z", "amount": 2.5, "items": 7}')
    said = answer(tmp_path, "push", "last", str(rows))
    assert said == {
        "views": [{"view": "last", "version": 1, "rows": 1, "repeated": 0, "dropped": 0, "published": 1,
                   "table_version": 0}],
        "skipped": [],
    }  # fmt: skip
    assert "last v1 0 1 0" in " ".join(run(tmp_path, "push", "purchases", str(rows)).split())
    [found] = answer(tmp_path, "online", "last:items", "--entity", "customer=n", "--at", "2024-01-14")
    assert found["features"]["items"]["value"] == 7
    rows.write_text("{")
    assert "line 1: no JSON" in run(tmp_path, "push", "last", str(rows), code=2)
    assert "Traceback" not in run(tmp_path, "push", "last", str(tmp_path / "none.csv"), code=2)
    assert "There is no view or source 'lst'" in run(tmp_path, "push", "lst", str(rows), code=2)


def test_planning_again_changes_nothing(shop: Path) -> None:
    assert "Nothing to change" in run(shop, "plan")
    assert answer(shop, "plan") == {"base_revision": 1, "changes": []}


def test_a_dataset_is_saved_listed_and_shown(shop: Path) -> None:
    run(shop, "historical", "buyer_v1", "--spine", "data/labels.parquet", "--save", "train")
    [dataset] = answer(shop, "dataset", "list")
    assert (dataset["name"], dataset["version"], dataset["rows"]) == ("train", 1, 90)
    shown = answer(shop, "dataset", "show", "train")
    assert shown["manifest"]["views"]["last_purchase"]["version"] == 1
    assert "amount_per_item" in shown["columns"]


def test_a_dataset_is_rebuilt_split_and_compared(shop: Path, tmp_path: Path) -> None:
    asked = ("historical", "buyer_v1", "--spine", "data/labels.parquet", "--save")
    saved = answer(shop, *asked, "parts", "--split", "random:0.5/0.25/0.25,seed=7")
    assert sum(saved["split"].values()) == 90
    assert "Split entity:customer,0.8/0.1/0.1,seed=0: " in run(shop, *asked, "parts", "--split", "entity:customer")
    assert "parts@2: 90 rows, the same bytes." in run(shop, "dataset", "rebuild", "parts")
    assert answer(shop, "dataset", "rebuild", "parts@1")["identical"] is True
    folder = tmp_path / "out"
    assert answer(shop, "dataset", "split", "parts@1", "--out", str(folder))["rows"] | {"left_out": 0} == saved["split"]
    assert pl.read_parquet(folder / "test.parquet").height == saved["split"]["test"]
    found = answer(shop, "dataset", "diff", "parts@1", "parts@2")
    assert (found["same_bytes"], found["rows"]["common"]) == (True, 90)
    assert {column["differ"] for column in found["columns"]} == {0}
    assert "parts@1 and parts@2 have the same bytes." in run(shop, "dataset", "diff", "parts@1", "parts@2")
    assert "split random:0.5/0.25/0.25,seed=7: " in run(shop, "dataset", "show", "parts@1")


def test_a_dataset_that_cannot_be_rebuilt_is_exit_code_1(shop: Path) -> None:
    run(shop, "historical", "buyer_v1", "--spine", "data/labels.parquet", "--save", "torn")
    spine = shop / answer(shop, "dataset", "show", "torn")["manifest"]["spine"]["path"]
    content = spine.read_bytes()
    spine.unlink()
    said = run(shop, "dataset", "rebuild", "torn", code=1)
    spine.write_bytes(content)
    assert said.splitlines()[0] == "torn@1 cannot be rebuilt:"
    assert "is missing" in said.splitlines()[1]


def test_a_model_is_recorded_and_listed(shop: Path) -> None:
    said = run(shop, "model", "record", "late", "--service", "buyer_v1", "--notes", "by hand")
    assert said.startswith("Recorded model late v1, which learned from service buyer_v1 at revision 1.")
    [model] = answer(shop, "model", "list")
    assert (model["service"], model["views"], model["notes"]) == ("buyer_v1", {"last_purchase": 1}, "by hand")
    assert "last_purchase v1" in run(shop, "model", "list")


def test_results_can_be_written_and_explained(shop: Path, tmp_path: Path) -> None:
    out = tmp_path / "rows.parquet"
    asked = ("historical", "last_purchase:amount", "--spine", "data/labels.parquet")
    assert "90 rows in" in run(shop, *asked, "--out", str(out))
    assert pl.read_parquet(out).columns == ["customer", "event_timestamp", "bought_again", "amount"]
    assert "join last_purchase on customer" in run(shop, *asked, "--explain")


def test_the_steps_of_a_view_are_shown_and_written(shop: Path, tmp_path: Path) -> None:
    asked = ("range", "last_purchase", "--start", "2020-01-01", "-e", "customer=c01")
    steps = answer(shop, *asked)
    assert {step["customer"] for step in steps} == {"c01"}
    assert [step["valid_to"] for step in steps[:-1]] == [step["valid_from"] for step in steps[1:]]
    assert f"{len(steps)} steps in" in run(shop, *asked, "--out", str(tmp_path / "steps.parquet"))
    assert pl.read_parquet(tmp_path / "steps.parquet").height == len(steps)
    assert run(shop, *asked, "--end", "2021-01-01", "--explain").startswith(
        "steps from 2020-01-01T00:00:00Z to 2021-01-01T00:00:00Z\n  latest event"
    )


@pytest.mark.parametrize("name", ["last_purchase", "purchases", "customer", "buyer_v1"])
def test_everything_applied_can_be_described(shop: Path, name: str) -> None:
    assert name in run(shop, "describe", name)
    assert answer(shop, "describe", name)
    assert name in run(shop, "describe")


def test_stats_show_what_the_values_look_like(shop: Path) -> None:
    said = run(shop, "stats", "last_purchase")
    assert "600 rows" in said
    assert "▁" in said
    found = answer(shop, "stats", "last_purchase")
    assert [(one["feature"], one["rows"]) for one in found["features"]] == [
        ("amount", 600),
        ("items", 600),
        ("amount_per_item", 600),
    ]
    assert sum(interval["rows"] for interval in found["intervals"]) == 600
    one = run(shop, "stats", "last_purchase", "--feature", "items")
    assert "99%" in one
    assert "amount_per_item" not in one
    [items] = answer(shop, "stats", "last_purchase", "--feature", "items")["features"]
    assert sum(items["histogram"]["counts"]) == 600


def test_stats_of_what_is_not_there_end_in_a_sentence(shop: Path) -> None:
    assert "has no interval there" in run(shop, "stats", "last_purchase", "--end", "2001-01-01")
    assert "There is no view 'buyer'" in run(shop, "stats", "buyer", code=2)
    assert "There is no feature 'amout'" in run(shop, "stats", "last_purchase", "-f", "amout", code=2)
    assert "is no instant" in run(shop, "stats", "last_purchase", "--start", "noon", code=2)


def test_the_status_says_how_far_each_view_is(shop: Path) -> None:
    [view] = answer(shop, "status")
    assert (view["view"], view["version"], view["rows"], view["online_keys"]) == ("last_purchase", 1, 600, 20)
    assert view["online_in_step"] is True
    assert "in step" in run(shop, "status")


def test_instants_in_a_table_are_not_broken_where_there_is_room(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [(1, "2024-01-02 03:04:05", "many words " * 9, "2024-01-02")]
    for width, broken in ((80, False), (30, True)):
        monkeypatch.setenv("COLUMNS", str(width))
        print_table(("run", "as of", "outcome", "until"), rows)
        assert ("2024-01-02 03:04:05" not in capsys.readouterr().out) is broken


def test_git_ignores_what_a_new_project_makes(shop: Path) -> None:
    """Otherwise each run of a pipeline would say that files differ from the commit."""
    ignored = (shop / ".gitignore").read_text().split()
    chosen = load_configuration(shop, {})
    made = [chosen.offline.path, chosen.audit.path, chosen.predictions.path, chosen.pipelines.path]
    made += [chosen.online.url.partition("://")[2], str(Path(chosen.serving.write_log).parent)]
    assert [path for path in made if f"{path}/" not in ignored] == []


def test_wrong_options_of_serve_are_told_by_their_names(shop: Path) -> None:
    assert "'--port': Input should be less than or equal to 65535" in run(shop, "serve", "--port", "99999", code=2)
    assert "'--workers': Input should be greater than or equal to 1" in run(shop, "serve", "--workers", "0", code=2)


def test_an_online_store_that_was_emptied_is_seen_in_the_status(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEATURESTORE_ONLINE__URL", f"lmdb://{tmp_path}")
    assert "not there: online rebuild fills it" in run(shop, "status")


def test_lookup_may_be_left_out(shop: Path) -> None:
    asked = ("buyer_v1", "--entity", "customer=c01")
    assert answer(shop, "online", *asked) == answer(shop, "online", "lookup", *asked)
    assert answer(shop, "online", "--entity", "customer=c01", "buyer_v1")
    assert "rebuild" in run(shop, "online", "--help")


def test_the_online_store_is_rebuilt_after_it_was_lost(shop: Path) -> None:
    shutil.rmtree(shop / "data" / "online")
    said = run(shop, "online", "buyer_v1", "--entity", "customer=c01", code=2)
    assert "run `featurestore materialize`, or `featurestore online rebuild` when the store was emptied" in said
    [view] = answer(shop, "online", "rebuild")["views"]
    assert (view["view"], view["version"], view["records"], view["error"]) == ("last_purchase", 1, 20, None)
    [found] = answer(shop, "online", "buyer_v1", "--entity", "customer=c01")
    assert found["features"]["amount"]["status"] == "PRESENT"
    assert "20" in run(shop, "online", "rebuild", "last_purchase")


WRONG = [
    (("historical", "buyer", "--spine", "data/labels.parquet"), "There is no service 'buyer'. Available: buyer_v1."),
    (
        ("historical", "last_purchase", "--spine", "data/labels.parquet"),
        "'last_purchase' is a view, not a service; write",
    ),
    (("online", "last_purchase", "--entity", "customer=c01"), "write 'last_purchase:*' for all of its features."),
    (("historical", "buyer_v1", "--spine", "nothing.parquet"), "nothing.parquet does not exist"),
    (("historical", "buyer_v1", "--spine", "data/labels.csv"), "is neither a Parquet file nor a SELECT"),
    (("historical", "buyer_v1", "--spine", "SELECT 1 AS customer"), "event_timestamp"),
    (("historical", "last_purchase:amont", "--spine", "data/labels.parquet"), "no feature 'amont'"),
    (("online", "buyer_v1", "--entity", "customr=c01"), "There is no join key 'customr'. Available: customer."),
    (("online", "buyer_v1", "--entity", "c01"), "'c01' is no value: write join key=value"),
    (("online", "buyer_v1", "--entity", "{"), "is no JSON object"),
    (("online", "buyer_v1", "--entity", '{"customer": 3}'), "Join key 'customer': 3 is no String in JSON form."),
    (("online", "buyer_v1", "--entity", "customer=c01", "--at", "2020-01-01"), "cannot answer at 2020-01-01"),
    (("online", "buyer_v1", "--entity", "customer=c01", "--at", "2030-01-01T05:00"), "has no time zone"),
    (("online", "rebuild", "lost"), "There is no view 'lost'. Available: last_purchase."),
    (("range", "last_purchase", "--start", "2024-02-01", "--end", "2024-01-01"), "The range is empty: its start"),
    (("range", "lost", "--start", "2024-01-01"), "There is no view 'lost'"),
    (("range", "last_purchase", "--start", "soon"), "'soon' is no instant"),
    (("range", "last_purchase", "--start", "2024-01-01", "-e", "who=c01"), "There is no join key 'who'"),
    (("materialize", "--end", "2100-01-01"), "lies in the future"),
    (("materialize", "--end", "yesterday"), "'yesterday' is no instant"),
    (("materialize", "--step", "fast"), "'fast' is no duration"),
    (("materialize", "--view", "lost"), "There is no view 'lost'"),
    (("sql", "DROP TABLE last_purchase"), "SELECT"),
    (("sql", "SELECT * FROM nowhere"), "nowhere"),
    (("describe", "nobody"), "There is no entity, source, view or service 'nobody'"),
    (("dataset", "show", "lost"), "There is no dataset 'lost'"),
    (("dataset", "rebuild", "lost@2"), "There is no dataset 'lost'"),
    (("dataset", "diff", "lost", "lost"), "There is no dataset 'lost'"),
    (("dataset", "split", "train@x", "--out", "."), "names no one version"),
    (("historical", "buyer_v1", "--spine", "data/labels.parquet", "--split", "time:1d,1d"), "give it a name with"),
    (
        ("historical", "buyer_v1", "--spine", "data/labels.parquet", "--save", "x", "--split", "time:1"),
        "'time:1' is no split",
    ),
    (("model", "record", "late"), "say what it learned from"),
    (("model", "record", "late", "--dataset", "lost@2"), "There is no dataset 'lost'"),
    (("quarantine", "show", "abc"), "There is no quarantine entry 'abc'"),
    (("quarantine", "release", "abc", "--reason", "x"), "There is no quarantine entry 'abc'"),
    (("init", "a b"), "is no name"),
    (("init", "."), "'.' is no name"),
    (("init", "data"), "exists already"),
]


@pytest.mark.parametrize(
    ("arguments", "message"), WRONG, ids=[" ".join(case[0][:2]) + f" {i}" for i, case in enumerate(WRONG)]
)
def test_wrong_input_gets_one_sentence_and_exit_code_2(shop: Path, arguments: tuple[str, ...], message: str) -> None:
    said = run(shop, *arguments, code=2)
    assert message in said
    assert len(said.strip().splitlines()) <= 2


def test_errors_are_json_for_machines(shop: Path) -> None:
    found = answer(shop, "describe", "nobody", code=2)
    assert found["error"]["type"] == "UnknownNameError"


def test_a_folder_without_project_says_how_to_begin(tmp_path: Path) -> None:
    assert "featurestore init NAME" in run(tmp_path, "plan", code=2)


def test_all_faults_of_definitions_are_shown_with_their_places(tmp_path: Path) -> None:
    make_project(tmp_path, PURCHASES, purchases=purchases())
    define(tmp_path, PURCHASES.replace("days=10", "days=-10").replace('"items", Int64', '"items", int'))
    said = run(tmp_path, "plan", code=2)
    assert "2 faults" in said
    assert "feature_defs/shop.py:16: Feature 'items': the feature needs a type" in said
    assert "ttl must be positive, got -10 days" in said
    assert len(answer(tmp_path, "plan", code=2)["error"]["faults"]) == 2


CONTRACT = """
class Amounts(pa.DataFrameModel):
    items: int = pa.Field(lt=3)
"""


def test_a_refused_chunk_is_exit_code_1_and_can_be_released(tmp_path: Path) -> None:
    definitions = CONTRACT + PURCHASES.replace("ttl=timedelta(days=10)", "contract=Amounts")
    make_project(tmp_path, definitions, purchases=purchases())
    run(tmp_path, "apply")
    end = ("materialize", "--end", day(12).isoformat(), "--step", "365d")
    said = run(tmp_path, *end, code=1)
    assert "items: less_than(3)" in said
    assert "featurestore quarantine show" in said
    [entry] = answer(tmp_path, "quarantine", "list")
    assert (entry["view"], entry["refused"]) == ("last", 1)
    [*_, reasons] = run(tmp_path, "quarantine", "list").splitlines()
    assert reasons == f"{entry['id']}: items: less_than(3) (1 row, found 3)"
    [row] = answer(tmp_path, "quarantine", "show", entry["id"])
    assert (row["customer"], row["items"]) == ("b", 3)
    assert "Released" in run(tmp_path, "quarantine", "release", entry["id"], "--reason", "a wedding")
    report = answer(tmp_path, *end)
    assert report["views"][0]["rows"] == 3


def test_dropped_rows_are_reported_and_the_others_published(tmp_path: Path) -> None:
    changed = 'contract=Amounts, on_refusal="drop"'
    make_project(tmp_path, CONTRACT + PURCHASES.replace("ttl=timedelta(days=10)", changed), purchases=purchases())
    run(tmp_path, "apply")
    said = run(tmp_path, "materialize", "--end", day(12).isoformat())
    assert "1 of 3 rows dropped" in said
    assert len(answer(tmp_path, "sql", "SELECT * FROM last")) == 2


def test_the_command_itself_ends_without_a_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from featurestore.cli import main; main()", "plan"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("There is no featurestore.toml in ")
