"""What starting costs: heavy packages load when they are used, not before."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import featurestore
from tests.repository.tree import ROOT

HEAVY = {
    "deltalake", "duckdb", "fastapi", "lmdb", "llvmlite", "numba", "numpy", "pandas", "pandera", "polars", "pyarrow",
    "scipy", "sklearn", "sqlalchemy",
}  # fmt: skip
_REPORT = "import json, sys\nprint(json.dumps(sorted(sys.modules)))"


def _packages_loaded_by(*modules: str, then: str = "", folder: Path = ROOT) -> set[str]:
    imports = "; ".join(f"import {module}" for module in modules)
    code = f"{imports}\n{then}{_REPORT}"
    run = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in json.loads(run.stdout)}


def _modules_below(package: str) -> list[str]:
    folder = str(ROOT.joinpath(*package.split(".")))
    return [package, *(module.name for module in pkgutil.walk_packages([folder], f"{package}."))]


def test_import_featurestore_loads_no_heavy_package() -> None:
    assert _packages_loaded_by("featurestore") & HEAVY == set()


@pytest.mark.parametrize("room", ["errors", "dtypes", "timeline", "definitions", "plan"])
def test_the_lower_floors_load_no_heavy_package(room: str) -> None:
    assert _packages_loaded_by(*_modules_below(f"featurestore.{room}")) & HEAVY == set()


def test_a_heavy_package_would_be_noticed() -> None:
    assert "polars" in _packages_loaded_by("featurestore", "polars") & HEAVY


def test_retrieving_history_loads_no_package_that_it_does_not_use(tmp_path: Path) -> None:
    for command in (["init", "shop"], ["-C", "shop", "apply"], ["-C", "shop", "materialize"]):
        subprocess.run(
            [Path(sys.executable).with_name("featurestore"), *command], cwd=tmp_path, check=True, capture_output=True
        )
    code = (
        "from featurestore import FeatureStore\n"
        "with FeatureStore('shop') as store:\n"
        "    store.get_historical_features('shop/data/labels.parquet', 'buyer_v1').to_parquet('answer.parquet')\n"
    )
    loaded = _packages_loaded_by("featurestore", then=code, folder=tmp_path)
    assert (tmp_path / "answer.parquet").exists()
    assert loaded & (HEAVY | {"sqlglot"}) == {"deltalake", "duckdb", "numpy", "polars", "pyarrow", "sqlalchemy"}


def test_every_room_stands_on_a_floor() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    (layers,) = (contract["layers"] for contract in settings["contracts"] if contract["id"] == "floors")
    placed = {room.strip(" ()") for layer in layers for room in layer.replace(":", "|").split("|")}
    rooms = {f"featurestore.{module.name}" for module in pkgutil.iter_modules(featurestore.__path__)}
    assert rooms | {"pipelines", "serving"} == placed
