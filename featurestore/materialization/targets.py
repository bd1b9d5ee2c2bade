"""Which tables a push reaches: those of a view's versions in use, or of all views that read a source directly."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from featurestore.errors import InputError, UnknownNameError
from featurestore.materialization.rounds import chosen_versions
from featurestore.offline.pushed import Address
from featurestore.plan.catalog import SourceRecord, SqlPlace, ViewPlace, ViewRecord, parse_reference
from featurestore.plan.views import table_name
from featurestore.registry.base import ViewVersion
from featurestore.registry.usage import UsedVersion


@dataclass(frozen=True, slots=True)
class Target:
    """One table, and the versions of its view that are published from it; the first one judges the rows."""

    table: str
    versions: tuple[ViewVersion, ...]

    @property
    def record(self) -> ViewRecord:
        """The view as its first version has it."""
        return self.versions[0].record


@dataclass(frozen=True, slots=True)
class Targets:
    """What a push reaches, in the order of tables; `skipped` names views that it does not reach, each with the reason.

    `source` is the record whose columns the rows have, `address` what the push log says of where they went.
    """

    source: SourceRecord
    address: Address
    tables: tuple[Target, ...]
    skipped: tuple[tuple[str, str], ...]

    def beyond(self, reached: Targets) -> Targets:
        """Those tables that others did not reach."""
        known = {target.table for target in reached.tables}
        return replace(self, tables=tuple(target for target in self.tables if target.table not in known))


def push_targets(name: str, used: Sequence[UsedVersion], known: Iterable[ViewVersion]) -> Targets:
    """What a push to a view (`last`, `last@2`) or a source reaches; where both have the name, the view.

    Raises UnknownNameError, and InputError for a source that no view reads directly, and for rows that cannot be
    pushed: of a timeless source, and of windows whose events have no id.
    """
    fresh = [version.version for version in used if version.fresh]
    views, sources = {v.view for v in fresh}, {s.name: s for v in fresh for s in _sources(v.record.source)}
    if parse_reference(name)[0] in views:
        chosen = chosen_versions([name], used, known)
        skipped = {
            v.view: f"it reads the steps of '{name}', not what was pushed" for v in fresh if _reads_view(v, name)
        }
    elif name in sources:
        chosen = tuple(v for v in fresh if v.record.source.name == name)
        direct = {v.view for v in chosen}
        readers = (v for v in fresh if v.view not in direct and any(s.name == name for s in _sources(v.record.source)))
        skipped = {v.view: f"it reads '{v.record.source.name}', which is computed from '{name}'" for v in readers}
        if not chosen:
            raise InputError(
                f"No view reads source '{name}' directly, so there is no view to push to: {', '.join(skipped)} read "
                f"what is computed from it. Push to one of those, in the columns of its own source."
            )
    else:
        raise UnknownNameError("view or source", name, (*views, *sources))
    grouped: dict[str, list[ViewVersion]] = {}
    for version in chosen:
        _refuse_unfit(version.record)
        grouped.setdefault(table_name(version.record), []).append(version)
    tables = tuple(Target(table, tuple(grouped[table])) for table in sorted(grouped))
    source = chosen[0].record.source
    return Targets(
        source, _address(name, name in sources and name not in views, tables), tables, tuple(skipped.items())
    )


def _address(name: str, is_source: bool, tables: tuple[Target, ...]) -> Address:
    view, version = parse_reference(name)
    if is_source:
        return Address("source", name, views=tuple(dict.fromkeys(target.record.name for target in tables)))
    if version is not None:
        return Address("version", name, tables=tuple(target.table for target in tables))
    return Address("view", view)


def _refuse_unfit(view: ViewRecord) -> None:
    source = view.source
    if source.timeless:
        raise InputError(
            f"View '{view.name}' is timeless, and each materialization replaces the whole of it, so nothing can be "
            f"pushed to it; write the rows to source '{source.name}'."
        )
    if view.aggregations and source.event_id is None:
        raise InputError(
            f"View '{view.name}' counts events, and source '{source.name}' names no event_id, so a row that is pushed "
            "again would count twice; declare event_id on the source."
        )


def _sources(source: SourceRecord) -> Iterable[SourceRecord]:
    """A source and all that it is computed from."""
    yield source
    match source.place:
        case SqlPlace(inputs=inputs):
            for part in inputs:
                yield from _sources(part)
        case ViewPlace(view=view):
            yield from _sources(view.source)


def _reads_view(version: ViewVersion, view: str) -> bool:
    return any(isinstance(s.place, ViewPlace) and s.place.view.name == view for s in _sources(version.record.source))
