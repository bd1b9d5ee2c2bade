"""A round of materialization: every version in use, one after the other, then the switch of those that are built."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from featurestore.errors import FeatureStoreError, InputError, UnknownNameError
from featurestore.materialization.report import MaterializationReport, Progress, Step, ViewReport
from featurestore.materialization.runner import Materializer
from featurestore.materialization.switching import Switcher
from featurestore.plan.catalog import parse_reference, reference
from featurestore.plan.intervals import Asked
from featurestore.registry.base import Move, ViewVersion
from featurestore.registry.usage import UsedVersion


def chosen_versions(
    asked: Sequence[str] | None, used: Sequence[UsedVersion], known: Iterable[ViewVersion]
) -> tuple[ViewVersion, ...]:
    """The versions that a round keeps fresh: all in use, or those of the views asked for; `last@2` asks for one alone.

    Of versions that read the same rows the first. Raises UnknownNameError, and InputError when nothing is applied.
    """
    if not used:
        raise InputError("No view is applied, so there is nothing to materialize; run `featurestore apply` first.")
    fresh = [version for version in used if version.fresh]
    if asked is None:
        return _distinct(fresh)
    every = {reference(version.view, version.version): version for version in known}
    chosen: dict[str, ViewVersion] = {}
    for name in [asked] if isinstance(asked, str) else asked:
        view, number = parse_reference(name)
        of_view = [version for version in fresh if version.version.view == view]
        if not of_view:
            raise UnknownNameError("view", name, dict.fromkeys(version.version.view for version in fresh))
        if number is None:
            chosen |= {reference(v.view, v.version): v for v in _distinct(of_view)}
        elif name in every:
            chosen[name] = every[name]
        else:
            raise UnknownNameError("version of view", name, (n for n in every if parse_reference(n)[0] == view))
    return tuple(chosen.values())


def materialize_versions(
    versions: Sequence[ViewVersion], materializer: Materializer, switcher: Switcher, asked: Asked, progress: Progress
) -> MaterializationReport:
    """Run the versions in order, then let serve what is built; what stops one leaves the others running."""
    several = {v.view for v in versions if sum(v.view == other.view for other in versions) > 1}
    reports: list[ViewReport] = []
    for version in versions:
        name = reference(version.view, version.version) if version.view in several else version.view

        def shown(step: Step, name: str = name) -> None:
            progress(replace(step, view=name))

        report = materializer.run(version.record, version.version, asked, shown)
        reports.append(replace(report, view=name, version=version.version))
    try:
        moves, failure = switcher.settle(), None
    except FeatureStoreError as error:
        moves, failure = (), error
    return MaterializationReport(tuple(_superseded(report, moves) for report in reports), moves, failure)


def _distinct(used: Iterable[UsedVersion]) -> tuple[ViewVersion, ...]:
    first: dict[tuple[str, str], ViewVersion] = {}
    for version in used:
        first.setdefault((version.table, version.namespace), version.version)
    return tuple(first.values())


def _superseded(report: ViewReport, moves: Sequence[Move]) -> ViewReport:
    """A version that could not be kept fresh is no failure once another has taken its place."""
    view = parse_reference(report.view)[0]
    successor = [
        move.to_version for move in moves if (move.kind, move.name, move.from_version) == ("view", view, report.version)
    ]
    if report.error is None or not successor:
        return report
    note = f"v{report.version} was not kept fresh, and v{successor[0]} serves in its place: {report.error}"
    return replace(report, error=None, notes=(*report.notes, note))
