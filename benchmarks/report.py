"""Sections of RESULTS.md: each is written anew by the run that measured it, the others stay."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks.contest import REPOSITORY, Standing

RESULTS = REPOSITORY / "benchmarks" / "RESULTS.md"
_HEADING = """# Results

Each section is written by the command it names. Contestants take turns, each round in a new process; numbers are
medians.
"""
_VERSIONS = ("duckdb", "polars", "pyarrow", "deltalake", "lmdb", "msgspec")


@dataclass(frozen=True, slots=True)
class Number:
    """A column of a table: the reported number, how it is headed and formatted, and whether its range is shown."""

    name: str
    heading: str
    format: str = ".2f"
    ranged: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be reached: `value` at most `limit`, or at least."""

    text: str
    value: float
    limit: float
    at_most: bool = True

    def line(self) -> str:
        """The target as a line, with what was found."""
        met = self.value <= self.limit if self.at_most else self.value >= self.limit
        return f"- {self.text}: {self.value:.2f} ({'reached' if met else 'MISSED'})"


@dataclass(frozen=True, slots=True)
class Section:
    """One section of the results."""

    title: str
    command: str
    paragraphs: tuple[str, ...]
    load: float  # of the machine before the first contestant ran: above 0.5, others were at work
    targets: tuple[Target, ...] = ()

    def text(self) -> str:
        """The section in Markdown."""
        reached = "\n".join(target.line() for target in self.targets)
        heading = f"`{self.command}`, {_today()}, load average {self.load:.1f} before. {_machine()}"
        parts = [f"## {self.title}", heading, *self.paragraphs, reached]
        return "\n\n".join(part for part in parts if part) + "\n"


def table(standings: Sequence[Standing], numbers: Sequence[Number], base: str) -> str:
    """A Markdown table, one line per contestant; the last column relates the first number to that of `base`."""
    first = numbers[0].name
    of_base = next(standing for standing in standings if standing.contestant.name == base).median(first)
    lines = [
        "| | " + " | ".join(number.heading for number in numbers) + f" | x {base} | |",
        "|---|" + "---:|" * (len(numbers) + 1) + "---|",
    ]
    for standing in standings:
        cells = [_cell(standing, number) for number in numbers]
        cells.append(f"{standing.median(first) / of_base:.2f}")
        lines.append(f"| {standing.contestant.name} | {' | '.join(cells)} | {standing.contestant.what} |")
    return "\n".join(lines)


def write(section: Section, path: Path = RESULTS) -> None:
    """Put the section in the place of the one with its title, or at the end."""
    old = path.read_text(encoding="utf-8") if path.exists() else _HEADING
    pattern = re.compile(rf"^## {re.escape(section.title)}\n.*?(?=^## |\Z)", re.DOTALL | re.MULTILINE)
    new = section.text()
    text, found = pattern.subn(lambda _: new + "\n", old)
    if not found:
        text = f"{old.rstrip()}\n\n{new}"
    path.write_text(text.rstrip() + "\n", encoding="utf-8")


def _cell(standing: Standing, number: Number) -> str:
    median = format(standing.median(number.name), number.format)
    if not number.ranged:
        return median
    least, greatest = standing.span(number.name)
    return f"{median} ({least:{number.format}}-{greatest:{number.format}})"


def _today() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d")


def _machine() -> str:
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        cpu = names[0] if names else cpu
    memory_gb = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    packages = ", ".join(f"{name} {version(name)}" for name in _VERSIONS)
    return (
        f"{os.cpu_count()} cores ({cpu}), {memory_gb:.0f} GB, {platform.system()}, "
        f"Python {platform.python_version()}, {packages}."
    )
