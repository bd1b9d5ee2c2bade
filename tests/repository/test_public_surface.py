"""What `import featurestore` offers changes on purpose only: the list beside this file is the promise.

The linter keeps `__all__` sorted (RUF022).
"""

from __future__ import annotations

from pathlib import Path

import featurestore
from tests.repository.tree import ROOT

_PROMISED = Path(__file__).with_name("public_surface.txt")


def test_the_public_names_are_the_promised_ones_in_order() -> None:
    assert featurestore.__all__ == _PROMISED.read_text(encoding="utf-8").split()


def test_every_public_name_is_there() -> None:
    missing = [name for name in featurestore.__all__ if not hasattr(featurestore, name)]
    assert missing == []


def test_the_changelog_tells_of_this_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{featurestore.__version__}]" in changelog
