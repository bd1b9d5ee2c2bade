"""From declarations to a catalog: everything by name, checked across files, and turned into records."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from featurestore.definitions import Declaration, FeatureService, FeatureView, RequestSource
from featurestore.definitions.references import kind_of, references, with_references
from featurestore.engines.base import OfflineEngine
from featurestore.errors import DefinitionError, Fault, FeatureStoreError, InputError, UnknownNameError
from featurestore.plan.catalog import Catalog, Object, ViewRecord, reference
from featurestore.plan.fitting import misfit
from featurestore.project.events import with_event_columns
from featurestore.project.records import record_of

Pinned = Callable[[ViewRecord, int], ViewRecord]  # from a view as it is declared to one of its versions


_READ_BY_NAME = ("view", "on_demand", "service")  # share their names: a key is limited to some of them


def _unversioned(view: ViewRecord, version: int) -> ViewRecord:
    raise UnknownNameError("version of view", reference(view.name, version), ())


def declared_catalog(
    declarations: Iterable[Declaration], root: Path, engine: OfflineEngine, pinned: Pinned = _unversioned
) -> Catalog:
    """The catalog of all declarations and of what they refer to; raises DefinitionError with every fault.

    The engine types aggregations by their source, `pinned` finds versions. Faults: two objects of one kind, or a
    view and a service, with one name, SQL or a contract or a function that cannot be used, an aggregation that does
    not fit its source, a pinned version that does not exist or lacks what is asked of it.
    """

    def recorded(view: str, version: int | None) -> ViewRecord:
        if ("view", view) not in named:
            raise InputError(f"view '{view}' has faults of its own.")
        record = named["view", view][1]
        assert isinstance(record, ViewRecord)
        if version is None:
            return record
        pins[reference(view, version)] = found = pinned(record, version)
        return found

    pins: dict[str, ViewRecord] = {}
    named: dict[tuple[str, str], tuple[Declaration, Object]] = {}
    faults: list[Fault] = []
    for declaration in with_references(declarations):
        if isinstance(declaration, RequestSource):
            continue
        kind = kind_of(declaration)
        try:
            record = record_of(declaration, root, recorded)
            if isinstance(record, ViewRecord):
                record = with_event_columns(record, engine, str(root))
        except DefinitionError as error:
            faults.extend(_fault(declaration, fault.message, root) for fault in error.faults)
            continue
        except FeatureStoreError as error:
            faults.append(_fault(declaration, f"{kind} '{declaration.name}': {error}", root))
            continue
        for other_kind in _READ_BY_NAME if kind in _READ_BY_NAME else (kind,):
            other = named.get((other_kind, declaration.name))
            if other is not None and other[1] != record:
                faults.append(_fault(declaration, _twice(declaration, other[0], root), root))
        named[kind, declaration.name] = (declaration, record)
    if faults:
        raise DefinitionError(faults)
    catalog = Catalog.of({key: record for key, (_, record) in named.items()}, {}, pins)
    _refuse_misfits((declaration for declaration, _ in named.values()), catalog, root)
    return catalog


def _refuse_misfits(declarations: Iterable[Declaration], catalog: Catalog, root: Path) -> None:
    faults = []
    for declaration in declarations:
        message = (
            misfit(catalog.services[declaration.name], catalog) if isinstance(declaration, FeatureService) else None
        )
        if message is not None:
            faults.append(_fault(declaration, f"service '{declaration.name}': {message}.", root))
    if faults:
        raise DefinitionError(faults)


def _twice(declaration: Declaration, other: Declaration, root: Path) -> str:
    """Why a name may not stand twice; a view that reads another one of its own name closes a cycle."""
    path = _path_to(declaration, other.name)
    if isinstance(declaration, FeatureView) and path:
        cycle = " -> ".join(f"'{name}'" for name in (declaration.name, *path))
        return f"views form a cycle: {cycle}. A view cannot be computed from itself; break the chain or rename one."
    return f"'{declaration.name}' is declared at {_place(other, root)} too; rename one."


def _path_to(declaration: Declaration, name: str) -> tuple[str, ...]:
    """The names on the way from a declaration down to one of that name that it refers to; empty when there is none."""
    for part in references(declaration):
        if part.name == name:
            return (name,)
        if below := _path_to(part, name):
            return (part.name, *below) if isinstance(part, FeatureView) else below
    return ()


def declared_places(declarations: Iterable[Declaration], root: Path) -> dict[tuple[str, str], Fault]:
    """For each declared object by (kind, name) a fault that only says where it stands."""
    everything = with_references(declarations)
    return {(kind_of(declaration), declaration.name): _fault(declaration, "", root) for declaration in everything}


def _place(declaration: Declaration, root: Path) -> str:
    site = declaration.declared_at
    if site is None:
        return "an unknown place"
    path = Path(site.file)
    return f"{path.relative_to(root) if path.is_relative_to(root) else path}:{site.line}"


def _fault(declaration: Declaration, message: str, root: Path) -> Fault:
    file, _, line = _place(declaration, root).rpartition(":")
    return Fault(message, file or None, int(line) if line.isdecimal() else None)
