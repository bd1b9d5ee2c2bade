"""The figures beside Feast in the README are those that were measured last."""

from __future__ import annotations

import re

from tests.repository.tree import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
RESULTS = (ROOT / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| ([^|]+) \| ([\d.,]+)[^|]* \| ([\d.,]+)[^|]* \|$", re.MULTILINE)


def test_the_figures_beside_feast_are_those_of_the_results() -> None:
    online, http, loading = (
        _section("Online lookup"),
        _section("Lookup over HTTP"),
        _section("Loading the online store"),
    )
    history, startup = _section("Historical features"), _section("Start-up")
    different = re.search(r"order, (\S+) of them different; feast .* order, (\S+) of them different", history)
    assert different is not None
    assert [(here, theirs) for _, here, theirs in ROW.findall(README)] == [
        (_cell(history, "featurestore", 1), _cell(history, "feast", 1)),
        different.groups(),
        (_cell(online, "lmdb featurestore", 1), _cell(online, "feast", 1)),
        (_cell(online, "lmdb featurestore", 3), _cell(online, "feast", 3)),
        (_cell(http, "featurestore", 1), _cell(http, "feast", 1)),
        (_cell(http, "featurestore", 3), _cell(http, "feast", 3)),
        (_cell(loading, "redis featurestore", 1, "100,000 entities"), _cell(loading, "feast", 1)),
        (_cell(startup, "import", 1), _cell(startup, "feast import", 1)),
    ]


def _section(title: str) -> str:
    return RESULTS.split(f"\n## {title}\n")[1].split("\n## ")[0]


def _cell(section: str, row: str, column: int, after: str = "") -> str:
    """The median in a column, counted from 1, of the first row of that name that comes after something."""
    lines = section.partition(after)[2].splitlines() if after else section.splitlines()
    line = next(line for line in lines if line.startswith(f"| {row} |"))
    return line.split("|")[column + 1].split()[0]
