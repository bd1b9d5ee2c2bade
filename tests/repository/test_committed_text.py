"""What is committed works elsewhere: it names no registry and no place on one machine."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.repository.tree import committed_files, shown

# Written so that no pattern matches its own text.
_REGISTRY = re.compile(
    r"index[-_]url|find[-_]links|/simpl[e]/|pypi\.or[g]|pythonhosted\.or[g]|artifactor[y]", re.IGNORECASE
)
_MACHINE_PATH = re.compile(r"(?<![\w.])/(?:home|root|work|tmp|opt|mnt|Users)/|[A-Z]:\\Users\\")


def _hits(pattern: re.Pattern[str]) -> Iterator[str]:
    for path in committed_files():
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue
        yield from (f"{shown(path)}:{number}: {line}" for number, line in enumerate(lines, 1) if pattern.search(line))


def test_no_committed_file_names_a_package_registry() -> None:
    assert list(_hits(_REGISTRY)) == []


def test_no_committed_file_names_a_place_on_one_machine() -> None:
    assert list(_hits(_MACHINE_PATH)) == []


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (_REGISTRY, "--extra-index" + "-url https://registry.example"),
        (_REGISTRY, "https://registry.example/sim" + "ple/polars"),
        (_REGISTRY, "PIP_FIND" + "_LINKS=wheels"),
        (_MACHINE_PATH, "path = '/ho" + "me/ada/project'"),
        (_MACHINE_PATH, "C:\\Us" + "ers\\ada"),
    ],
)
def test_the_patterns_recognize_what_they_are_for(pattern: re.Pattern[str], text: str) -> None:
    assert pattern.search(text)


@pytest.mark.parametrize("text", ["docs/tmp/page.md", "../work/notes", "https://host.example/home/"])
def test_a_relative_path_is_no_place_on_one_machine(text: str) -> None:
    assert not _MACHINE_PATH.search(text)
