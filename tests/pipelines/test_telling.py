"""Who is told of a run: a webhook and a command of what its gates said, MLflow of everything. None can break a run."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest

from featurestore.errors import ModelFileError
from pipelines.ledger.records import RunState
from pipelines.mirror import mirror_pipeline
from pipelines.promotion import roll_back
from pipelines.telling import tell
from tests.pipelines.projects import Shop, day, opened
from tests.pipelines.webhooks import Webhook, listening

Configured = Callable[[str], Shop]


@pytest.fixture
def webhook() -> Iterator[str]:
    with listening() as address:
        yield address


@pytest.fixture
def configured(shop: Shop) -> Iterator[Configured]:
    """The project with more in its featurestore.toml."""
    shops: list[Shop] = []

    def configure(settings: str) -> Shop:
        path = shop.root / "featurestore.toml"
        path.write_text(path.read_text(encoding="utf-8") + settings, encoding="utf-8")
        shops.append(Shop(shop.root, *opened(shop.root, day(22, 12))))
        return shops[-1]

    yield configure
    for made in shops:
        made.store.close()


def command(shop: Shop, *words: str) -> subprocess.CompletedProcess[str]:
    """A command on the project, in the working folder."""
    program = Path(sys.executable).with_name("featurestore")
    line = [str(program), "--project", str(shop.root), "pipeline", *words]
    return subprocess.run(line, capture_output=True, text=True, check=False)


def broken(shop: Shop) -> None:
    """Spending turns negative, which the contract forbids."""
    shop.change("spending", lambda rows: rows.with_columns(spent=-pl.col("spent")))
    shop.store.materialize(day(22, 12), start=day(1))


def test_a_gate_that_refuses_calls_the_webhook_and_the_command(configured: Configured, webhook: str) -> None:
    shop = configured(f'\n[alerts]\nwebhook = "{webhook}"\ncommand = "tee told.json"\n')
    broken(shop)
    report = shop.run()
    assert report.run.state is RunState.REFUSED
    (event,) = Webhook.bodies
    assert {name: event[name] for name in ("event", "pipeline", "run", "gate", "verdict")} == {
        "event": "gate",
        "pipeline": "returned",
        "run": report.run.number,
        "gate": "data",
        "verdict": "FAIL",
    }
    assert event["summary"] == report.gates[0].summary
    assert json.loads((shop.root / "told.json").read_text(encoding="utf-8")) == event
    assert [(n.to, n.done, n.text) for n in report.notices] == [
        ("alert", True, "data gate: the webhook was told and 'tee' was run")
    ]


def test_a_result_is_told_once(configured: Configured, webhook: str) -> None:
    shop = configured(f'\n[alerts]\nwebhook = "{webhook}"\n')
    broken(shop)
    tell(shop.rooms, shop.run().run)
    assert len(Webhook.bodies) == 1


def test_gates_that_pass_are_told_to_those_who_ask(configured: Configured, webhook: str) -> None:
    shop = configured(f'\n[alerts]\nwebhook = "{webhook}"\ngates = ["PASS"]\n')
    shop.run()
    assert [(event["gate"], event["verdict"]) for event in Webhook.bodies] == [
        ("data", "PASS"),
        ("model", "PASS"),
        ("serving", "PASS"),
    ]


def test_a_webhook_that_fails_breaks_no_run(configured: Configured, webhook: str) -> None:
    shop = configured(f'\n[alerts]\nwebhook = "{webhook}"\ngates = ["PASS"]\n')
    Webhook.status = 500
    report = shop.run()
    assert report.run.outcome == "returned@2 is the champion in the place of v1."
    assert [notice.done for notice in report.notices] == [False, False, False]
    assert "500" in report.notices[0].text


def tags(client: object, experiment: str) -> dict[str, dict[str, str]]:
    """The runs that MLflow has, by their number in the ledger."""
    from mlflow import MlflowClient

    assert isinstance(client, MlflowClient)
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    return {run.data.tags["featurestore.run"]: run.data.tags for run in client.search_runs([found.experiment_id])}


def page_there(client: object, run_id: str | None, shop: Shop) -> str:
    """The page of a run as MLflow has it."""
    from mlflow import MlflowClient

    assert isinstance(client, MlflowClient)
    assert run_id is not None
    return Path(client.download_artifacts(run_id, "report.html", str(shop.root))).read_text(encoding="utf-8")


@pytest.fixture
def tracking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """MLflow's own store; it writes artifacts to the working folder."""
    monkeypatch.chdir(tmp_path)
    return f"sqlite:///{tmp_path}/mlflow.db"


def test_runs_and_versions_are_mirrored_to_mlflow(configured: Configured, tracking: str) -> None:
    from mlflow import MlflowClient

    shop = configured(f'\n[mlflow]\ntracking_uri = "{tracking}"\n')
    report = shop.run()
    assert [(n.to, n.text) for n in report.notices] == [
        ("mlflow", "MLflow is up to date; new there: runs 2, model versions 2")
    ]
    client, name = MlflowClient(tracking), f"{shop.store.configuration.project}.returned"
    there = tags(client, name)
    assert sorted(there) == ["1", "2"]
    assert there["2"]["featurestore.gate.model"] == "PASS"
    experiment = client.get_experiment_by_name(name)
    assert experiment is not None
    newest = client.search_runs([experiment.experiment_id], "tags.`featurestore.run` = '2'")[0]
    assert report.evaluated is not None
    assert newest.data.metrics["test.roc_auc"] == report.evaluated.metrics["test"]["roc_auc"]
    assert newest.data.params["estimator"] == "Pipeline"
    assert newest.info.status == "FINISHED"
    assert newest.info.end_time * 1_000 <= (report.run.ended_at_us or 0) < newest.info.end_time * 1_000 + 1_000
    assert report.model is not None
    kept = Path(client.download_artifacts(newest.info.run_id, "train/model.skops", str(shop.root)))
    assert kept.read_bytes() == (shop.root / str(report.model.document["path"])).read_bytes()
    assert page_there(client, newest.info.run_id, shop) == report.page.read_text(encoding="utf-8")
    champion = client.get_model_version_by_alias(name, "champion")
    assert champion.tags["featurestore.version"] == "2"
    assert champion.tags["featurestore.sha256"] == report.model.digest
    assert champion.run_id == newest.info.run_id


def test_mirroring_again_adds_nothing(configured: Configured, tracking: str) -> None:
    shop = configured(f'\n[mlflow]\ntracking_uri = "{tracking}"\n')
    shop.run()
    again = mirror_pipeline(shop.rooms, "returned")
    assert (again.runs, again.versions) == (0, 0)


def test_a_rollback_moves_the_alias_and_the_states_there_too(configured: Configured, tracking: str) -> None:
    from mlflow import MlflowClient

    shop = configured(f'\n[mlflow]\ntracking_uri = "{tracking}"\n')
    report = shop.run()
    assert report.model is not None
    roll_back(shop.rooms, "returned", None, "the new one is odd")
    client, name = MlflowClient(tracking), f"{shop.store.configuration.project}.returned"
    assert client.get_model_version_by_alias(name, "champion").tags["featurestore.version"] == "1"
    states = {v.tags["featurestore.version"]: v.tags["featurestore.state"] for v in client.search_model_versions()}
    assert states == {str(version): state for version, state in shop.states().items()}
    (shop.root / str(report.model.document["path"])).write_bytes(b"other")
    with pytest.raises(ModelFileError):  # a file that was tampered with, which its version is put away for
        shop.rooms.models.rollback("returned", 2, reason="it was better")
    states = {v.tags["featurestore.version"]: v.tags["featurestore.state"] for v in client.search_model_versions()}
    assert states == {"1": "CHAMPION", "2": "QUARANTINED"}
    for version in client.search_model_versions():
        number = version.tags["featurestore.version"]  # which is that of its run too
        page = (shop.root / f"data/pipelines/runs/{number}.html").read_text(encoding="utf-8")
        assert page_there(client, version.run_id, shop) == page
        assert "the new one is odd" in page


def test_a_run_that_mlflow_has_in_part_is_completed(configured: Configured, tracking: str) -> None:
    from mlflow import MlflowClient

    shop = configured(f'\n[mlflow]\ntracking_uri = "{tracking}"\n')
    client, name = MlflowClient(tracking), f"{shop.store.configuration.project}.returned"
    client.create_run(client.create_experiment(name), tags={"featurestore.run": "1"})
    assert mirror_pipeline(shop.rooms, "returned").runs == 1
    assert tags(client, name)["1"]["featurestore.whole"] == "true"
    experiment = client.get_experiment_by_name(name)
    assert experiment is not None
    assert len(client.search_runs([experiment.experiment_id])) == 1


def test_an_mlflow_that_is_away_breaks_no_run_and_is_caught_up(configured: Configured, tracking: str) -> None:
    shop = configured('\n[mlflow]\ntracking_uri = "http://127.0.0.1:9"\n')
    report = shop.run()
    assert report.run.outcome == "returned@2 is the champion in the place of v1."
    (notice,) = report.notices
    assert not notice.done
    assert notice.text.startswith("MLflow was not brought up to date: ")
    path = shop.root / "featurestore.toml"
    path.write_text(path.read_text(encoding="utf-8").replace("http://127.0.0.1:9", tracking), encoding="utf-8")
    ended = command(shop, "mirror", "--json")
    assert (ended.stderr, json.loads(ended.stdout)) == ("", {"returned": {"runs": 2, "versions": 2}})


def test_mirroring_without_an_address_says_what_to_add(shop: Shop) -> None:
    ended = command(shop, "mirror")
    assert ended.returncode == 2
    assert "has no tracking_uri; add it, such as" in " ".join(ended.stderr.split())
