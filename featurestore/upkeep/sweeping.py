"""Sweeping: what would go, what stays and by which pin; then the same for real.

A sweeper looks, and takes away what it found. They run one after the other, so that a later one sees what an earlier
one left.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Action = Literal["drop", "remove", "join", "compact"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that goes, or that stays only because something pins it (`kept`); `why` says which.

    `size_bytes` is what it takes; None where that is not known. `key` tells the sweeper what is meant.
    """

    action: Action
    kind: str
    where: str
    why: str
    size_bytes: int | None = None
    kept: bool = False
    key: tuple[str, ...] = ()


class Sweeper(Protocol):
    """One kind of thing that may be swept."""

    def look(self) -> Iterator[Finding]:
        """What would go, and what is kept by a pin alone; changes nothing."""
        ...

    def sweep(self, finding: Finding, /) -> None:
        """Take away what was found, or leave it when it is needed by now."""
        ...


@dataclass(frozen=True, slots=True)
class MaintenanceReport:
    """What was swept, or would be, and what is kept by which pin."""

    dry_run: bool
    findings: tuple[Finding, ...]

    @property
    def swept(self) -> tuple[Finding, ...]:
        """What goes."""
        return tuple(finding for finding in self.findings if not finding.kept)

    @property
    def kept(self) -> tuple[Finding, ...]:
        """What stays although it is old or unused."""
        return tuple(finding for finding in self.findings if finding.kept)


def maintain(sweepers: Sequence[Sweeper], *, dry_run: bool) -> MaintenanceReport:
    """Let every sweeper look, and unless it is a dry run sweep."""
    findings: list[Finding] = []
    for sweeper in sweepers:
        found = tuple(sweeper.look())
        findings += found
        if not dry_run:
            for finding in found:
                if not finding.kept:
                    sweeper.sweep(finding)
    return MaintenanceReport(dry_run, tuple(findings))
