"""`featurestore describe --lineage`, as people and machines run it."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.cli.test_commands import answer, run
from tests.store.projects import PURCHASES, make_project, purchases


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project, applied, with a model of its service."""
    folder = tmp_path_factory.mktemp("lineage")
    with make_project(folder, PURCHASES, purchases=purchases()) as store:
        store.apply()
        store.record_model("again", service="buyer")
    return folder


def test_a_column_is_shown_both_ways(shop: Path) -> None:
    assert run(shop, "describe", "--lineage", "purchases.amount").splitlines() == [
        "source purchases.amount",
        "├── from nothing",
        "└── into",
        "    └── feature view last:amount",
        "        ├── on-demand view ratio:relative",
        "        │   └── service buyer:relative",
        "        │       └── model again@1",
        "        └── service buyer:amount",
        "            └── model again@1",
    ]


def test_an_object_is_shown_column_by_column(shop: Path) -> None:
    said = run(shop, "describe", "last", "--lineage")
    assert "│   └── source purchases: customer, at, amount, items\n" in said
    rows = [line.split("  ") for line in said.splitlines()]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert ["amount", "purchases.amount", "ratio:relative, buyer:amount"] in cells
    assert ["event_timestamp", "purchases.at (time)"] in cells


def test_without_a_name_the_whole_project_is_shown(shop: Path) -> None:
    lines = run(shop, "describe", "--lineage").splitlines()
    assert [line for line in lines if not line.startswith((" ", "├", "└", "│"))] == [
        "request request",
        "source purchases",
    ]


def test_a_model_leads_back_to_the_columns_of_sources(shop: Path) -> None:
    found = answer(shop, "describe", "--lineage", "again")
    assert found["of"] == ["model again@1"]
    assert {"source purchases.amount", "view last:items", "service buyer:relative"} <= set(found["upstream"])
    assert found["downstream"] == []
    assert {"from": "source purchases.amount", "to": "view last:amount", "use": "value"} in found["edges"]
    assert {"id": "view last:amount", "kind": "view", "name": "last", "column": "amount"} in found["nodes"]
    assert found["notes"] == []


def test_the_whole_project_in_json(shop: Path) -> None:
    whole = answer(shop, "describe", "--lineage")
    assert set(whole) == {"nodes", "edges", "notes"}
    known = {node["id"] for node in whole["nodes"]}
    assert {end for edge in whole["edges"] for end in (edge["from"], edge["to"])} <= known


def test_mermaid_text_is_printed(shop: Path) -> None:
    said = run(shop, "describe", "last:amount", "--mermaid")
    assert said.startswith("flowchart LR\n  subgraph ")
    assert said == run(shop, "describe", "last:amount", "--lineage", "--mermaid")


def test_a_drawing_is_written(shop: Path, tmp_path: Path) -> None:
    file = tmp_path / "lineage.svg"
    assert run(shop, "describe", "--svg", str(file)) == f"The drawing is in {file}.\n"
    assert ET.parse(file).getroot().tag.endswith("svg")
    assert answer(shop, "describe", "last", "--svg", str(file))["svg"] == str(file)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--lineage", "purchases.amout"),
            "There is no column or object 'purchases.amout'. Available: purchases.amount",
        ),
        (("--lineage", "lst"), "There is no column or object 'lst'. Available: last, "),
        (("--svg", "nowhere/x.svg"), "nowhere/x.svg cannot be written: No such file or directory."),
    ],
)
def test_wrong_input_ends_in_a_sentence(shop: Path, arguments: tuple[str, ...], message: str) -> None:
    said = run(shop, "describe", *arguments, code=2)
    assert said.startswith(message)
    assert len(said.strip().splitlines()) == 1


def test_what_cannot_be_read_is_noted(tmp_path: Path) -> None:
    with make_project(tmp_path, PURCHASES, purchases=purchases()) as store:
        store.apply()
    (tmp_path / "data" / "purchases.parquet").unlink()
    said = run(tmp_path, "describe", "--lineage", "last:amount")
    assert "source purchases.amount" in said
    assert "Note: Source 'purchases': " in said


def test_before_the_first_apply_nothing_is_shown(tmp_path: Path) -> None:
    make_project(tmp_path, PURCHASES, purchases=purchases()).close()
    assert "Nothing is applied" in run(tmp_path, "describe", "--lineage")
