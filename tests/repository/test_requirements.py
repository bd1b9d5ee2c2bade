"""The lock: everything pinned, everything hashed, and nothing that the project asks for left out."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.repository.tree import ROOT

BUILD = ROOT / "requirements" / "build.txt"
DEV = ROOT / "requirements" / "dev.txt"
FEAST = ROOT / "requirements" / "feast.txt"
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def _entries(lock: Path) -> list[str]:
    """One line per locked requirement, its hashes joined to it."""
    text = re.sub(r"\s*\\\n\s*", " ", lock.read_text(encoding="utf-8"))
    return [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def _locked(lock: Path) -> list[Requirement]:
    return [Requirement(entry.split(" --hash")[0]) for entry in _entries(lock)]


@pytest.mark.parametrize("lock", [BUILD, DEV, FEAST], ids=["build", "dev", "feast"])
def test_every_locked_requirement_is_one_version_with_hashes(lock: Path) -> None:
    entries = _entries(lock)
    assert entries
    for entry in entries:
        pin, *hashes = entry.split(" --hash")
        requirement = Requirement(pin)
        assert [specifier.operator for specifier in requirement.specifier] == ["=="], entry
        assert requirement.url is None, entry
        assert hashes, entry
        assert all(_HASH.fullmatch(f"--hash{rest}") for rest in hashes), entry


def test_what_the_project_asks_for_is_in_the_lock_in_a_version_it_accepts() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    asked = [Requirement(text) for text in [*project["dependencies"], *extras["demo"], *extras["dev"]]]
    locked: dict[str, list[str]] = {}
    for pin in _locked(DEV):
        versions = [specifier.version for specifier in pin.specifier]
        locked.setdefault(canonicalize_name(pin.name), []).extend(versions)
    for requirement in asked:
        versions = locked.get(canonicalize_name(requirement.name), [])
        assert versions, f"{requirement} is not locked: run make lock"
        assert all(requirement.specifier.contains(version) for version in versions), requirement


def test_the_build_lock_holds_what_the_build_system_requires() -> None:
    build_system = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]
    assert (ROOT / "requirements" / "build.in").read_text(encoding="utf-8").split() == build_system["requires"]
    for required, pin in zip(map(Requirement, build_system["requires"]), _locked(BUILD), strict=True):
        assert required.name == pin.name
        assert all(required.specifier.contains(specifier.version) for specifier in pin.specifier)
