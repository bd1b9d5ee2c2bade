"""What README.md and docs/ show is true: every block runs, every link leads somewhere."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.repository.pages import PageRun, blocks
from tests.repository.tree import ROOT, committed_files, shown

PAGES = tuple(path for path in committed_files() if path.suffix == ".md" and path.parts[-2] != ".github")
README = ROOT / "README.md"
_LINK = re.compile(r"\[[^\]]*\]\((?!https?://|#)([^)#\s]+)")


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project as `featurestore init` makes it."""
    folder = tmp_path_factory.mktemp("docs")
    command = Path(sys.executable).with_name("featurestore")
    subprocess.run([command, "init", "shop"], cwd=folder, check=True, capture_output=True)
    return folder / "shop"


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_every_block_of_a_page_runs(page: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """README begins in an empty folder; every other page inside a new project named shop."""
    state = PageRun(tmp_path)
    parts = blocks(page)
    if page != README and any(block.language in ("python", "console") for block in parts):
        state.folder = shutil.copytree(request.getfixturevalue("project"), tmp_path / "shop")
    try:
        for block in parts:
            state.run(block)
    finally:
        state.close()


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_every_relative_link_of_a_page_leads_to_a_committed_file(page: Path) -> None:
    targets = [(page.parent / link).resolve() for link in _LINK.findall(page.read_text(encoding="utf-8"))]
    committed = set(committed_files())
    assert [target for target in targets if target not in committed] == []
