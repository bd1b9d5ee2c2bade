"""`pip install .` brings three packages, their data files and one command."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from tests.repository.tree import PACKAGES, ROOT, committed_files


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that a wheel of the committed files was installed into."""
    source = tmp_path_factory.mktemp("source")
    for file in committed_files():
        copy = source / file.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
    target = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--no-index", "--target", str(target), str(source)], check=True)
    return target


def test_the_three_packages_arrive_with_every_committed_file(installed: Path) -> None:
    relative = (file.relative_to(ROOT) for file in committed_files())
    expected = {path.as_posix() for path in relative if path.parts[0] in PACKAGES}
    files = (file for package in PACKAGES for file in (installed / package).rglob("*") if file.is_file())
    assert {f.relative_to(installed).as_posix() for f in files if f.parent.name != "__pycache__"} == expected


def test_nothing_else_is_importable_from_the_wheel(installed: Path) -> None:
    modules = {child.name for child in installed.iterdir() if child.name not in ("bin", "__pycache__")}
    assert {name for name in modules if not name.endswith(".dist-info")} == set(PACKAGES)


def test_the_wheel_bears_the_declared_version_and_licence(installed: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (distribution,) = metadata.distributions(path=[str(installed)])
    assert distribution.version == project["version"]
    assert distribution.metadata["License-Expression"] == "Apache-2.0"


def test_the_installed_command_runs_without_the_repository(installed: Path, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(installed)}
    run = subprocess.run(
        [sys.executable, str(installed / "bin" / "featurestore"), "--help"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert "materialize" in run.stdout
