"""What `import featurestore` offers changes on purpose only: the list beside this file is the promise.

The linter keeps `__all__` sorted (RUF022).
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import featurestore
from tests.repository.tree import ROOT, committed_python, shown

_PROMISED = Path(__file__).with_name("public_surface.txt")


def _declared_version() -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["version"])


def test_the_public_names_are_the_promised_ones_in_order() -> None:
    assert featurestore.__all__ == _PROMISED.read_text(encoding="utf-8").split()


def test_every_public_name_is_there() -> None:
    missing = [name for name in featurestore.__all__ if not hasattr(featurestore, name)]
    assert missing == []


def test_the_changelog_tells_of_this_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{_declared_version()}]" in changelog


def test_the_version_stands_in_the_project_file_alone() -> None:
    assert featurestore.__version__ == _declared_version()
    holders = [shown(path) for path in committed_python() if f'"{_declared_version()}"' in path.read_text("utf-8")]
    assert holders == []
